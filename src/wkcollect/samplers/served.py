"""What the targets of a replay serve themselves, in place of an engine or /proc."""

from __future__ import annotations

import time
from typing import Any

from wkcollect.http import Unanswered, refusal, split_url
from wkcollect.limits import SERVED_SAMPLE_TIMEOUT
from wkcollect.run import Run, Target
from wkcollect.samplers.columns import resources_row
from wkcollect.values import describe, parse_json


class ServedDocument:
    """A JSON object at a URL."""

    def __init__(self, run: Run, url: str) -> None:
        base, self._path = split_url(url)
        self._client = run.client(base)

    def get(self) -> dict[str, Any]:
        """Return the object. Raises Unanswered, or ValueError when it is none."""
        code, body, _cut = self._client.get(self._path, SERVED_SAMPLE_TIMEOUT)
        if code != 200:
            raise Unanswered(refusal(code))
        document = parse_json(body)
        if not isinstance(document, dict):
            raise ValueError("the answer is not a JSON object")
        return document


class ServedUsage:
    """Samples the recorded usage of one target."""

    def __init__(self, run: Run, target: Target) -> None:
        self._run = run
        self._name = target.name
        self._document = ServedDocument(run, target.handle["resource_url"])
        self._tally = run.evidence.tally("resources")

    def take(self, _seq: int, _due: float, _lateness: float) -> None:
        """Take one sample."""
        run = self._run
        began = time.monotonic()
        sample_time = run.clock.iso(began)
        row = resources_row(sample_time, self._name, "replay")
        error = None
        try:
            row.update(self._document.get())
        except (Unanswered, ValueError) as failure:
            error = describe(failure)
        row.update(sample_time=sample_time, name=self._name, kind="replay")
        run.evidence.add_row("resources", "resources.jsonl", row)
        if not error or run.window.opened:
            self._tally.note(not error, error, began=began)

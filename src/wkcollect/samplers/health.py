"""Health probes of a node: /healthz, /readyz and the summary of its goroutines."""

from __future__ import annotations

import time
from typing import Any

from wkcollect import limits
from wkcollect.http import Unanswered
from wkcollect.run import Run
from wkcollect.values import compact_json, describe, parse_json

_GOROUTINE_KEYS = ("boot_id", "process_started_at", "process_total")


class Health:
    """Samples one probe of one node."""

    def __init__(
        self, run: Run, node: dict[str, Any], probe: str, path: str, timeout: float
    ) -> None:
        self._run = run
        self._node: str = node["name"]
        self._probe = probe
        self._path = path
        self._timeout = timeout
        self._client = run.client(node["api_url"])
        self._tally = run.evidence.tally("health")

    def take(self, _seq: int, _due: float, _lateness: float) -> None:
        """Take one sample."""
        run = self._run
        began = time.monotonic()
        row: dict[str, Any] = {
            "sample_time": run.clock.iso(began),
            "node": self._node,
            "probe": self._probe,
            "ok": False,
            "http_status": None,
            "took_ms": None,
            "error": None,
            "body": None,
        }
        try:
            code, body, _cut = self._client.get(self._path, self._timeout)
            row["http_status"] = code
            row["ok"] = code == 200
            if self._probe == "goroutines" and code == 200:
                text = goroutine_excerpt(body)
            else:
                text = body.decode("utf-8", "replace")
            row["body"] = text[: limits.MAX_BODY_FIELD]
            if code != 200:
                row["error"] = f"HTTP {code}"
        except Unanswered as failure:
            row["error"] = str(failure)
        except ValueError as error:
            row["ok"], row["error"] = False, describe(error)
        row["took_ms"] = round((time.monotonic() - began) * 1000, 1)
        if self._probe == "healthz":
            run.heard(self._node, row["http_status"] is not None)
        run.evidence.add_row("health", "health.jsonl", row)
        # "It does not answer" is what this collector is there to find out: a good sample.
        self._tally.note(True, began=began)


def goroutine_excerpt(body: bytes) -> str:
    """Return what tells restarts and growth in a goroutine summary, as JSON. Raises ValueError."""
    document = parse_json(body)
    if not isinstance(document, dict):
        raise ValueError("the answer is not a JSON object")
    return compact_json({k: document.get(k) for k in _GOROUTINE_KEYS})

"""The simulator's /status, which drives the window."""

from __future__ import annotations

import time
from typing import Any

from wkcollect import limits
from wkcollect.http import Unanswered, get_object, split_url
from wkcollect.run import Run
from wkcollect.values import one_line


class Status:
    """Samples /status; every host asks, the leading one writes it down."""

    def __init__(self, run: Run) -> None:
        base, self._path = split_url(run.spec["status_url"])
        self._client = run.client(base)
        self._run = run
        self._tally = run.evidence.tally("status")

    def take(self, seq: int, due: float, lateness: float) -> None:
        """Take one sample."""
        run = self._run
        began = time.monotonic()
        row: dict[str, Any] = {
            "sample_time": run.clock.iso(began),
            "seq": seq,
            "due": run.clock.iso(due),
        }
        status, error, timeout = None, None, False
        try:
            status = get_object(self._client, self._path, limits.STATUS_TIMEOUT)
        except Unanswered as failure:
            error, timeout = str(failure), failure.timeout
        row["took_ms"] = round((time.monotonic() - began) * 1000, 1)
        if status is None:
            row["error"] = error
        else:
            row["status"] = status
        if run.sim:
            run.heard(run.sim["name"], status is not None)
        if run.lead:
            run.evidence.add_row("status", "status.jsonl", row)
        if status is not None or run.window.opened:
            self._tally.note(status is not None, error, timeout, began)
        run.window.follow(status, due, began, lateness)


def load_problem(run: Run) -> str | None:
    """Return None when the load of the window still runs, else what is wrong with it."""
    base, path = split_url(run.spec["status_url"])
    client = run.client(base)
    try:
        status = get_object(client, path, limits.STATUS_TIMEOUT)
    except Unanswered as failure:
        return f"status unanswered: {failure}"
    if status.get("state") != "running":
        return f"the load was not running (state {one_line(status.get('state'))})"
    window = run.window
    if window.sim_run_id is not None and status.get("run_id") != window.sim_run_id:
        return "the simulator restarted"
    return None

"""state.json: where the collector stands, for whoever watches."""

from __future__ import annotations

import os
import time
import traceback
from typing import Any

from wkcollect.clock import Cadence
from wkcollect.files import write_atomic
from wkcollect.run import Run
from wkcollect.values import SCHEMA_VERSION, compact_json, number, one_line


class State:
    """Publishes the state, and takes up the stop request of whoever watches."""

    def __init__(self, run: Run) -> None:
        self.done = False
        self._run = run

    def document(self) -> dict[str, Any]:
        """Return the small document that poll prints; it does not grow while the run goes on."""
        run, window = self._run, self._run.window
        now = time.monotonic()
        with window.changed:
            status = window.latest or {}
            left = None
            if window.start is not None and window.end is None:
                left = round(max(0.0, window.start + window.seconds - now), 1)
            rate = window.rate.value
            return {
                "schema_version": SCHEMA_VERSION,
                "run_id": run.spec["run_id"],
                "host": run.host,
                "lead": run.lead,
                "pid": os.getpid(),
                "done": self.done,
                "phase": window.phase,
                "sim_state": one_line(status.get("state")),
                "users_connected": self._users(status),
                "users_total": number((status.get("config") or {}).get("total_users")),
                "messages_sent": number(status.get("messages_sent")),
                "rate": None if rate is None else round(rate, 1),
                "send_errors": number(status.get("send_errors")),
                "recv_errors": number(status.get("recv_errors")),
                "last_error": one_line(status.get("last_error")),
                "seconds_left": left,
                "window_seconds": window.seconds,
                "window_start": window.iso(window.start),
                "window_end": window.iso(window.end),
                "samples_taken": len(window.lateness),
                "samples_due": window.slots_due(now),
                "valid": window.valid if self.done else None,
                "reason": window.reason,
                "interrupted": window.interrupted,
                "sample_time": run.clock.iso(now),
                "elapsed_s": round(now - run.launched, 1),
                "phases": window.phases,
            }

    def _users(self, status: dict[str, Any]) -> float | None:
        if status.get("state") != "running" and self._run.connections:
            # The simulator says 0 until all are connected; the gateways know better.
            return sum(v for v in self._run.connections.values() if v is not None)
        return number(status.get("active_users"))

    def publish(self) -> None:
        """Write state.json. Raises OSError."""
        text = compact_json(self.document())
        write_atomic(os.path.join(self._run.out, "state.json"), text.encode("ascii"))

    def publish_until_over(self) -> None:
        """Write state.json every second until over."""
        for _slot in Cadence(self._run.launched + 0.7, 1.0, self._run.over).slots():
            # A disk that is full keeps nobody from stopping.
            for step in (self._check_stop, self.publish):
                try:
                    step()
                except OSError:
                    traceback.print_exc()
            if not os.path.isdir(self._run.out):
                self._run.stop("the collector's directory is gone")

    def _check_stop(self) -> None:
        path = stop_file(self._run.out)
        if self._run.stop_reason is None and os.path.exists(path):
            with open(path, "rb") as handle:
                reason = handle.read(300).decode("utf-8", "replace").strip()
            self._run.stop(reason or "asked to stop")


def stop_file(out: str) -> str:
    """Return the path of the stop request of an out directory."""
    return os.path.join(out, "stop")


def request_stop(out: str, reason: str) -> None:
    """Leave a stop request for the collector of an out directory; the first one stays."""
    path = stop_file(out)
    if not os.path.exists(path):
        write_atomic(path, reason.encode("utf-8", "replace")[:300])

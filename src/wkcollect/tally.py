"""What one collector did: its answers, failures and files, and the status that follows."""

from __future__ import annotations

import threading
import time
from typing import Any

from wkcollect.http import NOT_RECORDED


class Tally:
    """Counts the attempts of one collector, from any thread."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ok = self.failed = self.timeouts = self.missed = 0
        self.error: str | None = None
        self.files: list[str] = []
        self._settled: str | None = None
        self._began: float | None = None
        self._ended: float | None = None
        self._lock = threading.Lock()

    def note(
        self,
        ok: bool,
        error: str | None = None,
        timeout: bool = False,
        began: float | None = None,
    ) -> None:
        """Count one attempt; ``began`` is on the monotonic clock."""
        now = time.monotonic()
        with self._lock:
            self._began = min(x for x in (self._began, began, now) if x is not None)
            self._ended = now
            if ok:
                self.ok += 1
            else:
                self.failed += 1
                self.timeouts += timeout
                self.error = self.error or error

    def add_file(self, path: str) -> None:
        """Remember a file that belongs to this collector."""
        with self._lock:
            if path not in self.files:
                self.files.append(path)

    def settle(self, status: str, error: str | None = None) -> None:
        """Fix the status (skipped, not_applicable, ...)."""
        self._settled = status
        self.error = error or self.error

    def status(self) -> str:
        """Return the status that the attempts add up to."""
        if self._settled:
            return self._settled
        if not self.ok and not self.failed:
            return "skipped"
        if not self.failed:
            return "ok"
        if self.ok:
            return "partial"
        if self.error == NOT_RECORDED:
            return "skipped"
        return "timeout" if self.timeouts == self.failed else "failed"

    def as_dict(self, host: str) -> dict[str, Any]:
        """Return the row for collectors.json."""
        began, ended = self._began, self._ended
        return {
            "name": self.name,
            "host": host,
            "status": self.status(),
            "duration_s": 0.0 if began is None or ended is None else round(ended - began, 3),
            "files": sorted(self.files),
            "missed_slots": self.missed,
            "error": self.error,
        }

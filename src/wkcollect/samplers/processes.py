"""Processes on this host, from /proc."""

from __future__ import annotations

import time
from typing import Any

from wkcollect import limits
from wkcollect.clock import iso
from wkcollect.kernel import KernelCounters
from wkcollect.run import Run, Target
from wkcollect.samplers.columns import resources_row


class ProcessUsage:
    """Samples the usage of one process; its pid file tells the pid after a restart."""

    def __init__(self, run: Run, target: Target) -> None:
        self._run = run
        self._proc = run.proc
        self._name = target.name
        self._pid: int | None = target.handle.get("pid")
        self._pid_file: str | None = target.handle.get("pid_file")
        self._start_ticks: int | None = None
        self._restarts = 0
        self._kernel = KernelCounters(run.proc)
        self._kernel_at = 0.0
        self._tally = run.evidence.tally("resources")

    def take(self, _seq: int, _due: float, _lateness: float) -> None:
        """Take one sample."""
        began = time.monotonic()
        row = resources_row(self._run.clock.iso(began), self._name, "process")
        if self._proc.root is not None:
            self._fill(row)
            self._add_kernel(row, began)
        self._run.evidence.add_row("resources", "resources.jsonl", row)
        if self._proc.root is None:
            self._tally.note(False, "no /proc here", began=began)
        else:
            self._tally.note(True, began=began)

    def _fill(self, row: dict[str, Any]) -> None:
        info = self._current()
        if info is None or self._pid is None or info["letter"] in "ZX":
            row["state"] = "exited"
            return
        if self._start_ticks not in (None, info["start_ticks"]):
            self._restarts += 1
        self._start_ticks = info["start_ticks"]
        quota = self._proc.throttling(self._pid)
        row.update(
            state="paused" if info["letter"] in "Tt" else "running",
            cpu_seconds=info["cpu_seconds"],
            memory_bytes=info["memory_bytes"],
            blk_read_bytes=info["read_bytes"],
            blk_write_bytes=info["write_bytes"],
            pids=info["threads"],
            periods=quota.periods,
            throttled_periods=quota.throttled_periods,
            throttled_seconds=quota.throttled_seconds,
            cpu_limit_cores=quota.limit_cores,
            cpu_limited=quota.limited,
            restart_count=self._restarts,
            started_at=self._started_at(info["start_ticks"]),
        )

    def _add_kernel(self, row: dict[str, Any], began: float) -> None:
        alive = self._pid is not None and row["state"] in ("running", "paused")
        if alive and began - self._kernel_at > limits.KERNEL_INTERVAL - 0.1:
            self._kernel_at = began
            counters = self._kernel.sample(self._pid or 0)
            if counters is not None:
                row["kernel"] = counters

    def _started_at(self, ticks: int) -> str | None:
        boot = self._proc.boot_time()
        if boot is None:
            return None
        return iso(boot + ticks / self._proc.ticks - self._run.clock.ahead)

    def _current(self) -> dict[str, Any] | None:
        info = self._proc.process(self._pid) if self._pid else None
        if info is None and self._pid_file:
            try:
                with open(self._pid_file, encoding="ascii", errors="replace") as source:
                    self._pid = int(source.read(32).split()[0])
            except (OSError, ValueError, IndexError):
                return None
            info = self._proc.process(self._pid)
        return info

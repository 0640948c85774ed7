"""This host: CPU, load, memory, pressure, free disk space, and the collector's own CPU time."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from wkcollect.devices import Devices
from wkcollect.http import Unanswered
from wkcollect.run import Run
from wkcollect.samplers.columns import HOST
from wkcollect.samplers.served import ServedDocument
from wkcollect.values import describe


class HostUsage:
    """Samples this host, or the recorded one that a replay serves."""

    def __init__(self, run: Run) -> None:
        handles = [target.handle for target in run.targets()]
        urls = [h["host_url"] for h in handles if h.get("host_url")]
        self._run = run
        self._replayed = any(h.get("kind") == "http" for h in handles)
        self._served = ServedDocument(run, urls[0]) if urls else None
        self._disks = disk_paths(run.spec, run.nodes)
        self._devices = Devices(run.proc, self._disks)
        self._tally = run.evidence.tally("host")

    def take(self, _seq: int, _due: float, _lateness: float) -> None:
        """Take one sample."""
        run = self._run
        began = time.monotonic()
        sample_time = run.clock.iso(began)
        row: dict[str, Any] = {"sample_time": sample_time, "host": run.host}
        error = None
        if self._replayed:
            row.update(dict.fromkeys(HOST))
            row["disks"] = []
            try:
                row.update(self._served.get() if self._served else {})
            except (Unanswered, ValueError) as failure:
                error = describe(failure)
            row.update(sample_time=sample_time, host=run.host)
        else:
            row.update(self._columns())
        row["collector_cpu_seconds"] = round(time.process_time(), 4)
        run.evidence.add_row("host", "host.jsonl", row)
        if not error or run.window.opened:
            self._tally.note(not error, error, began=began)

    def _columns(self) -> dict[str, Any]:
        proc = self._run.proc
        cpu = proc.cpu_ticks()
        available, total = proc.memory()
        try:
            load = round(os.getloadavg()[0], 2)
        except OSError:
            load = None
        return {
            "ncpu": os.cpu_count(),
            "cpu_total_ticks": cpu.total,
            "cpu_idle_ticks": cpu.idle,
            "cpu_iowait_ticks": cpu.iowait,
            "cpu_steal_ticks": cpu.steal,
            "load1": load,
            "mem_available_bytes": available,
            "mem_total_bytes": total,
            "psi_cpu_some_avg10": proc.pressure("cpu"),
            "psi_io_some_avg10": proc.pressure("io"),
            "psi_memory_some_avg10": proc.pressure("memory"),
            "disks": [_space(path) for path in self._disks],
            "devices": self._devices.sample(),
        }


def _space(path: str) -> dict[str, Any]:
    free: int | None = None
    total: int | None = None
    try:
        stat = os.statvfs(path)
        free, total = stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize
    except OSError:
        pass
    return {"path": path, "free_bytes": free, "total_bytes": total}


def disk_paths(spec: dict[str, Any], nodes: Sequence[dict[str, Any]]) -> list[str]:
    """Return the directories whose free space matters: data roots, else the out directory."""
    roots = [*(spec.get("disk_paths") or []), *(n.get("data_dir") for n in nodes)]
    paths: list[str] = []
    for path in roots:
        if path and path not in paths and os.path.isdir(path):
            paths.append(path)
    return paths or [str(spec["out_dir"])]

"""CPU of the stack's hosts from host.jsonl: how busy they are, and how much of it is foreign."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from wktriage.bundle.files import EvidenceFiles
from wktriage.bundle.readers.jsonl import Row, number, rows


@dataclass(frozen=True)
class HostSamples:
    """The rows of one host within a span, in order of time."""

    name: str
    rows: list[Row]

    def share(self, field: str) -> float | None:
        """Return the growth of a tick counter over the growth of all ticks."""
        used = total = 0.0
        for a, b in pairwise(self.rows):
            all_a, all_b = (
                number(a.data.get("cpu_total_ticks")),
                number(b.data.get("cpu_total_ticks")),
            )
            part_a, part_b = number(a.data.get(field)), number(b.data.get(field))
            if None in (all_a, all_b, part_a, part_b):
                continue
            if (all_b or 0) > (all_a or 0) and (part_b or 0) >= (part_a or 0):
                total += (all_b or 0) - (all_a or 0)
                used += (part_b or 0) - (part_a or 0)
        return used / total if total else None

    def busy(self) -> float | None:
        """Return the share of the CPU that was neither idle nor waiting for a device."""
        idle = self.share("cpu_idle_ticks")
        return None if idle is None else 1 - idle - (self.share("cpu_iowait_ticks") or 0.0)

    def busy_cores(self) -> float | None:
        """Return how many cores were busy; None when share or number of CPUs is unknown."""
        busy, cpus = self.busy(), next((n for n, _ in self.values("ncpu")), None)
        return None if busy is None or cpus is None else busy * cpus

    def collector_cores(self) -> float | None:
        """Return the cores that the collector itself used; None when that is not recorded."""
        values = self.values("collector_cpu_seconds")
        if len(values) < 2:
            return None
        (before, first), (after, last) = values[0], values[-1]
        seconds = (last.time or 0.0) - (first.time or 0.0)
        return (after - before) / seconds if after >= before and seconds > 0 else None

    def values(self, field: str) -> list[tuple[float, Row]]:
        """Return the numbers of a field with their rows."""
        numbers = [(number(r.data.get(field)), r) for r in self.rows]
        return [(value, row) for value, row in numbers if value is not None]


def read(files: EvidenceFiles, span: tuple[float, float] | None) -> list[HostSamples]:
    """Return the samples of each host within ``span`` (epoch seconds; None: all), by name."""
    by_host: dict[str, list[Row]] = {}
    for row in rows(files, "host.jsonl"):
        if row.time is not None and (span is None or span[0] <= row.time <= span[1]):
            by_host.setdefault(str(row.data.get("host", "")), []).append(row)
    return [HostSamples(name, by_host[name]) for name in sorted(by_host)]


def foreign_cores(busy: float, stack: float, collectors: float) -> float:
    """Return the cores that were neither the stack's nor the collectors' (all in cores)."""
    return max(0.0, busy - stack - collectors)

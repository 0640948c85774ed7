"""CPU, memory and state of containers or processes over time, from either layout."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from wktriage.bundle.files import EvidenceFiles
from wktriage.bundle.readers.jsonl import number, rows

SIM = "wk-sim"
_SIZE = re.compile(r"^\s*([0-9.]+)\s*([kKMGTP]?i?)B\s*$")
_FACTOR = {
    "": 1.0,
    "k": 1e3,
    "K": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
    "Pi": 2.0**50,
}


@dataclass(frozen=True)
class UsageSample:
    """One sample. ``cpu_cores`` is the mean since the previous sample (None when unknown)."""

    time: float
    line: int
    cpu_cores: float | None
    memory: float | None
    memory_limit: float | None
    state: str | None
    cpu_limit: float | None = None
    cpu_limited: bool | None = None
    periods: float | None = None
    throttled_periods: float | None = None
    started_at: str | None = None
    restart_count: float | None = None
    oom_killed: bool | None = None


@dataclass
class Usage:
    """All samples of one container or process, in file order."""

    file: str
    samples: list[UsageSample] = field(default_factory=list)

    def within(self, start: float, end: float) -> list[UsageSample]:
        """Return the samples of a time span, both ends included."""
        return [s for s in self.samples if start <= s.time <= end]


def parse_size(text: object) -> float | None:
    """Return bytes of a docker size such as ``6.605MiB``; None for anything else."""
    found = _SIZE.match(text) if isinstance(text, str) else None
    try:
        return float(found.group(1)) * _FACTOR[found.group(2)] if found else None
    except (ValueError, KeyError):
        return None


def owner(name: object, known: Iterable[str]) -> str | None:
    """Return which node or simulator a container name such as ``wk-wk-node1-1`` belongs to."""
    if not isinstance(name, str):
        return None
    name = name.lstrip("/")
    for candidate in sorted(known, key=len, reverse=True):
        if name == candidate or re.search(rf"(?:^|[-_]){re.escape(candidate)}(?:[-_]|$)", name):
            return candidate
    return None


def read(bundle: EvidenceFiles, nodes: Iterable[str]) -> dict[str, Usage]:
    """Return usage by name of ``nodes`` and ``wk-sim``; plain bundles have docker-stats.jsonl."""
    known = (*nodes, SIM)
    if bundle.size("resources.jsonl"):
        return _read_resources(bundle, known)
    return _read_docker_stats(bundle, known)


def _read_resources(bundle: EvidenceFiles, known: tuple[str, ...]) -> dict[str, Usage]:
    found: dict[str, Usage] = {}
    last: dict[str, tuple[float, float]] = {}
    for row in rows(bundle, "resources.jsonl"):
        name = owner(row.data.get("name"), known)
        if name is None or row.time is None:
            continue
        usage = found.setdefault(name, Usage("resources.jsonl"))
        total = number(row.data.get("cpu_seconds"))
        cores = None
        if total is not None:
            then = last.get(name)
            if then is not None and row.time > then[0] and total >= then[1]:
                cores = (total - then[1]) / (row.time - then[0])
            last[name] = (row.time, total)
        oom, limited = row.data.get("oom_killed"), row.data.get("cpu_limited")
        state = row.data.get("state")
        started = row.data.get("started_at")
        usage.samples.append(
            UsageSample(
                time=row.time,
                line=row.line,
                cpu_cores=cores,
                memory=number(row.data.get("memory_bytes")),
                memory_limit=number(row.data.get("memory_limit_bytes")),
                state=state if isinstance(state, str) else None,
                cpu_limit=number(row.data.get("cpu_limit_cores")),
                cpu_limited=limited if isinstance(limited, bool) else None,
                periods=number(row.data.get("periods")),
                throttled_periods=number(row.data.get("throttled_periods")),
                started_at=started if isinstance(started, str) else None,
                restart_count=number(row.data.get("restart_count")),
                oom_killed=oom if isinstance(oom, bool) else None,
            )
        )
    return found


def _read_docker_stats(bundle: EvidenceFiles, known: tuple[str, ...]) -> dict[str, Usage]:
    found: dict[str, Usage] = {}
    for row in rows(bundle, "docker-stats.jsonl"):
        name = owner(row.data.get("Name"), known)
        if name is None or row.time is None:
            continue
        percent = row.data.get("CPUPerc")
        try:
            cores = float(str(percent).rstrip("%")) / 100 if percent is not None else None
        except ValueError:
            cores = None
        used, _, limit = str(row.data.get("MemUsage", "")).partition(" / ")
        found.setdefault(name, Usage("docker-stats.jsonl")).samples.append(
            UsageSample(row.time, row.line, cores, parse_size(used), parse_size(limit), None)
        )
    return found

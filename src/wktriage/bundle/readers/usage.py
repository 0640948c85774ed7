"""CPU, memory and state of containers or processes over time, from either layout."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from wktriage.bundle.files import EvidenceFiles
from wktriage.bundle.readers.jsonl import Row, number, rows

SIM = "wk-sim"
_NAME_CAP, _NAMES_CAP = 128, 100_000
"""Characters of a container's name, and how many different ones are looked at."""
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


_ENGINE_COUNTERS = {"net_rx_bytes": "link_rx_bytes", "net_tx_bytes": "link_tx_bytes"}
_COUNTERS = {
    name: name
    for name in (
        "cpu_pressure_us", "descriptor_limit", "io_pressure_us", "io_read_bytes", "io_reads",
        "io_write_bytes", "io_writes", "link_rx_bytes", "link_rx_drops", "link_rx_errors",
        "link_tx_bytes", "link_tx_drops", "link_tx_errors", "listen_drops", "listen_overflows",
        "major_faults", "memory_limit_hits", "memory_oom_kills", "memory_pressure_us",
        "network_namespace", "open_descriptors", "port_range_high", "port_range_low",
        "tcp_backlog_drops", "tcp_connects_failed", "tcp_established_resets",
        "tcp_receive_queue_drops", "tcp_segments_retransmitted", "tcp_segments_sent",
        "tcp_sockets", "tcp_syns_retransmitted", "tcp_time_wait", "tcp_timeouts",
    )
}  # fmt: skip
"""What is read of the rows' ``kernel``."""


@dataclass(frozen=True)
class UsageSample:
    """One sample. ``cpu_cores`` is the mean since the previous sample (None when unknown).

    ``counters`` hold what Linux and the engine had counted until then, by the names of the rows.
    """

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
    counters: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Usage:
    """All samples of one container or process, in file order."""

    file: str
    samples: list[UsageSample] = field(default_factory=list)

    def within(self, start: float, end: float) -> list[UsageSample]:
        """Return the samples of a time span, both ends included."""
        return [s for s in self.samples if start <= s.time <= end]


class Busy:
    """When which node used more CPU than ``above`` (cores); ``sampled`` counts those sampled."""

    def __init__(self, samples: Mapping[str, Sequence[UsageSample]], above: float) -> None:
        """Take the samples by node."""
        self.sampled = sum(bool(of_node) for of_node in samples.values())
        self._moments = sorted(
            (s.time, node)
            for node, of_node in samples.items()
            for s in of_node
            if s.cpu_cores is not None and s.cpu_cores > above
        )

    def near(self, node: str, moment: float) -> bool:
        """Tell whether another node was busy within 2 s."""
        start = bisect_left(self._moments, (moment - 2.0, ""))
        for at in range(start, len(self._moments)):
            time, name = self._moments[at]
            if time > moment + 2.0:
                return False
            if name != node:
                return True
        return False


def parse_size(text: object) -> float | None:
    """Return bytes of a docker size such as ``6.605MiB``; None for anything else."""
    match = _SIZE.match(text) if isinstance(text, str) else None
    try:
        return number(float(match.group(1)) * _FACTOR[match.group(2)]) if match else None
    except (ValueError, KeyError):
        return None


def parse_percent(text: object) -> float | None:
    """Return the share that a percentage such as ``12.5%`` is; None for anything else."""
    try:
        share = float(text.rstrip("%")) / 100 if isinstance(text, str) else None
    except ValueError:
        return None
    return number(share)


def owner(name: object, known: Iterable[str]) -> str | None:
    """Return which node or simulator a container name such as ``wk-wk-node1-1`` belongs to.

    Of several the one with the longest name.
    """
    return Owners(known).of(name)


class Owners:
    """Tells whose a container is, by name, in a time that does not grow with the nodes."""

    def __init__(self, known: Iterable[str]) -> None:
        """Take the names of nodes and simulator."""
        self._known = frozenset(known)
        self._longest = max(map(len, self._known), default=0)
        self._seen: dict[str, str | None] = {}

    def of(self, name: object) -> str | None:
        """Return the node or simulator of a container's name, None for anything else."""
        if not isinstance(name, str):
            return None
        name = name.lstrip("/")[:_NAME_CAP]
        if name not in self._seen:
            if len(self._seen) >= _NAMES_CAP:
                return None
            self._seen[name] = self._find(name)
        return self._seen[name]

    def _find(self, name: str) -> str | None:
        cuts = [i for i, c in enumerate(name) if c in "-_"]
        parts = (
            name[start:end]
            for start in (0, *(i + 1 for i in cuts))
            for end in (*cuts, len(name))
            if start < end <= start + self._longest
        )
        inside = [part for part in parts if part in self._known]
        return max(inside, key=len, default=None)


def read(bundle: EvidenceFiles, nodes: Iterable[str]) -> dict[str, Usage]:
    """Return usage by name of ``nodes`` and ``wk-sim``; plain bundles have docker-stats.jsonl."""
    return bundle.once("usage", lambda: _read(bundle, Owners((*nodes, SIM))))


def events(bundle: EvidenceFiles, nodes: Iterable[str]) -> dict[str, list[Row]]:
    """Return the container events that have a time, by name of ``nodes`` and ``wk-sim``."""
    return bundle.once("events", lambda: _events(bundle, Owners((*nodes, SIM))))


def _events(bundle: EvidenceFiles, known: Owners) -> dict[str, list[Row]]:
    by_name: dict[str, list[Row]] = {}
    for row in rows(bundle, "events.jsonl"):
        name = known.of(row.data.get("name"))
        if row.time is not None and name is not None:
            by_name.setdefault(name, []).append(row)
    return by_name


def _read(bundle: EvidenceFiles, known: Owners) -> dict[str, Usage]:
    if bundle.size("resources.jsonl"):
        return _read_resources(bundle, known)
    return _read_docker_stats(bundle, known)


def _read_resources(bundle: EvidenceFiles, known: Owners) -> dict[str, Usage]:
    by_name: dict[str, Usage] = {}
    last: dict[str, tuple[float, float]] = {}
    for row in rows(bundle, "resources.jsonl", whole=False):
        name = known.of(row.data.get("name"))
        if name is None or row.time is None:
            continue
        usage = by_name.setdefault(name, Usage("resources.jsonl"))
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
                counters=_counters(row),
            )
        )
    return by_name


def _counters(row: Row) -> dict[str, float]:
    """Return the counters of a row. The engine counts bytes at each, the kernel at every fifth."""
    kernel = row.data.get("kernel")
    values = dict(kernel) if isinstance(kernel, dict) else {}
    for column, name in _ENGINE_COUNTERS.items():
        if row.data.get(column) is not None:
            values[name] = row.data[column]
    # The names are kept once, not once a row.
    known = ((_COUNTERS.get(k), number(v)) for k, v in values.items())
    return {name: value for name, value in known if name is not None and value is not None}


def _read_docker_stats(bundle: EvidenceFiles, known: Owners) -> dict[str, Usage]:
    by_name: dict[str, Usage] = {}
    for row in rows(bundle, "docker-stats.jsonl", whole=False):
        name = known.of(row.data.get("Name"))
        if name is None or row.time is None:
            continue
        cores = parse_percent(row.data.get("CPUPerc"))
        used, _, limit = str(row.data.get("MemUsage", "")).partition(" / ")
        by_name.setdefault(name, Usage("docker-stats.jsonl")).samples.append(
            UsageSample(row.time, row.line, cores, parse_size(used), parse_size(limit), None)
        )
    return by_name

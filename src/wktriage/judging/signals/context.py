"""What signal modules share: evidence read once, and the one way to state a signal."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from wktriage.bundle.bundle import Bundle
from wktriage.bundle.readers import health, jsonl, logs, status, usage
from wktriage.bundle.readers.usage import UsageSample
from wktriage.core.model import Citation, Signal, SignalSet, Value
from wktriage.core.times import iso
from wktriage.core.yaml_files import read_mapping
from wktriage.judging.signals.metrics import Metrics

PerNode = dict[str, tuple[Value, list[Citation]]]
"""Values with their citations, by node name."""

CITE_MAX = 6
"""Citations kept for one signal: enough to check it, few enough to read."""


@cache
def catalogue() -> dict[str, dict[str, Any]]:
    """Return the signal catalogue by name (title, unit, scope, meaning, source)."""
    entries = read_mapping(Path(__file__).with_name("catalogue.yml"))["signals"]
    return {entry["name"]: entry for entry in entries}


def title(name: str) -> str:
    """Return what a person reads for a signal, for use in a sentence."""
    return str(catalogue()[name]["title"])


class Context:
    """Evidence of one bundle, each source read at most once, and the signals stated so far."""

    def __init__(self, bundle: Bundle) -> None:
        """Take the bundle; nothing is read yet."""
        self.bundle = bundle
        self.nodes = bundle.nodes
        self.window = bundle.window
        self.signals = SignalSet(names=catalogue(), nodes=bundle.nodes)

    # -- evidence -----------------------------------------------------------------------------

    @cached_property
    def samples(self) -> list[status.Sample]:
        """All status samples that have a time."""
        return status.samples(self.bundle)

    @cached_property
    def metrics(self) -> Metrics:
        """Scrapes before, during and after the window."""
        return Metrics.of(self.bundle)

    @cached_property
    def usage(self) -> dict[str, usage.Usage]:
        """CPU, memory and state by node and wk-sim."""
        return usage.read(self.bundle, self.bundle.nodes)

    @cached_property
    def health(self) -> dict[str, list[health.Probe]]:
        """Probes by node."""
        return health.read(self.bundle)

    @cached_property
    def events(self) -> dict[str, list[jsonl.Row]]:
        """Container events that have a time, by node name and wk-sim."""
        return usage.events(self.bundle, self.nodes)

    @cached_property
    def log_starts(self) -> dict[str, list[tuple[float, str, int]]]:
        """(time, file, line) of the nodes' start-up lines, in UTC."""
        starts = {}
        for node in self.nodes:
            offset = self.utc_offsets.get(node, 0.0)
            starts[node] = [(t - offset, f, n) for t, f, n in self._raw_starts[node]]
        return starts

    @cached_property
    def _raw_starts(self) -> dict[str, list[tuple[float, str, int]]]:
        return {node: logs.starts(self.bundle, node) for node in self.nodes}

    @cached_property
    def utc_offsets(self) -> dict[str, float]:
        """How far each node's log times are ahead of UTC: start-up line against process start.

        Zones differ from UTC in steps of 15 minutes, so that rounding removes start-up delay.
        """
        offsets: dict[str, float] = {}
        for node in self.nodes:
            begun = self.metrics.start_times(node)
            written = [t for t, _, _ in self._raw_starts[node]]
            if begun and written:
                offset = round((written[-1] - begun[-1]) / 900.0) * 900.0
                if offset and abs(offset) <= 14 * 3600:
                    offsets[node] = offset
        return offsets

    def _scan_logs(self) -> dict[str, logs.NodeLogs]:
        return {
            name: logs.scan(self.bundle, name, self.bundle.window, self.utc_offsets.get(name, 0.0))
            for name in (*self.nodes, usage.SIM)
        }

    @cached_property
    def logs(self) -> dict[str, logs.NodeLogs]:
        """Log templates by node and wk-sim."""
        return self.bundle.once("logs", self._scan_logs)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The workload as the simulator reports it, {} when it never did."""
        return next((s.config for s in self.samples if s.config), {})

    @cached_property
    def span(self) -> tuple[float, float] | None:
        """The window, or without one the whole recording."""
        if self.window is not None:
            return self.window
        times = [s.time for s in self.samples]
        return (times[0], times[-1]) if len(times) > 1 else None

    # -- stating signals ----------------------------------------------------------------------

    def put(
        self,
        name: str,
        value: Value,
        cites: Iterable[Citation] = (),
        *,
        node: str | None = None,
        since: float | None = None,
        not_before: float | None = None,
        why: str | None = None,
    ) -> None:
        """State a signal; value None needs ``why``. Times are epoch seconds.

        Raises UnknownSignalError for a name that is not in the catalogue.
        """
        self.signals.require(name)
        unit = catalogue()[name]["unit"]
        value = tidy(value)
        if value is None:
            self.signals.add(
                Signal(name, unit, None, node, why_unknown=why or "the evidence is missing")
            )
            return
        kept = tuple(dict.fromkeys(cites))[:CITE_MAX]
        if not kept:
            self.signals.add(
                Signal(name, unit, None, node, why_unknown="no evidence could be cited")
            )
            return
        self.signals.add(Signal(name, unit, value, node, kept, iso(since), iso(not_before)))

    def value(self, name: str, node: str | None = None) -> Any:
        """Return the value of a signal stated before, None when unknown or not stated."""
        return self.signals.value(name, node)

    def number(self, name: str, node: str | None = None) -> float | None:
        """Return a numeric value stated before, None when unknown."""
        return jsonl.number(self.value(name, node))

    def cites(self, name: str, node: str | None = None) -> tuple[Citation, ...]:
        """Return the citations of a signal stated before."""
        signal = self.signals.get(name, node)
        return () if signal is None else signal.citations

    def gather(
        self,
        name: str,
        how: str = "sum",
        *,
        per_node: PerNode,
        why: dict[str, str] | None = None,
        default_why: str = "the evidence is missing",
        partial: bool = True,
    ) -> None:
        """State a signal of scope both from its values per node.

        ``how`` is sum, max, min or any. Nodes without a value are unknown. The cluster's value is
        taken over the known nodes when ``partial`` (a lower bound for sums: one dead node must not
        hide what the others say), else only when all are known.
        """
        reasons = why or {}
        known: list[tuple[float, list[Citation]]] = []
        for node in self.nodes:
            value, cites = per_node.get(node, (None, []))
            self.put(name, value, cites, node=node, why=reasons.get(node, default_why))
            as_number = float(value) if isinstance(value, bool | int | float) else None
            if as_number is not None and cites:
                known.append((as_number, cites))
        if not known or (not partial and len(known) < len(self.nodes)):
            missing = next(iter(reasons.values()), default_why)
            self.put(name, None, why=missing if known == [] else "unknown for some nodes")
            return
        numbers = [n for n, _ in known]
        known.sort(key=lambda k: -k[0])
        cites = [c for _, node_cites in known for c in node_cites[:2]]
        if how == "any":
            self.put(name, any(numbers), known[0][1])
        elif how == "min":
            self.put(name, min(numbers), known[-1][1])
        else:
            self.put(name, sum(numbers) if how == "sum" else max(numbers), cites)

    # -- citing -------------------------------------------------------------------------------

    def cite_status(self, sample: status.Sample, field: str) -> Citation:
        """Cite a field of a status sample."""
        if sample.state is None:
            text = str(sample.row.data.get("error", ""))
            return (
                self.bundle.cite("status.jsonl", line=sample.row.line, pointer="/error", value=text)
                if "error" in sample.row.data
                else self.bundle.cite("status.jsonl", line=sample.row.line)
            )
        return self.cite_row("status.jsonl", sample.row, f"/status/{field}")

    def cite_row(self, file: str, row: jsonl.Row, pointer: str) -> Citation:
        """Cite a value of a JSON lines row by its pointer."""
        value: Any = row.data
        for token in pointer.strip("/").split("/"):
            value = value.get(token) if isinstance(value, dict) else None
        if not isinstance(value, bool | int | float | str):
            return self.bundle.cite(file, line=row.line)
        return self.bundle.cite(file, line=row.line, pointer=pointer, value=value)

    def cite_line(self, file: str, line: int, excerpt: str = "") -> Citation:
        """Cite a line of a text file."""
        return self.bundle.cite(file, line=line, excerpt=excerpt)

    def cite_usage(self, entity: str, samples: Sequence[UsageSample]) -> list[Citation]:
        """Cite the first and last of some usage samples."""
        if entity not in self.usage or not samples:
            return []
        file = self.usage[entity].file
        ends = dict.fromkeys((samples[0].line, samples[-1].line))
        return [self.bundle.cite(file, line=line) for line in ends]


def tidy(value: Value) -> Value:
    """Round floats to six significant digits and turn whole ones into integers."""
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return None
        rounded = float(f"{value:.6g}")
        return int(rounded) if rounded == int(rounded) and abs(rounded) < 1e15 else rounded
    return value[:200] if isinstance(value, str) else value


def median(values: Sequence[float], *, is_sorted: bool = False) -> float | None:
    """Return the median, None of nothing."""
    if not values:
        return None
    ordered = values if is_sorted else sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


class Others:
    """The median of all values but one's own, in a time that does not grow with their number."""

    def __init__(self, values: Mapping[str, float | None]) -> None:
        """Take the values by name; None is unknown."""
        self._values = values
        self._ordered = sorted(v for v in values.values() if v is not None)

    def median(self, name: str) -> float | None:
        """Return the median of the known values of all others, None of nothing."""
        mine = self._values.get(name)
        if mine is None:
            return median(self._ordered, is_sorted=True)
        own = bisect_left(self._ordered, mine)
        count = len(self._ordered) - 1
        if count < 1:
            return None
        middle = count // 2

        def at(place: int) -> float:
            return self._ordered[place if place < own else place + 1]

        return at(middle) if count % 2 else (at(middle - 1) + at(middle)) / 2

    def least(self, name: str) -> float | None:
        """Return the least of the known values of all others, None of nothing.

        The best peer of a service time: with two of three nodes bad, the median is half bad.
        """
        mine = self._values.get(name)
        own = 0 if mine is None else int(bool(self._ordered) and self._ordered[0] == mine)
        return self._ordered[own] if len(self._ordered) > own else None


def versus_peers(
    ctx: Context,
    name: str,
    of: str,
    why: str = "it is unknown for this node or for its peers",
    *,
    best: bool = False,
) -> None:
    """State how a node's value compares with the other nodes: their median, or the best of them."""
    values = {node: ctx.number(of, node) for node in ctx.nodes}
    others = Others(values)
    cites = [c for n in ctx.nodes for c in ctx.cites(of, n)[:2]]
    # Only so many are kept: not to look through all of them once for every node.
    cites = list(dict.fromkeys(cites))[:CITE_MAX]
    for node, mine in values.items():
        beside = others.least(node) if best else others.median(node)
        ratio = mine / beside if mine is not None and beside else None
        ctx.put(name, ratio, cites, node=node, why=why)


def quantile(values: Sequence[float], q: float) -> float | None:
    """Return the nearest-rank quantile, None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(q * len(ordered) * 1000) // 1000) - 1))]

"""The panels of the timeline: what each plot shows, read from a bundle.

Points are (epoch s, value); a value of None is a moment at which something was asked and not
answered.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wktriage.bundle.bundle import Bundle
from wktriage.bundle.readers import health, prom, status, usage
from wktriage.bundle.readers.jsonl import number, rows
from wktriage.judging.signals.metrics import Metrics

POINTS = 600
"""Most points of a series: as many as a screen has columns for it, and a bounded page."""

P99_OBSERVATIONS = 100
"""Fewer do not have a 99th percentile worth drawing."""

Point = tuple[float, float | None]


@dataclass(frozen=True)
class Series:
    """One line: points of (epoch s, value)."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Panel:
    """One plot. ``band`` is (low, high): where the baseline's nodes were, in the panel's unit.

    ``holds`` says for when a value counts: "at" its own time, "until" the next one's, or "since"
    the one before (a mean of what lies between).
    """

    key: str
    title: str
    unit: str
    series: Sequence[Series]
    note: str = ""
    holds: str = "at"
    band: tuple[float, float] | None = None


def of_bundle(
    bundle: Bundle,
    samples: Sequence[status.Sample],
    offered: float | None,
    used: Mapping[str, usage.Usage],
    probes: Mapping[str, Sequence[health.Probe]],
) -> list[Panel]:
    """Return all panels, also those without a point.

    Args:
        bundle: what was recorded.
        samples: the simulator's status over time.
        offered: the offered rate in msg/s, None where the bundle does not tell.
        used: resources by container.
        probes: health probes by node.
    """
    metrics = Metrics.of(bundle)
    return [
        _traffic(samples, offered),
        _errors(samples),
        _connections(metrics, bundle.nodes, bundle.window),
        _users(samples),
        _latency(metrics, bundle.nodes),
        _cpu(used, _host_cpu(bundle)),
        _health(probes),
    ]


FORMER_NAMES = {"send_server_latency_p99": "sendack_p99"}
"""What signals are called in the baseline's figures of bundles that were recorded earlier."""


def bands(bundle: Bundle) -> dict[str, tuple[float, float]]:
    """Return by panel where the nodes of the healthy baseline were, as far as it says."""
    figures = (bundle.read_json("references/baseline.json") or {}).get("figures")

    def of(name: str) -> list[float]:
        names = (name, FORMER_NAMES.get(name, name))
        known = [figures[n] for n in names if n in figures] if isinstance(figures, dict) else []
        entry = known[0] if known else None
        nodes = entry.get("nodes") if isinstance(entry, dict) else None
        values: list[Any] = list(nodes.values()) if isinstance(nodes, dict) else []
        return [x for v in values if (x := number(v)) is not None and x >= 0]

    least, most = of("node_cpu_cores"), of("node_cpu_max_cores")
    ranges: dict[str, tuple[float, float]] = {}
    if least and most and max(most) > min(least):
        ranges["cpu"] = (min(least), max(most))
    for panel, name, scale in (
        ("latency", "send_server_latency_p99", 1000.0),
        ("health", "node_healthz_p99_ms", 1.0),
    ):
        if values := of(name):
            ranges[panel] = (0.0, max(values) * scale)
    return ranges


def thin(points: Sequence[Point]) -> list[Point]:
    """Keep at most POINTS points: of each bucket the one furthest up and one that is unknown.

    So neither a peak nor a gap is lost.
    """
    if len(points) <= POINTS:
        return list(points)
    size = -(-len(points) // (POINTS // 2))
    kept: list[Point] = []
    for begin in range(0, len(points), size):
        bucket = points[begin : begin + size]
        known = [p for p in bucket if p[1] is not None]
        gaps = [p for p in bucket if p[1] is None]
        kept += sorted([*sorted(known, key=lambda p: -(p[1] or 0.0))[:1], *gaps[:1]])
    return kept


def _published(samples: Sequence[status.Sample]) -> list[status.Sample]:
    """Return the samples at which the simulator published its counters anew (every 10 s).

    The zeros before the first publication are none: a rate from them would look like a slow start.
    """
    published: list[status.Sample] = []
    for sample in samples:
        if sample.state is None or not sample.total:
            continue
        if (
            not published
            or sample.total != published[-1].total
            or sample.run_id != published[-1].run_id
        ):
            published.append(sample)
    return published


def _rates(samples: Sequence[status.Sample], of: str) -> list[Point]:
    """Return the rate of a counter (1/s) since the publication before.

    None for the first, which has none before it, and where the counter went backwards.
    """
    rates: list[Point] = [(s.time, None) for s in samples[:1]]
    for before, after in itertools.pairwise(samples):
        grown = getattr(after, of) - getattr(before, of)
        if after.time > before.time:
            rates.append((after.time, grown / (after.time - before.time) if grown >= 0 else None))
    return rates


def _traffic(samples: Sequence[status.Sample], offered: float | None) -> Panel:
    published = _published(samples)
    lines = [Series("sent", _rates(published, "sent"))]
    if offered is not None and samples:
        running = [(s.time, offered if s.state == "running" else None) for s in samples]
        lines.append(Series("offered", running))
    return Panel(
        "traffic",
        "Sent against offered",
        "msg/s",
        lines,
        "Means of the 10 s between two publications of the simulator's counters.",
        holds="since",
    )


def _errors(samples: Sequence[status.Sample]) -> Panel:
    published = _published(samples)
    return Panel(
        "errors",
        "Failed messages",
        "1/s",
        [
            Series("send errors", _rates(published, "send_errors")),
            Series("receive errors", _rates(published, "recv_errors")),
        ],
        holds="since",
    )


def _users(samples: Sequence[status.Sample]) -> Panel:
    return Panel(
        "users",
        "Users that the simulator counts as active",
        "users",
        [Series("active users", [(s.time, s.active_users if s.state else None) for s in samples])],
        "The simulator does not notice a dead connection here; the nodes' own count does.",
        holds="until",
    )


def _connections(
    metrics: Metrics, nodes: Sequence[str], window: tuple[float, float] | None
) -> Panel:
    """Client connections that each node itself counts, from its scrapes."""
    lines = []
    for node in nodes:
        scrapes = list(metrics.series(node))
        before, after = metrics.before(node), metrics.after(node)
        if window is not None:
            scrapes = [
                *([(window[0], before)] if before else []),
                *scrapes,
                *([(window[1], after)] if after else []),
            ]
        points = [
            (moment, sum(p.value for p in counts))
            for moment, scrape in sorted(scrapes, key=lambda entry: entry[0])
            if (counts := scrape.points("wukongim_gateway_connections_active"))
        ]
        lines.append(Series(node, points))
    note = "Counted by the nodes themselves."
    return Panel("connections", "Client connections by node", "connections", lines, note)


def _latency(metrics: Metrics, nodes: Sequence[str]) -> Panel:
    """p99 of handling a SEND frame between scrapes, where at least 100 were handled."""
    family = "wukongim_gateway_frame_handle_duration_seconds"
    lines = []
    for node in nodes:
        scrapes = list(metrics.series(node))
        points: list[Point] = []
        for (_, before), (moment, after) in itertools.pairwise(scrapes):
            handled = prom.histogram(before, after, family, {"frame_type": "SEND"})
            enough = handled is not None and handled.count >= P99_OBSERVATIONS
            p99 = handled.quantile(0.99) if handled is not None and enough else None
            points.append((moment, None if p99 is None else p99 * 1000))
        lines.append(Series(node, points))
    return Panel("latency", "Time a node takes for a SEND, p99 of 10 s", "ms", lines)


def _cpu(used: Mapping[str, usage.Usage], host: list[Point]) -> Panel:
    lines = [
        Series(name, [(s.time, s.cpu_cores) for s in one.samples])
        for name, one in sorted(used.items())
    ]
    if host:
        lines.append(Series("whole host", host))
    return Panel("cpu", "CPU", "cores", lines)


def _host_cpu(bundle: Bundle) -> list[Point]:
    """Return busy cores of the host: (1 - idle share) x cores between samples."""
    busy: list[Point] = []
    last: tuple[float, float] | None = None
    for row in rows(bundle, "host.jsonl"):
        total, idle = (number(row.data.get(f"cpu_{k}_ticks")) for k in ("total", "idle"))
        cores = number(row.data.get("ncpu"))
        if row.time is None or total is None or idle is None or cores is None:
            continue
        if last is not None and total > last[0]:
            busy.append((row.time, cores * (1 - (idle - last[1]) / (total - last[0]))))
        last = (total, idle)
    return busy


def _health(probes: Mapping[str, Sequence[health.Probe]]) -> Panel:
    lines = [
        Series(
            node,
            [
                (p.time, None if p.took is None or not p.ok else p.took * 1000)
                for p in answers
                if p.kind == "healthz"
            ],
        )
        for node, answers in sorted(probes.items())
    ]
    return Panel("health", "Answer time of /healthz", "ms", lines, "A gap is an unanswered probe.")

"""The run over time: panels on one shared axis, node lanes, and the moments that matter.

Times on the axis are seconds since the window began (or the first sample, without a window).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from wktriage.bundle import Bundle
from wktriage.readers import health, prom, status, usage
from wktriage.readers.jsonl import number, rows
from wktriage.readers.times import parse_time
from wktriage.signals.metrics import Metrics
from wktriage.wording import clean

POINTS = 400
"""Most points of a series: more than a screen has columns for it, and a bounded page."""

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
    """One plot. ``step`` for values that hold until the next."""

    key: str
    title: str
    unit: str
    series: Sequence[Series]
    note: str = ""
    step: bool = False


@dataclass(frozen=True)
class Span:
    """One stretch of a node's lane (epoch s)."""

    start: float
    end: float
    state: str
    text: str


@dataclass
class Timeline:
    """All that the page draws over time. ``window`` is (start, end) in epoch seconds or None."""

    start: float
    end: float
    window: tuple[float, float] | None
    panels: list[Panel] = field(default_factory=list)
    lanes: dict[str, list[Span]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def build(bundle: Bundle, offered: float | None) -> Timeline:
    """Read everything that has a time out of a bundle. ``offered`` is the offered rate in msg/s."""
    samples = status.samples(bundle)
    times = [s.time for s in samples]
    window = bundle.window
    start = window[0] - 10 if window else (times[0] if times else 0.0)
    end = window[1] + 5 if window else (times[-1] if times else 1.0)
    found = Timeline(start, max(end, start + 1), window)
    probes = health.read(bundle)
    used = usage.read(bundle)
    metrics = Metrics(bundle)
    panels = [
        _traffic(samples, offered),
        _errors(samples),
        _connections(metrics, bundle.nodes, window),
        _users(samples),
        _latency(metrics, bundle.nodes),
        _cpu(used, _host_cpu(bundle)),
        _health(probes),
    ]
    for panel in panels:
        kept = [
            Series(s.name, _thin([p for p in s.points if start <= p[0] <= end]))
            for s in panel.series
        ]
        kept = [s for s in kept if any(v is not None for _, v in s.points)]
        if kept:
            found.panels.append(
                Panel(panel.key, panel.title, panel.unit, kept, panel.note, panel.step)
            )
        else:
            found.missing.append(panel.title)
    for node in bundle.nodes:
        found.lanes[node] = _lane(bundle, node, probes.get(node, []), used.get(node), start, end)
    return found


def _published(samples: Sequence[status.Sample]) -> list[status.Sample]:
    """Return the samples at which the simulator published its counters anew (every 10 s).

    The zeros before the first publication are none: a rate from them would look like a slow start.
    """
    found: list[status.Sample] = []
    for sample in samples:
        if sample.state is None or not sample.total:
            continue
        if not found or sample.total != found[-1].total or sample.run_id != found[-1].run_id:
            found.append(sample)
    return found


def _rates(samples: Sequence[status.Sample], of: str) -> list[Point]:
    """Return the rate of a counter (1/s) between publications, None where it went backwards."""
    found: list[Point] = []
    for before, after in itertools.pairwise(samples):
        grown = getattr(after, of) - getattr(before, of)
        if after.time > before.time:
            found.append((after.time, grown / (after.time - before.time) if grown >= 0 else None))
    return found


def _traffic(samples: Sequence[status.Sample], offered: float | None) -> Panel:
    published = _published(samples)
    lines = [Series("sent", _rates(published, "sent"))]
    if offered is not None and samples:
        running = [(s.time, offered) for s in samples if s.state == "running"]
        lines.append(Series("offered", running))
    return Panel(
        "traffic",
        "Sent against offered",
        "msg/s",
        lines,
        "The simulator publishes its counters every 10 s.",
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
    )


def _users(samples: Sequence[status.Sample]) -> Panel:
    return Panel(
        "users",
        "Users that the simulator counts as active",
        "users",
        [Series("active users", [(s.time, s.active_users) for s in samples if s.state])],
        "A dead connection does not lower this count: see the connections in the signals.",
        step=True,
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
            (moment, sum(p.value for p in found))
            for moment, scrape in sorted(scrapes, key=lambda entry: entry[0])
            if (found := scrape.points("wukongim_gateway_connections_active"))
        ]
        lines.append(Series(node, points))
    note = "What the nodes themselves count."
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
        Series(name, [(s.time, s.cpu_cores) for s in found.samples])
        for name, found in sorted(used.items())
    ]
    if host:
        lines.append(Series("whole host", host))
    return Panel("cpu", "CPU", "cores", lines)


def _host_cpu(bundle: Bundle) -> list[Point]:
    """Return busy cores of the host: (1 - idle share) x cores between samples."""
    found: list[Point] = []
    last: tuple[float, float] | None = None
    for row in rows(bundle, "host.jsonl"):
        total, idle = (number(row.data.get(f"cpu_{k}_ticks")) for k in ("total", "idle"))
        cores = number(row.data.get("ncpu"))
        if row.time is None or total is None or idle is None or cores is None:
            continue
        if last is not None and total > last[0]:
            found.append((row.time, cores * (1 - (idle - last[1]) / (total - last[0]))))
        last = (total, idle)
    return found


def _health(probes: Mapping[str, Sequence[health.Probe]]) -> Panel:
    lines = [
        Series(
            node,
            [
                (p.time, None if p.took is None or not p.ok else p.took * 1000)
                for p in found
                if p.kind == "healthz"
            ],
        )
        for node, found in sorted(probes.items())
    ]
    return Panel("health", "Answer time of /healthz", "ms", lines, "Gaps are unanswered probes.")


def _thin(points: Sequence[Point]) -> list[Point]:
    """Keep at most POINTS points: of each bucket the one furthest up, so that peaks stay."""
    if len(points) <= POINTS:
        return list(points)
    size = -(-len(points) // POINTS)
    buckets = (points[i : i + size] for i in range(0, len(points), size))
    return [max(b, key=lambda p: -1.0 if p[1] is None else p[1]) for b in buckets]


def _lane(
    bundle: Bundle,
    node: str,
    probes: Sequence[health.Probe],
    used: usage.Usage | None,
    start: float,
    end: float,
) -> list[Span]:
    """Return what was seen of a node, second by second, joined into spans."""
    states: dict[int, tuple[str, str]] = {}

    def see(moment: float, state: str, text: str) -> None:
        if start <= moment <= end:
            states[int(moment)] = (state, text)

    for sample in used.samples if used is not None else ():
        if sample.state == "paused":
            see(sample.time, "paused", "container paused")
        elif sample.state is not None and sample.state != "running":
            see(sample.time, "down", f"container {clean(sample.state, 20)}")
        elif sample.state == "running":
            see(sample.time, "up", "running")
    for probe in probes:
        if probe.kind != "healthz":
            continue
        second = int(probe.time)
        # The engine knows more of a silent node than a probe does; its sample may be a second old.
        known = states.get(second) or states.get(second - 1)
        if not probe.ok and known is not None and known[0] not in {"up", "silent"}:
            see(probe.time, *known)
        elif not probe.ok:
            see(probe.time, "silent", f"/healthz: {clean(probe.error or 'no answer', 60)}")
        elif second not in states:
            see(probe.time, "up", "answers /healthz")
    for row in rows(bundle, "events.jsonl"):
        name = usage.owner(row.data.get("name"), (node,))
        moment = parse_time(row.data.get("time"))
        action = str(row.data.get("action", ""))
        if name == node and moment is not None and action in {"die", "oom", "restart", "kill"}:
            see(moment, "down", f"event {action}")
    return list(_spans(sorted(states.items())))


def _spans(states: Iterable[tuple[int, tuple[str, str]]]) -> Iterable[Span]:
    current: Span | None = None
    for second, (state, text) in states:
        if current is not None and current.state == state and second - current.end <= 3:
            current = Span(current.start, second + 1.0, state, current.text)
            continue
        if current is not None:
            yield current
        current = Span(float(second), second + 1.0, state, text)
    if current is not None:
        yield current

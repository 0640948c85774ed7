"""The run over time: panels on one shared axis, node lanes, and the moments that matter.

Times on the axis are seconds since the window began (or the first sample, without a window).
"""

from __future__ import annotations

import itertools
import math
import statistics
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from wktriage.bundle.bundle import Bundle
from wktriage.bundle.readers import health, prom, status, usage
from wktriage.bundle.readers.jsonl import number, rows
from wktriage.core.times import parse_time
from wktriage.judging.signals.metrics import Metrics
from wktriage.judging.signals.stalls import BUSY_CORES, IDLE_CORES
from wktriage.judging.wording import clean

POINTS = 600
"""Most points of a series: as many as a screen has columns for it, and a bounded page."""

PROBE_S = 2
"""Seconds that a probe waits for its answer (``HEALTHZ_TIMEOUT`` of the collector)."""

SILENCE_S = 5
"""Seconds after an unanswered probe for which it speaks at most, when nobody asks again."""

LANE_SPANS = 300
"""Most stretches of a lane: more are narrower than a screen can show."""

WORST_FIRST = ("down", "paused", "still", "silent", "started", "up")
"""Which state stands for a moment that saw several."""

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

    @property
    def zero(self) -> float:
        """Where the axis counts from (epoch s): the window's start, else the first sample."""
        return self.window[0] if self.window else self.start


def build(bundle: Bundle, offered: float | None) -> Timeline:
    """Read everything that has a time out of a bundle. ``offered`` is the offered rate in msg/s."""
    samples = status.samples(bundle)
    times = [s.time for s in samples]
    window = bundle.window
    start = window[0] - 10 if window else (times[0] if times else 0.0)
    end = window[1] + 5 if window else (times[-1] if times else 1.0)
    found = Timeline(start, max(end, start + 1), window)
    probes = health.read(bundle)
    used = usage.read(bundle, bundle.nodes)
    metrics = Metrics.of(bundle)
    bands = _bands(bundle)
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
            found.panels.append(replace(panel, series=kept, band=bands.get(panel.key)))
        else:
            found.missing.append(panel.title)
    for node in bundle.nodes:
        found.lanes[node] = _lane(bundle, node, probes.get(node, []), used, start, end)
    return found


def _bands(bundle: Bundle) -> dict[str, tuple[float, float]]:
    """Return by panel where the nodes of the healthy baseline were, as far as it says."""
    figures = (bundle.read_json("references/baseline.json") or {}).get("figures")

    def of(name: str) -> list[float]:
        entry = figures.get(name) if isinstance(figures, dict) else None
        nodes = entry.get("nodes") if isinstance(entry, dict) else None
        values: list[Any] = list(nodes.values()) if isinstance(nodes, dict) else []
        return [x for v in values if (x := number(v)) is not None and x >= 0]

    least, most = of("node_cpu_cores"), of("node_cpu_max_cores")
    found: dict[str, tuple[float, float]] = {}
    if least and most and max(most) > min(least):
        found["cpu"] = (min(least), max(most))
    for panel, name, scale in (
        ("latency", "send_server_latency_p99", 1000.0),
        ("health", "node_healthz_p99_ms", 1.0),
    ):
        if values := of(name):
            found[panel] = (0.0, max(values) * scale)
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
    """Return the rate of a counter (1/s) since the publication before.

    None for the first, which has none before it, and where the counter went backwards.
    """
    found: list[Point] = [(s.time, None) for s in samples[:1]]
    for before, after in itertools.pairwise(samples):
        grown = getattr(after, of) - getattr(before, of)
        if after.time > before.time:
            found.append((after.time, grown / (after.time - before.time) if grown >= 0 else None))
    return found


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
        "Means since the counters before; the simulator publishes them every 10 s.",
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
        "A dead connection does not lower this count; what the nodes count does.",
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
    """Keep at most POINTS points: of each bucket the one furthest up and one that is unknown.

    So neither a peak nor a gap is lost.
    """
    if len(points) <= POINTS:
        return list(points)
    size = -(-len(points) // (POINTS // 2))
    found: list[Point] = []
    for begin in range(0, len(points), size):
        bucket = points[begin : begin + size]
        known = [p for p in bucket if p[1] is not None]
        gaps = [p for p in bucket if p[1] is None]
        found += sorted([*sorted(known, key=lambda p: -(p[1] or 0.0))[:1], *gaps[:1]])
    return found


def _lane(
    bundle: Bundle,
    node: str,
    probes: Sequence[health.Probe],
    used: Mapping[str, usage.Usage],
    start: float,
    end: float,
) -> list[Span]:
    """Return what was seen of a node, second by second, joined into spans.

    Container states count most, then probes. Where neither was recorded (plain bundles), CPU tells
    whether the process moved.
    """
    samples = used[node].samples if node in used else []
    probes = [p for p in probes if p.kind == "healthz"]
    probed = {int(p.time) + around for p in probes for around in (-2, -1, 0, 1, 2)}
    states: dict[int, tuple[str, str]] = {}

    def see(moment: float, state: str, text: str) -> None:
        if start <= moment <= end:
            states[int(moment)] = (state, text)

    for sample, still in zip(samples, _stills(node, used), strict=True):
        if sample.state == "paused":
            see(sample.time, "paused", "container paused")
        elif sample.state == "running":
            see(sample.time, "up", "running")
        elif sample.state is not None:
            see(sample.time, "down", f"container {clean(sample.state, 20)}")
        elif int(sample.time) in probed:
            continue
        elif still:
            see(sample.time, "still", "took no CPU while its peers worked")
        elif sample.cpu_cores is not None and sample.cpu_cores >= IDLE_CORES:
            see(sample.time, "up", "took CPU")
    for probe, following in itertools.zip_longest(probes, probes[1:]):
        second = int(probe.time)
        # The engine knows more of a silent node than a probe does; its sample may be a second old.
        known = states.get(second) or states.get(second - 1)
        if not probe.ok and known is not None and known[0] not in {"up", "silent"}:
            see(probe.time, *known)
        elif not probe.ok:
            # Until somebody asks again; that its container runs is no answer.
            asked = int(following.time) if following is not None else second + PROBE_S
            for covered in range(second, max(second + 1, min(asked, second + SILENCE_S))):
                if states.get(covered, ("up", ""))[0] in {"up", "silent"}:
                    see(covered, "silent", f"/healthz: {clean(probe.error or 'no answer', 60)}")
        elif second not in states:
            see(probe.time, "up", "answers /healthz")
    for before, after in itertools.pairwise(s for s in samples if s.started_at is not None):
        if after.started_at != before.started_at:
            see(after.time, "started", "started anew")
    for row in rows(bundle, "events.jsonl"):
        name = usage.owner(row.data.get("name"), (node,))
        moment = parse_time(row.data.get("time"))
        action = str(row.data.get("action", ""))
        if name == node and moment is not None and action in {"die", "oom", "restart", "kill"}:
            see(moment, "down", f"event {action}")
    return _coarse(list(_spans(sorted(states.items()), end)), start, end)


def _coarse(spans: list[Span], start: float, end: float) -> list[Span]:
    """Return at most LANE_SPANS spans: of each stretch of time the worst that was seen in it."""
    if len(spans) <= LANE_SPANS:
        return spans
    length = (end - start) / LANE_SPANS
    found: dict[int, Span] = {}
    for span in spans:
        first = max(0, int((span.start - start) / length))
        last = min(LANE_SPANS, max(first + 1, math.ceil((span.end - start) / length)))
        for at in range(first, last):
            begin = start + at * length
            worst = min(span, found.get(at, span), key=lambda s: WORST_FIRST.index(s.state))
            found[at] = replace(worst, start=begin, end=begin + length)
    joined: list[Span] = []
    for _, span in sorted(found.items()):
        before = joined[-1] if joined else None
        near = before is not None and span.start - before.end < length / 2
        if before is not None and near and before.state == span.state:
            joined[-1] = replace(before, end=span.end)
        else:
            joined.append(span)
    return joined


def _stills(node: str, used: Mapping[str, usage.Usage]) -> list[bool]:
    """Tell of each sample of a node whether it took no CPU while a peer worked (within 2 s)."""
    busy = sorted(
        s.time
        for name, other in used.items()
        if name not in (node, usage.SIM)
        for s in other.samples
        if s.cpu_cores is not None and s.cpu_cores > BUSY_CORES
    )

    def near(moment: float) -> bool:
        at = bisect_left(busy, moment - 2)
        return at < len(busy) and busy[at] <= moment + 2

    return [
        s.cpu_cores is not None and s.cpu_cores < IDLE_CORES and near(s.time)
        for s in (used[node].samples if node in used else ())
    ]


def _spans(states: Sequence[tuple[int, tuple[str, str]]], end: float) -> Iterable[Span]:
    """Join sightings into spans; each holds until the next, two usual intervals or 3 s at most."""
    times = [second for second, _ in states]
    hold = statistics.median(b - a for a, b in itertools.pairwise(times)) if times[1:] else 1
    current: Span | None = None
    for (second, (state, text)), following in itertools.zip_longest(states, times[1:]):
        until = second + hold if following is None else min(following, second + max(3, 2 * hold))
        until = min(float(max(until, second + 1)), end)
        if current is not None and current.state == state and second <= current.end:
            current = replace(current, end=until)
            continue
        if current is not None:
            yield current
        current = Span(float(second), until, state, text)
    if current is not None:
        yield current

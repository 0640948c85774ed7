"""Node lanes: what was seen of a node over time, joined into stretches of one state."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from wktriage.bundle.bundle import Bundle
from wktriage.bundle.readers import health, usage
from wktriage.judging.signals.stalls import BUSY_CORES, IDLE_CORES
from wktriage.judging.wording import clean

PROBE_S = 2
"""Seconds that a probe waits for its answer (``HEALTHZ_TIMEOUT`` of the collector)."""

SILENCE_S = 5
"""Seconds after an unanswered probe for which it speaks at most, when nobody asks again."""

LANE_SPANS = 300
"""Most stretches of a lane: more are narrower than a screen can show."""

WORST_FIRST = ("down", "paused", "still", "silent", "started", "up")
"""Which state stands for a moment that saw several."""

EVENTS = {
    "die": "container ended",
    "kill": "container was killed",
    "oom": "container ran out of memory",
    "restart": "container was restarted",
}
"""Events of the container engine that mean that a node is down."""


@dataclass(frozen=True)
class Span:
    """One stretch of a node's lane (epoch s)."""

    start: float
    end: float
    state: str
    text: str


def of_node(
    bundle: Bundle,
    node: str,
    probes: Sequence[health.Probe],
    used: Mapping[str, usage.Usage],
    peers: usage.Busy,
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

    for sample, still in zip(samples, _stills(node, used, peers), strict=True):
        if sample.state == "paused":
            see(sample.time, "paused", "container paused")
        elif sample.state == "running":
            see(sample.time, "up", "running")
        elif sample.state is not None:
            see(sample.time, "down", f"container {clean(sample.state, 20)}")
        elif int(sample.time) in probed:
            continue
        elif still:
            see(sample.time, "still", "used no CPU while its peers worked")
        elif sample.cpu_cores is not None and sample.cpu_cores >= IDLE_CORES:
            see(sample.time, "up", "used CPU")
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
            see(after.time, "started", "restarted")
    for row in usage.events(bundle, bundle.nodes).get(node, []):
        action = str(row.data.get("action", ""))
        if row.time is not None and action in EVENTS:
            see(row.time, "down", EVENTS[action])
    return coarse(list(_spans(sorted(states.items()), end)), start, end)


def coarse(spans: list[Span], start: float, end: float) -> list[Span]:
    """Return at most LANE_SPANS spans: of each stretch of time the worst that was seen in it."""
    if len(spans) <= LANE_SPANS:
        return spans
    length = (end - start) / LANE_SPANS
    worst_at: dict[int, Span] = {}
    for span in spans:
        first = max(0, int((span.start - start) / length))
        last = min(LANE_SPANS, max(first + 1, math.ceil((span.end - start) / length)))
        for at in range(first, last):
            begin = start + at * length
            worst = min(span, worst_at.get(at, span), key=lambda s: WORST_FIRST.index(s.state))
            worst_at[at] = replace(worst, start=begin, end=begin + length)
    joined: list[Span] = []
    for _, span in sorted(worst_at.items()):
        before = joined[-1] if joined else None
        near = before is not None and span.start - before.end < length / 2
        if before is not None and near and before.state == span.state:
            joined[-1] = replace(before, end=span.end)
        else:
            joined.append(span)
    return joined


def busy(used: Mapping[str, usage.Usage]) -> usage.Busy:
    """Return when which node worked."""
    nodes = {name: one.samples for name, one in used.items() if name != usage.SIM}
    return usage.Busy(nodes, BUSY_CORES)


def _stills(node: str, used: Mapping[str, usage.Usage], peers: usage.Busy) -> list[bool]:
    """Tell of each sample of a node whether it took no CPU while a peer worked (within 2 s)."""
    return [
        s.cpu_cores is not None and s.cpu_cores < IDLE_CORES and peers.near(node, s.time)
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

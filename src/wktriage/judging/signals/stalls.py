"""Nodes that stand still while their process lives: paused, frozen, without CPU."""

from __future__ import annotations

from itertools import pairwise

from wktriage.bundle.readers.health import Probe
from wktriage.bundle.readers.usage import Busy, UsageSample
from wktriage.core.model import Citation
from wktriage.judging.signals.context import Context, PerNode, quantile
from wktriage.judging.signals.cpu import cpu_samples
from wktriage.judging.signals.evidence import (
    Evidence,
    cite_probe,
    cite_states,
    probes_of,
    state_event,
    total_of,
)

STALL_S = 0.5
"""A healthz answer (no checks, no I/O: normally milliseconds) that takes this long is a stall."""

FROZEN_STALLS = 3
"""Stalls of one node while its peers answered, from which on it counts as frozen."""

IDLE_CORES = 0.005

BUSY_CORES = 0.05
"""A live node ticks Raft and takes at least 2 % of a core; below IDLE_CORES it stands still."""

IDLE_SHARE = 0.1
"""Share of samples at a standstill while peers work that makes a node frozen."""


def compute(ctx: Context) -> None:
    """State whether nodes stood still; needs CPU, reachability and the containers' states."""
    _frozen(ctx)
    total_of(ctx, "nodes_frozen", "node_frozen")


def _frozen(ctx: Context) -> None:
    stalls: PerNode = {}
    longest: PerNode = {}
    seconds: PerNode = {}
    busy = Busy({n: cpu_samples(ctx, n) for n in ctx.nodes}, BUSY_CORES)
    slow_by_node = {
        n: [p for p in probes_of(ctx, n, "healthz") if p.took is not None and p.took >= STALL_S]
        for n in ctx.nodes
    }
    slowest = max(slow_by_node, key=lambda n: len(slow_by_node[n]), default=None)
    most = [*sorted((len(slow) for slow in slow_by_node.values()), reverse=True)[:2], 0, 0]
    for node in ctx.nodes:
        inside = [p for p in probes_of(ctx, node, "healthz") if p.took is not None]
        times = [p.took or 0.0 for p in inside if p.ok]
        slow = slow_by_node[node]
        for name, q in (("node_healthz_p50_ms", 0.5), ("node_healthz_p99_ms", 0.99)):
            value = quantile(times, q)
            ctx.put(
                name,
                value * 1000 if value is not None else None,
                [cite_probe(ctx, p) for p in inside[:1]],
                node=node,
                why="no healthz answers in the window",
            )
        evidence: list[Evidence] = []
        known: list[Citation] = []
        still = 0.0
        idle = _idle(ctx, node, busy)
        if inside:
            known.append(cite_probe(ctx, inside[0]))
            top = max(inside, key=lambda p: (p.took or 0.0, -p.line))
            longest[node] = ((top.took or 0.0) * 1000, [cite_probe(ctx, top)])
            cites = [cite_probe(ctx, p) for p in (slow or inside)[:2]]
            stalls[node] = (len(slow), cites)
            still = sum(p.took or 0.0 for p in slow)
            seconds[node] = (still, cites)
            # One that works on and never answers is cut off, not frozen.
            stood = [p for p in slow if p.ok] if idle and idle[0] < IDLE_SHARE else slow
            others = most[1] if node == slowest else most[0]
            if len(stood) >= FROZEN_STALLS and len(stood) >= 3 * others:
                cites = [cite_probe(ctx, p) for p in stood[:2]]
                evidence.append(Evidence(cites, stood[0].time, _good_before(inside, stood[0])))
        paused = _paused(ctx, node)
        if paused is None:
            ctx.put("node_paused", None, node=node, why="container states are not recorded")
        else:
            ctx.put(
                "node_paused",
                paused[0],
                paused[1].cites,
                node=node,
                since=paused[1].since,
                not_before=paused[1].not_before,
            )
            known += paused[1].cites[:1]
            if paused[0]:
                evidence.append(paused[1])
                seconds[node] = (max(still, paused[2]), paused[1].cites)
        if idle is None:
            ctx.put("node_standstill_ratio", None, node=node, why="no CPU samples of the nodes")
        else:
            ratio, standstill = idle
            ctx.put(
                "node_standstill_ratio",
                ratio,
                standstill.cites,
                node=node,
                since=standstill.since,
                not_before=standstill.not_before,
            )
            known += standstill.cites[:1]
            if ratio >= IDLE_SHARE and ctx.value("node_exited", node) is not True:
                evidence.append(standstill)
        state_event(
            ctx,
            "node_frozen",
            node,
            evidence,
            known,
            "no probe, container state or CPU sample of the node is recorded",
        )
    ctx.gather("node_stalls", "max", per_node=stalls, default_why="no healthz probes")
    ctx.gather("node_healthz_max_ms", "max", per_node=longest, default_why="no healthz probes")
    ctx.gather("node_frozen_seconds", "max", per_node=seconds, default_why="no healthz probes")


def _good_before(inside: list[Probe], probe: Probe) -> float | None:
    good = [p.time for p in inside if p.time < probe.time and p.ok and (p.took or 0.0) < STALL_S]
    return good[-1] if good else None


def _paused(ctx: Context, node: str) -> tuple[bool, Evidence, float] | None:
    """Return (was paused, evidence, seconds), None when no states are recorded."""
    usage = ctx.usage.get(node)
    if ctx.span is None:
        return None
    states = [s for s in (usage.within(*ctx.span) if usage else []) if s.state is not None]
    events = [
        e
        for e in ctx.events.get(node, [])
        if e.data.get("action") == "pause" and ctx.span[0] <= (e.time or 0.0) <= ctx.span[1]
    ]
    paused = [s for s in states if s.state == "paused"]
    if events:
        cites = [ctx.cite_row("events.jsonl", e, "/action") for e in events[:2]]
        time = events[0].time
        return (
            True,
            Evidence([*cites, *ctx.cite_usage(node, paused[:1])], time, time),
            _spans(states, paused),
        )
    if paused:
        before = [s.time for s in states if s.time < paused[0].time]
        cites = cite_states(ctx, node, paused[:2])
        return (
            True,
            Evidence(cites, paused[0].time, before[-1] if before else None),
            _spans(states, paused),
        )
    return (False, Evidence(cite_states(ctx, node, states[:1])), 0.0) if states else None


def _spans(states: list[UsageSample], chosen: list[UsageSample]) -> float:
    lines = {s.line for s in chosen}
    return sum(b.time - a.time for a, b in pairwise(states) if a.line in lines)


def _idle(ctx: Context, node: str, busy: Busy) -> tuple[float, Evidence] | None:
    """Return how often the node took no CPU while a peer did."""
    mine = cpu_samples(ctx, node)
    if not mine or busy.sampled < 2:
        return None
    still = [s for s in mine if (s.cpu_cores or 0.0) < IDLE_CORES and busy.near(node, s.time)]
    before = [s.time for s in mine if still and s.time < still[0].time]
    return len(still) / len(mine), Evidence(
        ctx.cite_usage(node, still or mine),
        still[0].time if still else None,
        before[-1] if before else (ctx.span or (None,))[0] if still else None,
    )

"""Each node's life: paused, frozen, gone, killed, started anew."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise

from wktriage.bundle.readers import health as probes
from wktriage.bundle.readers.health import Probe
from wktriage.bundle.readers.usage import UsageSample
from wktriage.core.model import Citation, Value
from wktriage.core.times import parse_time
from wktriage.judging.signals.context import Context, PerNode, quantile
from wktriage.judging.signals.cpu import cpu_samples
from wktriage.judging.signals.evidence import (
    GONE_STATES,
    Found,
    cite_probe,
    cite_states,
    in_window,
    probes_of,
    state_event,
    total_of,
)
from wktriage.judging.signals.metrics import P

STALL_S = 0.5
"""A healthz answer (no checks, no I/O: normally milliseconds) that takes this long is a stall."""

FROZEN_STALLS = 3
"""Stalls of one node while its peers answered, from which on it counts as frozen."""

GONE_S = 10.0
"""Seconds without a docker stats row (they come every 4-5 s), after which a container is gone."""

IDLE_CORES = 0.005

BUSY_CORES = 0.05
"""A live node ticks Raft and takes at least 2 % of a core; below IDLE_CORES it stands still."""

IDLE_SHARE = 0.1
"""Share of samples at a standstill while peers work that makes a node frozen."""

GONE_ACTIONS = ("die", "kill", "stop", "oom")


def compute(ctx: Context) -> None:
    """State whether nodes were gone, stood still or started anew; needs CPU and reachability."""
    _containers(ctx)
    _frozen(ctx)
    _restarts(ctx)
    for total, each in (("nodes_frozen", "node_frozen"), ("nodes_restarted", "node_restarted")):
        total_of(ctx, total, each)
    _quorum(ctx)
    _memory(ctx)


def _frozen(ctx: Context) -> None:
    stalls: PerNode = {}
    longest: PerNode = {}
    seconds: PerNode = {}
    slow_by_node = {
        n: [p for p in probes_of(ctx, n, "healthz") if p.took is not None and p.took >= STALL_S]
        for n in ctx.nodes
    }
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
        evidence: list[Found] = []
        known: list[Citation] = []
        still = 0.0
        idle = _idle(ctx, node)
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
            others = max((len(slow_by_node[n]) for n in ctx.nodes if n != node), default=0)
            if len(stood) >= FROZEN_STALLS and len(stood) >= 3 * others:
                cites = [cite_probe(ctx, p) for p in stood[:2]]
                evidence.append(Found(cites, stood[0].time, _good_before(inside, stood[0])))
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
            ratio, found = idle
            ctx.put(
                "node_standstill_ratio",
                ratio,
                found.cites,
                node=node,
                since=found.since,
                not_before=found.not_before,
            )
            known += found.cites[:1]
            if ratio >= IDLE_SHARE and ctx.value("node_exited", node) is not True:
                evidence.append(found)
        state_event(ctx, "node_frozen", node, evidence, known, "no probe, no state, no CPU sample")
    ctx.gather("node_stalls", "max", per_node=stalls, default_why="no healthz probes")
    ctx.gather("node_healthz_max_ms", "max", per_node=longest, default_why="no healthz probes")
    ctx.gather("node_frozen_seconds", "max", per_node=seconds, default_why="no healthz probes")


def _good_before(inside: list[Probe], probe: Probe) -> float | None:
    good = [p.time for p in inside if p.time < probe.time and p.ok and (p.took or 0.0) < STALL_S]
    return good[-1] if good else None


def _paused(ctx: Context, node: str) -> tuple[bool, Found, float] | None:
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
            Found([*cites, *ctx.cite_usage(node, paused[:1])], time, time),
            _spans(states, paused),
        )
    if paused:
        before = [s.time for s in states if s.time < paused[0].time]
        cites = cite_states(ctx, node, paused[:2])
        return (
            True,
            Found(cites, paused[0].time, before[-1] if before else None),
            _spans(states, paused),
        )
    return (False, Found(cite_states(ctx, node, states[:1])), 0.0) if states else None


def _spans(states: list[UsageSample], chosen: list[UsageSample]) -> float:
    lines = {s.line for s in chosen}
    return sum(b.time - a.time for a, b in pairwise(states) if a.line in lines)


def _idle(ctx: Context, node: str) -> tuple[float, Found] | None:
    """Return how often the node took no CPU while a peer did."""
    mine = cpu_samples(ctx, node)
    peers = [s for n in ctx.nodes if n != node for s in cpu_samples(ctx, n)]
    if not mine or not peers:
        return None
    busy_at = sorted(s.time for s in peers if (s.cpu_cores or 0.0) > BUSY_CORES)
    still = [s for s in mine if (s.cpu_cores or 0.0) < IDLE_CORES and _near(busy_at, s.time)]
    before = [s.time for s in mine if still and s.time < still[0].time]
    return len(still) / len(mine), Found(
        ctx.cite_usage(node, still or mine),
        still[0].time if still else None,
        before[-1] if before else (ctx.span or (None,))[0] if still else None,
    )


def _near(times: list[float], time: float) -> bool:
    at = bisect_left(times, time - 2.0)
    return at < len(times) and times[at] <= time + 2.0


def _restarts(ctx: Context) -> None:
    counts: PerNode = {}
    resets: PerNode = {}
    for node in ctx.nodes:
        moments: list[Found] = []
        known: list[Citation] = []
        window = ctx.window
        begun = ctx.metrics.start_times(node)
        scrapes = ctx.metrics.scrapes(node, "process_start_time_seconds")
        for scrape in scrapes[:1]:
            point = scrape.first("process_start_time_seconds")
            if point is not None:
                known.append(ctx.metrics.cite(scrape, point))
        for scrape in scrapes:
            point = scrape.first("process_start_time_seconds")
            if point is None or window is None:
                continue
            if window[0] - 1 < point.value <= window[1] + 1:
                moments.append(Found([ctx.metrics.cite(scrape, point)], point.value, point.value))
        if len(begun) > 1 and not moments:
            point = scrapes[-1].first("process_start_time_seconds")
            if point is not None:
                moments.append(Found([ctx.metrics.cite(scrapes[-1], point)], begun[-1], begun[-1]))
        moments += _boot_changes(ctx, node, known)
        moments += _container_starts(ctx, node, known)
        for time, file, line in ctx.log_starts.get(node, []):
            if window is not None and window[0] < time <= window[1]:
                moments.append(Found([ctx.cite_line(file, line)], time, time))
            elif not known:
                known.append(ctx.cite_line(file, line))
        distinct = _distinct(moments)
        state_event(ctx, "node_restarted", node, moments, known, "no start is recorded")
        if moments or known:
            cites = [c for f in moments for c in f.cites] or known
            counts[node] = (len(distinct), cites[:3])
        resets[node] = _counter_resets(ctx, node)
        _uptimes(ctx, node)
    ctx.gather("node_restarts", per_node=counts, default_why="no start is recorded")
    ctx.gather("node_counter_resets", per_node=resets, default_why="fewer than two scrapes")
    _uptime_at_start(ctx)


def _distinct(moments: list[Found], apart: float = 5.0) -> list[float]:
    """Return the moments that are further apart than sources disagree on one restart."""
    found: list[float] = []
    for time in sorted(f.since for f in moments if f.since is not None):
        if not found or time - found[-1] > apart:
            found.append(time)
    return found


def _boot_changes(ctx: Context, node: str, known: list[Citation]) -> list[Found]:
    found: list[Found] = []
    last: tuple[str, Probe] | None = None
    for probe in ctx.health.get(node, []):
        if probe.kind != "goroutines" or not probe.ok:
            continue
        boot = str(probes.summary(probe).get("boot_id") or "")
        if not boot:
            continue
        known.append(cite_probe(ctx, probe)) if last is None else None
        if last is not None and boot != last[0] and in_window(ctx, probe.time):
            start = parse_time(probes.summary(probe).get("process_started_at"))
            found.append(
                Found(
                    [cite_probe(ctx, last[1]), cite_probe(ctx, probe)],
                    start or probe.time,
                    start or last[1].time,
                )
            )
        last = (boot, probe)
    return found


def _container_starts(ctx: Context, node: str, known: list[Citation]) -> list[Found]:
    usage = ctx.usage.get(node)
    found: list[Found] = []
    samples = [s for s in (usage.samples if usage else []) if s.started_at]
    if samples and usage is not None:
        known.append(
            ctx.bundle.cite(
                usage.file, line=samples[0].line, pointer="/started_at", value=samples[0].started_at
            )
        )
    for a, b in pairwise(samples):
        if a.started_at != b.started_at and in_window(ctx, b.time) and usage is not None:
            start = parse_time(b.started_at)
            found.append(
                Found(
                    [
                        ctx.bundle.cite(
                            usage.file, line=s.line, pointer="/started_at", value=s.started_at
                        )
                        for s in (a, b)
                    ],
                    start or b.time,
                    start or a.time,
                )
            )
    return found


def _counter_resets(ctx: Context, node: str) -> tuple[Value, list[Citation]]:
    family = P + "gateway_sendacks_total"
    scrapes = ctx.metrics.scrapes(node, family)
    if len(scrapes) < 2:
        return None, []
    resets = 0
    cites: list[Citation] = []
    for a, b in pairwise(scrapes):
        old = {p.series: p for p in a.points(family)}
        for point in b.points(family):
            was = old.get(point.series)
            if was is not None and point.value < was.value:
                resets += 1
                cites += [ctx.metrics.cite(a, was), ctx.metrics.cite(b, point)]
                break
    return resets, cites or [ctx.bundle.cite(scrapes[-1].file)]


def _uptimes(ctx: Context, node: str) -> None:
    begun = ctx.metrics.start_times(node)
    after = ctx.metrics.after(node)
    point = after.first("process_start_time_seconds") if after else None
    ctx.put(
        "node_uptime_at_end",
        ctx.window[1] - begun[-1] if begun and ctx.window and point else None,
        [ctx.metrics.cite(after, point)] if after and point else [],
        node=node,
        why="no scrape at the end, or no measured window",
    )


def _uptime_at_start(ctx: Context) -> None:
    per_node: PerNode = {}
    for node in ctx.nodes:
        before = ctx.metrics.before(node)
        point = before.first("process_start_time_seconds") if before else None
        if before is not None and point is not None and ctx.window is not None:
            per_node[node] = (
                max(0.0, ctx.window[0] - point.value),
                [ctx.metrics.cite(before, point)],
            )
    ctx.gather(
        "node_uptime_at_start", "min", per_node=per_node, default_why="no scrape at the start"
    )


def _containers(ctx: Context) -> None:
    for node in ctx.nodes:
        usage = ctx.usage.get(node)
        span = ctx.span
        samples = usage.within(*span) if usage and span else []
        states = [s for s in samples if s.state is not None]
        gone = [s for s in states if s.state in GONE_STATES]
        events = [
            e for e in ctx.events.get(node, []) if span and span[0] <= (e.time or 0.0) <= span[1]
        ]
        why = "container states are not recorded"
        evidence, known = _vanished(ctx, node)
        if gone:
            before = [s.time for s in states if s.time < gone[0].time]
            evidence.append(
                Found(
                    cite_states(ctx, node, gone[:2]), gone[0].time, before[-1] if before else None
                )
            )
        died = [e for e in events if e.data.get("action") == "die"]
        exits = evidence + [
            Found([ctx.cite_row("events.jsonl", e, "/action")], e.time, e.time) for e in died[:2]
        ]
        known += cite_states(ctx, node, states[:1])
        state_event(ctx, "node_exited", node, exits, known, why)
        killed = (
            exits
            + [
                Found([ctx.cite_row("events.jsonl", e, "/action")], e.time, e.time)
                for e in events
                if str(e.data.get("action", "")) in GONE_ACTIONS
            ][:3]
        )
        state_event(ctx, "node_killed", node, killed, known, why)
        oom = [s for s in (usage.samples if usage else []) if s.oom_killed]
        said = [s for s in (usage.samples if usage else []) if s.oom_killed is not None]
        evidence = []
        if oom and usage is not None:
            evidence.append(
                Found(
                    [
                        ctx.bundle.cite(
                            usage.file, line=oom[0].line, pointer="/oom_killed", value=True
                        )
                    ],
                    oom[0].time,
                )
            )
        evidence += [
            Found([ctx.cite_row("events.jsonl", e, "/action")], e.time, e.time)
            for e in events
            if e.data.get("action") == "oom"
        ]
        state_event(ctx, "node_oom_killed", node, evidence, ctx.cite_usage(node, said[:1]), why)


def _vanished(ctx: Context, node: str) -> tuple[list[Found], list[Citation]]:
    """Return (evidence that the container went away, evidence that it stayed) of docker stats.

    It lists running containers alone: one that is no longer listed while others are has ended.
    """
    usage = ctx.usage.get(node)
    if usage is None or usage.file != "docker-stats.jsonl" or ctx.span is None:
        return [], []
    inside = usage.within(*ctx.span)
    others = [
        s for n in ctx.nodes if n != node and n in ctx.usage for s in ctx.usage[n].within(*ctx.span)
    ]
    if not others:
        return [], []
    newest = max(others, key=lambda s: s.time)
    last = inside[-1].time if inside else ctx.span[0]
    if newest.time - last <= GONE_S:
        return [], ctx.cite_usage(node, inside[-1:])
    later = min((s for s in others if s.time > last + 1.0), key=lambda s: s.time, default=newest)
    cites = [*ctx.cite_usage(node, inside[-1:]), ctx.bundle.cite(usage.file, line=newest.line)]
    return [Found(cites, later.time, last)], []


def _quorum(ctx: Context) -> None:
    """More than half of the nodes gone or standing still at the same time (an hour apart is not).

    Without moments for each (plain bundles) being gone at the end is what counts.
    """
    if not ctx.nodes:
        ctx.put("quorum_lost", None, why="the bundle names no node")
        return
    majority = len(ctx.nodes) // 2 + 1
    down = []
    known = []
    for node in ctx.nodes:
        values = [ctx.value(n, node) for n in ("node_unreachable_at_end", "node_never_up")]
        frozen_all = (ctx.number("node_standstill_ratio", node) or 0.0) >= 0.8
        paused_long = (ctx.number("node_frozen_seconds", node) or 0.0) >= 0.5 * (
            (ctx.window[1] - ctx.window[0]) if ctx.window else float("inf")
        )
        unreachable = (ctx.number("node_unreachable_ratio", node) or 0.0) >= 0.5
        if any(v is True for v in values) or frozen_all or paused_long or unreachable:
            down.append(node)
        if any(v is not None for v in values):
            known.append(node)
    alive = len(known) - len([n for n in down if n in known])
    names = ("node_unreachable_at_end", "node_never_up", "node_standstill_ratio")
    cites = [c for n in (down or known) for name in names for c in ctx.cites(name, n)[:1]]
    logged = ctx.number("raft_quorum_lost_logged") or 0.0
    if len(ctx.nodes) - len(down) < majority:
        ctx.put("quorum_lost", True, cites)
    elif alive >= majority:
        ctx.put(
            "quorum_lost",
            False,
            [*cites, *(ctx.cites("raft_quorum_lost_logged") if logged else ())],
        )
    else:
        ctx.put("quorum_lost", None, why="too few nodes could be judged")


def _memory(ctx: Context) -> None:
    shares: PerNode = {}
    for node in ctx.nodes:
        after = ctx.metrics.after(node)
        point = after.first("process_resident_memory_bytes") if after else None
        usage = ctx.usage.get(node)
        inside = [s for s in (usage.within(*ctx.span) if usage and ctx.span else []) if s.memory]
        if after is not None and point is not None:
            ctx.put("node_memory_bytes", point.value, [ctx.metrics.cite(after, point)], node=node)
        else:
            ctx.put(
                "node_memory_bytes",
                inside[-1].memory if inside else None,
                ctx.cite_usage(node, inside[-1:]),
                node=node,
                why="neither scrape nor container memory",
            )
        limited = [s for s in inside if s.memory_limit]
        if limited:
            top = max(limited, key=lambda s: (s.memory or 0.0) / (s.memory_limit or 1.0))
            shares[node] = (
                (top.memory or 0.0) / (top.memory_limit or 1.0),
                ctx.cite_usage(node, [top]),
            )
    ctx.gather("node_memory_of_limit", "max", per_node=shares, default_why="no memory limit")

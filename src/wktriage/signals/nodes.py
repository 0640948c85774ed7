"""Each node: does it answer, does it stand still, did it start anew, and who blames it?"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise

from wktriage.model import Citation, Value
from wktriage.readers import cluster
from wktriage.readers import health as probes
from wktriage.readers import prom
from wktriage.readers.health import Probe
from wktriage.readers.jsonl import number
from wktriage.readers.times import parse_time
from wktriage.readers.usage import UsageSample
from wktriage.signals.context import Context, median, quantile
from wktriage.signals.cpu import cpu_samples
from wktriage.signals.metrics import P

PerNode = dict[str, tuple[Value, list[Citation]]]

STALL_S = 0.5
"""A healthz answer (no checks, no I/O: normally milliseconds) that takes this long is a stall."""

FROZEN_STALLS = 3
"""Stalls of one node while its peers answered, from which on it counts as frozen."""

IDLE_CORES = 0.005
BUSY_CORES = 0.05
"""A live node ticks Raft and takes at least 2 % of a core; below IDLE_CORES it stands still."""

IDLE_SHARE = 0.1
"""Share of samples at a standstill while peers work that makes a node frozen."""

PUSH = P + "delivery_push_rpc_duration_seconds"
ACTIVE = P + "gateway_connections_active"
GONE_STATES = ("exited", "dead", "missing", "removing")
GONE_ACTIONS = ("die", "kill", "stop", "oom")


@dataclass(frozen=True)
class Found:
    """One piece of evidence, with its bounds in time (epoch seconds)."""

    cites: list[Citation]
    since: float | None = None
    not_before: float | None = None


def compute(ctx: Context) -> None:
    """State the node signals; needs those of CPU, metrics and logs."""
    for node in ctx.nodes:
        _never_up(ctx, node)
    nodes_cites = [c for n in ctx.nodes for c in ctx.cites("node_never_up", n)[:1]]
    topology = ctx.bundle.exists("topology.json")
    expected = [ctx.bundle.cite("topology.json", pointer="/nodes/0/name", value=ctx.nodes[0])] if (
        topology and ctx.nodes) else nodes_cites
    ctx.put("nodes_expected", len(ctx.nodes), expected, why="the bundle names no node")
    _total(ctx, "nodes_never_up", "node_never_up")
    _readiness(ctx)
    _reachability(ctx)
    _frozen(ctx)
    _restarts(ctx)
    _containers(ctx)
    for total, each in (
        ("nodes_unreachable", "node_unreachable"),
        ("nodes_frozen", "node_frozen"),
        ("nodes_restarted", "node_restarted"),
    ):
        _total(ctx, total, each)
    _quorum(ctx)
    _memory(ctx)
    _connections(ctx)
    _blame(ctx)
    _slow_targets(ctx)
    _cluster(ctx)
    _suspects(ctx)


def _total(ctx: Context, name: str, each: str) -> None:
    values = [ctx.value(each, n) for n in ctx.nodes]
    cites = [c for n in ctx.nodes if ctx.value(each, n) for c in ctx.cites(each, n)[:2]] or [
        c for n in ctx.nodes for c in ctx.cites(each, n)[:1]
    ]
    known = [v for v in values if v is not None]
    ctx.put(
        name, sum(bool(v) for v in known) if known else None, cites, why="unknown for every node"
    )


# -- up, ready, reachable -------------------------------------------------------------------------


def _never_up(ctx: Context, node: str) -> None:
    """A node was up if it ever answered: a scrape, a probe, its log's start-up line."""
    metrics = ctx.metrics
    for rel in (metrics.file(node), metrics.file(node, before=True)):
        if ctx.bundle.size(rel) > 0:
            ctx.put("node_never_up", False, [ctx.bundle.cite(rel)], node=node)
            return
    if metrics.series(node):
        scrape = metrics.series(node)[0][1]
        ctx.put("node_never_up", False, [ctx.bundle.cite(scrape.file)], node=node)
        return
    answered = [p for p in ctx.health.get(node, []) if p.ok]
    if answered:
        cite = ctx.bundle.cite("health.jsonl", line=answered[0].line, pointer="/ok", value=True)
        ctx.put("node_never_up", False, [cite], node=node)
        return
    started = ctx.logs[node].matching("internal.app.started")
    if started:
        first = started[0]
        ctx.put(
            "node_never_up", False, [ctx.cite_line(first.file, first.line, first.excerpt)],
            node=node,
        )
        return
    failed = metrics.failed_scrapes(node)
    asked = [p for p in ctx.health.get(node, []) if p.kind == "healthz"]
    cites = [ctx.bundle.cite(rel) for rel in failed[:2]]
    if asked:
        cites.append(
            ctx.bundle.cite("health.jsonl", line=asked[-1].line, pointer="/ok", value=False)
        )
    ctx.put(
        "node_never_up", True if cites else None, cites, node=node,
        why="neither scrapes nor probes nor logs of this node are there",
    )


def _readiness(ctx: Context) -> None:
    per_node: PerNode = {}
    for node in ctx.nodes:
        inside = _probes(ctx, node, "readyz")
        if not inside:
            continue
        seconds = _failed_seconds(inside, ctx.window)
        bad = [p for p in inside if not p.ok]
        per_node[node] = (seconds, [_cite_probe(ctx, p) for p in (bad or inside)[:2]])
    ctx.gather(
        "node_not_ready_seconds", "max", per_node=per_node, default_why="no readyz in the window"
    )


def _probes(ctx: Context, node: str, kind: str) -> list[Probe]:
    if ctx.window is None:
        return []
    return [
        p
        for p in ctx.health.get(node, [])
        if p.kind == kind and ctx.window[0] <= p.time <= ctx.window[1]
    ]


def _cite_probe(ctx: Context, probe: Probe) -> Citation:
    return ctx.bundle.cite("health.jsonl", line=probe.line, pointer="/ok", value=probe.ok)


def _failed_seconds(inside: list[Probe], window: tuple[float, float] | None) -> float:
    """Sum the time from each failed probe to the next probe (the window's end for the last)."""
    total = 0.0
    for a, b in pairwise(inside):
        if not a.ok:
            total += b.time - a.time
    if inside and not inside[-1].ok and window is not None:
        total += max(0.0, window[1] - inside[-1].time)
    return total


def _reachability(ctx: Context) -> None:
    seconds: PerNode = {}
    ratios: PerNode = {}
    for node in ctx.nodes:
        evidence: list[Found] = []
        known: list[Citation] = []
        inside = _probes(ctx, node, "healthz")
        failed = [p for p in inside if not p.ok]
        if inside:
            known.append(_cite_probe(ctx, inside[0]))
            cites = [_cite_probe(ctx, p) for p in (failed or inside)[:2]]
            seconds[node] = (_failed_seconds(inside, ctx.window), cites)
            ratios[node] = (len(failed) / len(inside), cites)
        # One lost probe is noise; two in a row, or a twentieth of all, is not.
        if failed and (len(failed) >= 0.05 * len(inside) or _in_a_row(inside)):
            good = [p.time for p in inside if p.ok and p.time < failed[0].time]
            evidence.append(
                Found(
                    [_cite_probe(ctx, p) for p in failed[:2]],
                    failed[0].time,
                    good[-1] if good else (ctx.window or (None,))[0],
                )
            )
        scrape = _scrape_evidence(ctx, node)
        if scrape is None:
            ctx.put("node_scrape_failed", None, node=node, why="no scrape was tried")
        else:
            lost, cites = scrape
            ctx.put("node_scrape_failed", lost, cites, node=node)
            known += cites[:1]
            if lost and not (inside and not failed):
                window = ctx.window or (None, None)
                evidence.append(Found(cites, window[1], window[0]))
        _state_event(ctx, "node_unreachable", node, evidence, known, "no probe, no scrape")
        _at_end(ctx, node, inside, scrape)
    ctx.gather("node_unreachable_seconds", "max", per_node=seconds, default_why="no healthz probes")
    ctx.gather("node_unreachable_ratio", "max", per_node=ratios, default_why="no healthz probes")


def _in_a_row(inside: list[Probe]) -> bool:
    return any(not a.ok and not b.ok for a, b in pairwise(inside))


def _scrape_evidence(ctx: Context, node: str) -> tuple[bool, list[Citation]] | None:
    """Return whether a scrape in or after the window failed, with citations."""
    metrics = ctx.metrics
    before = f"{metrics.file(node, before=True)}.err"
    failed = [rel for rel in metrics.failed_scrapes(node) if rel != before]
    if failed:
        return True, [ctx.bundle.cite(rel) for rel in failed[:3]]
    if ctx.bundle.size(metrics.file(node)) > 0:
        return False, [ctx.bundle.cite(metrics.file(node))]
    return None


def _at_end(
    ctx: Context, node: str, inside: list[Probe], scrape: tuple[bool, list[Citation]] | None
) -> None:
    last = f"{ctx.metrics.file(node)}.err"
    if inside:
        ctx.put(
            "node_unreachable_at_end", not inside[-1].ok, [_cite_probe(ctx, inside[-1])], node=node
        )
    elif ctx.bundle.exists(last):
        ctx.put("node_unreachable_at_end", True, [ctx.bundle.cite(last)], node=node)
    elif scrape is not None:
        ctx.put("node_unreachable_at_end", False, scrape[1], node=node)
    else:
        ctx.put("node_unreachable_at_end", None, node=node, why="no probe, no scrape")


def _state_event(
    ctx: Context,
    name: str,
    node: str,
    evidence: list[Found],
    known: list[Citation],
    why: str,
) -> None:
    """State a bool that holds when there is evidence, and not when it was looked for in vain."""
    if evidence:
        evidence.sort(key=lambda f: f.since if f.since is not None else float("inf"))
        ctx.put(
            name,
            True,
            [c for f in evidence for c in f.cites[:2]],
            node=node,
            since=evidence[0].since,
            not_before=evidence[0].not_before,
        )
    else:
        ctx.put(name, False if known else None, known, node=node, why=why)


# -- frozen ---------------------------------------------------------------------------------------


def _frozen(ctx: Context) -> None:
    stalls: PerNode = {}
    longest: PerNode = {}
    seconds: PerNode = {}
    slow_by_node = {
        n: [p for p in _probes(ctx, n, "healthz") if p.took is not None and p.took >= STALL_S]
        for n in ctx.nodes
    }
    for node in ctx.nodes:
        inside = [p for p in _probes(ctx, node, "healthz") if p.took is not None]
        times = [p.took or 0.0 for p in inside if p.ok]
        slow = slow_by_node[node]
        for name, q in (("node_healthz_p50_ms", 0.5), ("node_healthz_p99_ms", 0.99)):
            value = quantile(times, q)
            ctx.put(
                name,
                value * 1000 if value is not None else None,
                [_cite_probe(ctx, p) for p in inside[:1]],
                node=node,
                why="no healthz answers in the window",
            )
        evidence: list[Found] = []
        known: list[Citation] = []
        still = 0.0
        if inside:
            known.append(_cite_probe(ctx, inside[0]))
            top = max(inside, key=lambda p: (p.took or 0.0, -p.line))
            longest[node] = ((top.took or 0.0) * 1000, [_cite_probe(ctx, top)])
            cites = [_cite_probe(ctx, p) for p in (slow or inside)[:2]]
            stalls[node] = (len(slow), cites)
            still = sum(p.took or 0.0 for p in slow)
            seconds[node] = (still, cites)
            mine = len(slow)
            others = max((len(slow_by_node[n]) for n in ctx.nodes if n != node), default=0)
            if mine >= FROZEN_STALLS and mine >= 3 * others:
                evidence.append(Found(cites, slow[0].time, _good_before(inside, slow[0])))
        paused = _paused(ctx, node)
        if paused is None:
            ctx.put("node_paused", None, node=node, why="container states are not recorded")
        else:
            ctx.put(
                "node_paused", paused[0], paused[1].cites, node=node, since=paused[1].since,
                not_before=paused[1].not_before,
            )
            known += paused[1].cites[:1]
            if paused[0]:
                evidence.append(paused[1])
                seconds[node] = (max(still, paused[2]), paused[1].cites)
        idle = _idle(ctx, node)
        if idle is None:
            ctx.put("node_cpu_idle_ratio", None, node=node, why="no CPU samples of the nodes")
        else:
            ratio, found = idle
            ctx.put(
                "node_cpu_idle_ratio", ratio, found.cites, node=node, since=found.since,
                not_before=found.not_before,
            )
            known += found.cites[:1]
            if ratio >= IDLE_SHARE and ctx.value("node_exited", node) is not True:
                evidence.append(found)
        _state_event(ctx, "node_frozen", node, evidence, known, "no probe, no state, no CPU sample")
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
        for e in ctx.events
        if e.data.get("name") == node
        and e.data.get("action") == "pause"
        and ctx.span[0] <= (e.time or 0.0) <= ctx.span[1]
    ]
    paused = [s for s in states if s.state == "paused"]
    if events:
        cites = [ctx.cite_row("events.jsonl", e, "/action") for e in events[:2]]
        time = events[0].time
        return True, Found([*cites, *ctx.cite_usage(node, paused[:1])], time, time), _spans(
            states, paused
        )
    if paused:
        before = [s.time for s in states if s.time < paused[0].time]
        cites = _cite_states(ctx, node, paused[:2])
        return (
            True,
            Found(cites, paused[0].time, before[-1] if before else None),
            _spans(states, paused),
        )
    return (False, Found(_cite_states(ctx, node, states[:1])), 0.0) if states else None


def _cite_states(ctx: Context, node: str, samples: list[UsageSample]) -> list[Citation]:
    if not samples:
        return []
    file = ctx.usage[node].file
    return [
        ctx.bundle.cite(file, line=s.line, pointer="/state", value=s.state) for s in samples
    ]


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
    still = [
        s
        for s in mine
        if (s.cpu_cores or 0.0) < IDLE_CORES and _near(busy_at, s.time)
    ]
    before = [s.time for s in mine if still and s.time < still[0].time]
    return len(still) / len(mine), Found(
        ctx.cite_usage(node, still or mine),
        still[0].time if still else None,
        before[-1] if before else (ctx.span or (None,))[0] if still else None,
    )


def _near(times: list[float], time: float) -> bool:
    at = bisect_left(times, time - 2.0)
    return at < len(times) and times[at] <= time + 2.0


# -- restarts and containers ----------------------------------------------------------------------


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
        _state_event(ctx, "node_restarted", node, moments, known, "no start is recorded")
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
        known.append(_cite_probe(ctx, probe)) if last is None else None
        if last is not None and boot != last[0] and _in_window(ctx, probe.time):
            start = parse_time(probes.summary(probe).get("process_started_at"))
            found.append(
                Found(
                    [_cite_probe(ctx, last[1]), _cite_probe(ctx, probe)],
                    start or probe.time,
                    start or last[1].time,
                )
            )
        last = (boot, probe)
    return found


def _in_window(ctx: Context, time: float | None) -> bool:
    return ctx.window is not None and time is not None and ctx.window[0] <= time <= ctx.window[1]


def _container_starts(ctx: Context, node: str, known: list[Citation]) -> list[Found]:
    usage = ctx.usage.get(node)
    found: list[Found] = []
    samples = [s for s in (usage.samples if usage else []) if s.started_at]
    if samples and usage is not None:
        known.append(ctx.bundle.cite(usage.file, line=samples[0].line, pointer="/started_at",
                                     value=samples[0].started_at))
    for a, b in pairwise(samples):
        if a.started_at != b.started_at and _in_window(ctx, b.time) and usage is not None:
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
                max(0.0, ctx.window[0] - point.value), [ctx.metrics.cite(before, point)]
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
            e
            for e in ctx.events
            if e.data.get("name") == node and span and span[0] <= (e.time or 0.0) <= span[1]
        ]
        why = "container states are not recorded"
        evidence = []
        if gone:
            before = [s.time for s in states if s.time < gone[0].time]
            evidence.append(
                Found(
                    _cite_states(ctx, node, gone[:2]), gone[0].time, before[-1] if before else None
                )
            )
        died = [e for e in events if e.data.get("action") == "die"]
        exits = evidence + [
            Found([ctx.cite_row("events.jsonl", e, "/action")], e.time, e.time) for e in died[:2]
        ]
        known = _cite_states(ctx, node, states[:1])
        _state_event(ctx, "node_exited", node, exits, known, why)
        killed = exits + [
            Found([ctx.cite_row("events.jsonl", e, "/action")], e.time, e.time)
            for e in events
            if str(e.data.get("action", "")) in GONE_ACTIONS
        ][:3]
        _state_event(ctx, "node_killed", node, killed, known, why)
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
        _state_event(ctx, "node_oom_killed", node, evidence, ctx.cite_usage(node, said[:1]), why)


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
        values = [
            ctx.value(n, node)
            for n in ("node_unreachable_at_end", "node_never_up")
        ]
        frozen_all = (ctx.number("node_cpu_idle_ratio", node) or 0.0) >= 0.8
        paused_long = (ctx.number("node_frozen_seconds", node) or 0.0) >= 0.5 * (
            (ctx.window[1] - ctx.window[0]) if ctx.window else float("inf")
        )
        unreachable = (ctx.number("node_unreachable_ratio", node) or 0.0) >= 0.5
        if any(v is True for v in values) or frozen_all or paused_long or unreachable:
            down.append(node)
        if any(v is not None for v in values):
            known.append(node)
    alive = len(known) - len([n for n in down if n in known])
    names = ("node_unreachable_at_end", "node_never_up", "node_cpu_idle_ratio")
    cites = [
        c for n in (down or known) for name in names for c in ctx.cites(name, n)[:1]
    ]
    logged = ctx.number("raft_quorum_lost_logged") or 0.0
    if len(ctx.nodes) - len(down) < majority:
        ctx.put("quorum_lost", True, cites)
    elif alive >= majority:
        ctx.put("quorum_lost", False, [*cites, *(ctx.cites("raft_quorum_lost_logged") if logged
                                                 else ())])
    else:
        ctx.put("quorum_lost", None, why="too few nodes could be judged")


def _memory(ctx: Context) -> None:
    shares: PerNode = {}
    for node in ctx.nodes:
        after = ctx.metrics.after(node)
        point = after.first("process_resident_memory_bytes") if after else None
        usage = ctx.usage.get(node)
        inside = [
            s for s in (usage.within(*ctx.span) if usage and ctx.span else []) if s.memory
        ]
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
                (top.memory or 0.0) / (top.memory_limit or 1.0), ctx.cite_usage(node, [top])
            )
    ctx.gather("node_memory_of_limit", "max", per_node=shares, default_why="no memory limit")


# -- connections ----------------------------------------------------------------------------------


def _active(scrape: prom.Scrape) -> tuple[float, list[prom.Point]] | None:
    points = scrape.points(ACTIVE)
    return (sum(p.value for p in points), points) if points else None


def _connections(ctx: Context) -> None:
    first: PerNode = {}
    last: PerNode = {}
    lost: PerNode = {}
    ratios: PerNode = {}
    moments: dict[str, tuple[float | None, float | None]] = {}
    for node in ctx.nodes:
        before, after = ctx.metrics.before(node), ctx.metrics.after(node)
        series = ctx.metrics.series(node)
        start = before or (series[0][1] if series else None)
        opening = _active(start) if start is not None else None
        if start is None or opening is None:
            continue
        here = [ctx.metrics.cite(start, p) for p in opening[1][:1]]
        first[node] = (opening[0], here)
        if after is not None and (closing := _active(after)) is not None:
            last[node] = (closing[0], [ctx.metrics.cite(after, p) for p in closing[1][:1]])
        lowest: tuple[float, list[Citation]] | None = None
        window = ctx.window or (None, None)
        timed = [*((t, s) for t, s in series), *([(window[1], after)] if after else [])]
        previous: float | None = window[0]
        for time, scrape in timed:
            now = _active(scrape)
            if now is None:
                continue
            if now[0] < opening[0] and node not in moments:
                moments[node] = (time, previous)
            previous = time
            if lowest is None or now[0] < lowest[0]:
                lowest = (now[0], [ctx.metrics.cite(scrape, p) for p in now[1][:1]])
        if lowest is not None:
            drop = max(0.0, opening[0] - lowest[0])
            lost[node] = (drop, [*lowest[1], *here])
            ratios[node] = (drop / opening[0] if opening[0] else None, [*lowest[1], *here])
    ctx.gather("connections_before", per_node=first, default_why="no scrape at the start")
    ctx.gather("connections_after", per_node=last, default_why="no scrape at the end")
    why = "no scrapes at both ends"
    for node in ctx.nodes:
        value, cites = lost.get(node, (None, []))
        since, not_before = moments.get(node, (None, None))
        logged = [
            t for t in ctx.logs[node].matching("session_error") if t.first_in_window is not None
        ]
        if value and logged:
            template = logged[0]
            cites = [*cites, ctx.cite_line(template.file, template.window_line,
                                           template.window_excerpt)]
            if since is None or (template.first_in_window or 0.0) < since:
                since = template.first_in_window
        ctx.put(
            "connections_lost", value, cites, node=node, since=since, not_before=not_before,
            why=why,
        )
    numbers = {n: float(v) for n, (v, _) in lost.items() if isinstance(v, int | float)}
    top = sorted(numbers, key=lambda n: (-numbers[n], n))
    cites = [c for n in top for c in lost[n][1][:2]]
    total = sum(numbers.values()) if numbers else None
    ctx.put("connections_lost", total, cites, why=why)
    for node in ctx.nodes:
        value, found = ratios.get(node, (None, []))
        ctx.put("connections_lost_ratio", value, found, node=node, why=why)
    users = number(ctx.config.get("total_users", ctx.bundle.workload.get("users")))
    ctx.put(
        "connections_lost_ratio",
        total / users if total is not None and users else None,
        cites,
        why="connections or users are unknown",
    )
    after_total = ctx.number("connections_after")
    complete = len(last) == len(ctx.nodes) and bool(ctx.nodes)
    ctx.put(
        "connections_online_ratio",
        after_total / users if after_total is not None and users and complete else None,
        ctx.cites("connections_after"),
        why="not every node was scraped at the end, or the number of users is unknown",
    )


# -- blame ----------------------------------------------------------------------------------------


def _blame(ctx: Context) -> None:
    """Count who names whom: log lines with a target node, and failed pushes by target."""
    naming: dict[str, dict[str, float]] = {}
    cites: dict[str, list[Citation]] = {n: [] for n in ctx.nodes}
    sources: list[Citation] = []
    family = P + "delivery_push_rpc_total"
    failed_to: dict[str, float] = {n: 0.0 for n in ctx.nodes}
    push_cites: dict[str, list[Citation]] = {n: [] for n in ctx.nodes}
    first: dict[str, float] = {}
    for peer in ctx.nodes:
        counts: dict[str, float] = {}
        grown = ctx.metrics.increase(peer, family, lambda v: v.get("result") != "ok")
        ends = ctx.metrics.ends(peer, family)
        if not isinstance(grown, str) and not isinstance(ends, str):
            sources.append(ctx.bundle.cite(ends[1].file))
            old = {p.series: p.value for p in ends[0].points(family)} if ends[0] else {}
            for point in grown[1]:
                target = ctx.bundle.node_by_id(point.labels.get("target_node"))
                if target is None or target == peer:
                    continue
                delta = point.value - old.get(point.series, 0.0)
                counts[target] = counts.get(target, 0.0) + delta
                failed_to[target] += delta
                cite = ctx.metrics.cite(ends[1], point)
                cites[target].append(cite)
                push_cites[target].append(cite)
        logs = ctx.logs[peer]
        if logs.files:
            sources.append(ctx.bundle.cite(logs.files[0]))
        for number_, template in logs.targets.items():
            target = ctx.bundle.node_by_id(number_)
            if target is None or target == peer or not template.in_window:
                continue
            # The same failure shows in the log and in the counter: take the larger, not the sum.
            counts[target] = max(counts.get(target, 0.0), float(template.in_window))
            cites[target].insert(
                0, ctx.cite_line(template.file, template.window_line, template.window_excerpt)
            )
            if template.first_in_window is not None:
                first[target] = min(first.get(target, float("inf")), template.first_in_window)
        naming[peer] = counts
    everything = sum(sum(c.values()) for c in naming.values())
    pushes = sum(failed_to.values())
    for node in ctx.nodes:
        peers = [
            p
            for p, counts in naming.items()
            if counts.get(node, 0.0) >= 2 and counts[node] >= 0.25 * sum(counts.values())
        ]
        mine = sum(c.get(node, 0.0) for c in naming.values())
        basis = cites[node] or sources
        why = "neither logs nor scrapes of the peers"
        known = bool(sources)
        ctx.put(
            "peers_blame", len(peers) if known else None, basis, node=node, why=why,
            since=first.get(node) if peers else None,
            not_before=ctx.window[0] if peers and ctx.window and node in first else None,
        )
        ctx.put("peers_blame_failures", mine if known else None, basis, node=node, why=why)
        ctx.put(
            "peers_blame_share", mine / everything if everything else (0 if known else None), basis,
            node=node, why=why,
        )
        ctx.put("push_errors_to", failed_to[node] if known else None, push_cites[node] or sources,
                node=node, why=why)
        ctx.put(
            "push_error_share_to",
            failed_to[node] / pushes if pushes else (0 if known else None),
            push_cites[node] or sources,
            node=node,
            why=why,
        )


def _slow_targets(ctx: Context) -> None:
    means: dict[str, float] = {}
    cites: dict[str, list[Citation]] = {}
    for node in ctx.nodes:
        number_ = ctx.bundle.metrics_key(node).removeprefix("node")
        pooled = prom.EMPTY
        here: list[Citation] = []
        for peer in ctx.nodes:
            if peer == node:
                continue
            found = ctx.metrics.histogram(peer, PUSH, {"target_node": number_})
            if isinstance(found, str) or not found.count:
                continue
            pooled = pooled + found
            here += ctx.metrics.cite_histogram(peer, PUSH, {"target_node": number_})[:4]
        why = "no pushes from peers to this node in the window, or no scrapes"
        ctx.put("peer_slow_rpc_mean", pooled.mean, here, node=node, why=why)
        ctx.put(
            "peer_slow_rpc_p99", pooled.quantile(0.99), here, node=node,
            why=why if not pooled.count else f"{pooled.count:g} pushes are too few for a p99",
        )
        if pooled.mean is not None:
            means[node], cites[node] = pooled.mean, here
    for node in ctx.nodes:
        others = median([v for n, v in means.items() if n != node])
        ctx.put(
            "peer_slow_rpc_vs_others",
            means[node] / others if node in means and others else None,
            cites.get(node, []),
            node=node,
            why="pushes to this node or to others are unknown",
        )


# -- cluster view ---------------------------------------------------------------------------------


def _cluster(ctx: Context) -> None:
    view = cluster.read(ctx.bundle, ctx.window)
    cite_last = [ctx.bundle.cite("cluster.jsonl", line=view.last_line)] if view.last_line else []
    why = "cluster.jsonl holds no sample in the window"
    ctx.put("slot_term_growth", view.term_growth, cite_last, why=why)
    ctx.put(
        "slots_without_leader",
        view.leaderless,
        [ctx.bundle.cite("cluster.jsonl", line=view.leaderless_line)]
        if view.leaderless_line
        else cite_last,
        why=why,
    )
    lag: PerNode = {}
    for node in ctx.nodes:
        number_ = ctx.bundle.metrics_key(node).removeprefix("node")
        if number_ in view.lag:
            value, line = view.lag[number_]
            lag[node] = (value, [ctx.bundle.cite("cluster.jsonl", line=line)])
    ctx.gather("replica_lag_entries", "max", per_node=lag, default_why=why)
    family = P + "slot_apply_gap"
    gaps: PerNode = {}
    for node in ctx.nodes:
        best: tuple[float, list[Citation]] | None = None
        for scrape in ctx.metrics.scrapes(node, family):
            for point in scrape.points(family):
                if best is None or point.value > best[0]:
                    best = (point.value, [ctx.metrics.cite(scrape, point)])
        if node in view.apply_gap and (best is None or view.apply_gap[node][0] > best[0]):
            value, line = view.apply_gap[node]
            best = (value, [ctx.bundle.cite("cluster.jsonl", line=line)])
        if best is not None:
            gaps[node] = best
    ctx.gather("slot_apply_gap", "max", per_node=gaps, default_why="no scrapes, no cluster view")


def _suspects(ctx: Context) -> None:
    """Count the independent kinds of evidence that single out a node."""
    for node in ctx.nodes:
        cites: list[Citation] = []
        score = 0
        judged = False
        for name, holds in _KINDS:
            value = ctx.value(name, node)
            if value is None:
                continue
            judged = True
            if holds(value, ctx):
                score += 1
                cites += ctx.cites(name, node)[:1]
        basis = cites or [c for name, _ in _KINDS for c in ctx.cites(name, node)[:1]]
        ctx.put(
            "node_suspect_score", score if judged else None, basis, node=node,
            why="no node evidence",
        )


def _above(limit: float):  # type: ignore[no-untyped-def]
    return lambda value, ctx: not isinstance(value, str) and float(value) > limit


_KINDS = (
    ("node_unreachable", lambda value, ctx: value is True),
    ("node_frozen", lambda value, ctx: value is True),
    ("node_restarted", lambda value, ctx: value is True),
    ("node_killed", lambda value, ctx: value is True),
    ("peers_blame", lambda value, ctx: value >= max(1, (len(ctx.nodes) - 1) // 2 + 1)),
    ("peer_slow_rpc_vs_others", _above(4.0)),
    ("rpc_served_vs_peers", lambda value, ctx: value < 0.2),
    ("node_throttled_ratio", _above(0.25)),
    ("connections_lost_ratio", _above(0.1)),
    ("replica_lag_entries", _above(1000.0)),
    ("append_vs_peers", _above(4.0)),
    ("storage_commit_vs_peers", _above(4.0)),
)

"""Nodes that started anew: from start times, boot ids, containers and logs."""

from __future__ import annotations

from itertools import pairwise

from wktriage.bundle.readers import health as probes
from wktriage.bundle.readers.health import Probe
from wktriage.core.model import Citation, Value
from wktriage.core.times import parse_time
from wktriage.judging.signals.context import Context, PerNode
from wktriage.judging.signals.evidence import Evidence, cite_probe, in_window, state_event, total_of
from wktriage.judging.signals.metrics import P


def compute(ctx: Context) -> None:
    """State whether nodes restarted in the window, and how old their processes are."""
    _restarts(ctx)
    total_of(ctx, "nodes_restarted", "node_restarted")


def _restarts(ctx: Context) -> None:
    counts: PerNode = {}
    resets: PerNode = {}
    boots = {node: _boots(ctx, node) for node in ctx.nodes}
    whose = {answers[0][1]: node for node, answers in boots.items() if answers}
    for node in ctx.nodes:
        moments: list[Evidence] = []
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
                moments.append(
                    Evidence([ctx.metrics.cite(scrape, point)], point.value, point.value)
                )
        if len(begun) > 1 and not moments:
            point = scrapes[-1].first("process_start_time_seconds")
            if point is not None:
                moments.append(
                    Evidence([ctx.metrics.cite(scrapes[-1], point)], begun[-1], begun[-1])
                )
        # What another node answers at this one's address says nothing of this one.
        own = [(probe, boot) for probe, boot in boots[node] if whose.get(boot, node) == node]
        moments += _boot_changes(ctx, own, known)
        moments += _container_starts(ctx, node, known)
        for time, file, line in ctx.log_starts.get(node, []):
            if window is not None and window[0] < time <= window[1]:
                moments.append(Evidence([ctx.cite_line(file, line)], time, time))
            elif not known:
                known.append(ctx.cite_line(file, line))
        distinct = _distinct(moments)
        state_event(
            ctx, "node_restarted", node, moments, known, "no start of the process is recorded"
        )
        if moments or known:
            cites = [c for f in moments for c in f.cites] or known
            counts[node] = (len(distinct), cites[:3])
        resets[node] = _counter_resets(ctx, node)
        _uptimes(ctx, node)
    ctx.gather("node_restarts", per_node=counts, default_why="no start of the process is recorded")
    ctx.gather("node_counter_resets", per_node=resets, default_why="fewer than two scrapes")
    _uptime_at_start(ctx)


def _distinct(moments: list[Evidence], apart: float = 5.0) -> list[float]:
    """Return the moments that are further apart than sources disagree on one restart."""
    distinct: list[float] = []
    for time in sorted(f.since for f in moments if f.since is not None):
        if not distinct or time - distinct[-1] > apart:
            distinct.append(time)
    return distinct


def _boot_changes(
    ctx: Context, boots: list[tuple[Probe, str]], known: list[Citation]
) -> list[Evidence]:
    changes: list[Evidence] = []
    last: tuple[str, Probe] | None = None
    for probe, boot in boots:
        known.append(cite_probe(ctx, probe)) if last is None else None
        if last is not None and boot != last[0] and in_window(ctx, probe.time):
            start = parse_time(probes.summary(probe).get("process_started_at"))
            changes.append(
                Evidence(
                    [cite_probe(ctx, last[1]), cite_probe(ctx, probe)],
                    start or probe.time,
                    start or last[1].time,
                )
            )
        last = (boot, probe)
    return changes


def _boots(ctx: Context, node: str) -> list[tuple[Probe, str]]:
    """Return the answers of a node that tell which process gave them, and which one it was."""
    answered = [p for p in ctx.health.get(node, []) if p.kind == "goroutines" and p.ok]
    told = [(p, str(probes.summary(p).get("boot_id") or "")) for p in answered]
    return [(probe, boot) for probe, boot in told if boot]


def _container_starts(ctx: Context, node: str, known: list[Citation]) -> list[Evidence]:
    usage = ctx.usage.get(node)
    starts: list[Evidence] = []
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
            starts.append(
                Evidence(
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
    return starts


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

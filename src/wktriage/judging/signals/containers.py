"""Each node's container: exited, killed, out of memory, and its memory."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right

from wktriage.bundle.readers.usage import UsageSample
from wktriage.core.model import Citation
from wktriage.judging.signals.context import Context, PerNode
from wktriage.judging.signals.evidence import GONE_STATES, Evidence, cite_states, state_event

GONE_S = 10.0
"""Seconds without a docker stats row (they come every 4-5 s), after which a container is gone."""

GONE_ACTIONS = ("die", "kill", "stop", "oom")


def compute(ctx: Context) -> None:
    """State whether containers went away, and how much memory they took."""
    _containers(ctx)
    _memory(ctx)


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
                Evidence(
                    cite_states(ctx, node, gone[:2]), gone[0].time, before[-1] if before else None
                )
            )
        died = [e for e in events if e.data.get("action") == "die"]
        exits = evidence + [
            Evidence([ctx.cite_row("events.jsonl", e, "/action")], e.time, e.time) for e in died[:2]
        ]
        known += cite_states(ctx, node, states[:1])
        state_event(ctx, "node_exited", node, exits, known, why)
        killed = (
            exits
            + [
                Evidence([ctx.cite_row("events.jsonl", e, "/action")], e.time, e.time)
                for e in events
                if str(e.data.get("action", "")) in GONE_ACTIONS
            ][:3]
        )
        state_event(ctx, "node_killed", node, killed, known, why)
        oom = [s for s in (usage.samples if usage else []) if s.oom_killed]
        recorded = [s for s in (usage.samples if usage else []) if s.oom_killed is not None]
        evidence = []
        if oom and usage is not None:
            evidence.append(
                Evidence(
                    [
                        ctx.bundle.cite(
                            usage.file, line=oom[0].line, pointer="/oom_killed", value=True
                        )
                    ],
                    oom[0].time,
                )
            )
        evidence += [
            Evidence([ctx.cite_row("events.jsonl", e, "/action")], e.time, e.time)
            for e in events
            if e.data.get("action") == "oom"
        ]
        state_event(ctx, "node_oom_killed", node, evidence, ctx.cite_usage(node, recorded[:1]), why)


def _listed(ctx: Context) -> list[tuple[UsageSample, str]]:
    """Return what was seen of all nodes in the span, in order of time, with its node."""
    if ctx.span is None:
        return []
    seen = [(s, n) for n in ctx.nodes if n in ctx.usage for s in ctx.usage[n].within(*ctx.span)]
    return sorted(seen, key=_when)


def _when(entry: tuple[UsageSample, str]) -> float:
    return entry[0].time


def _first_of_others(listed: list[tuple[UsageSample, str]], node: str, start: int) -> UsageSample:
    return next(s for s, n in itertools.islice(listed, start, None) if n != node)


def _vanished(ctx: Context, node: str) -> tuple[list[Evidence], list[Citation]]:
    """Return (evidence that the container went away, evidence that it stayed) of docker stats.

    It lists running containers alone: one that is no longer listed while others are has ended.
    """
    usage = ctx.usage.get(node)
    if usage is None or usage.file != "docker-stats.jsonl" or ctx.span is None:
        return [], []
    inside = usage.within(*ctx.span)
    listed = ctx.bundle.once("listed", lambda: _listed(ctx))
    latest = next((s.time for s, n in reversed(listed) if n != node), None)
    if latest is None:
        return [], []
    newest = _first_of_others(listed, node, bisect_left(listed, latest, key=_when))
    last = inside[-1].time if inside else ctx.span[0]
    if newest.time - last <= GONE_S:
        return [], ctx.cite_usage(node, inside[-1:])
    # The newest of them is later than that.
    later = _first_of_others(listed, node, bisect_right(listed, last + 1.0, key=_when))
    cites = [*ctx.cite_usage(node, inside[-1:]), ctx.bundle.cite(usage.file, line=newest.line)]
    return [Evidence(cites, later.time, last)], []


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
                why="neither the node nor its container reported memory",
            )
        limited = [s for s in inside if s.memory_limit]
        if limited:
            top = max(limited, key=lambda s: (s.memory or 0.0) / (s.memory_limit or 1.0))
            shares[node] = (
                (top.memory or 0.0) / (top.memory_limit or 1.0),
                ctx.cite_usage(node, [top]),
            )
    ctx.gather("node_memory_of_limit", "max", per_node=shares, default_why="no memory limit")

"""CPU profiles and goroutine dumps."""

from __future__ import annotations

import re

from wktriage.bundle.readers import goroutines, pprof
from wktriage.core.model import Citation, Value
from wktriage.judging.signals.context import Context, PerNode

IDLE = re.compile(
    r"(?:dequeue|dispatch|pump|ReadFrame|WaitBatchInto|untrackConnWhenDone|newService\.func\d+|[wW]orker\w*"
    r"|[rR]un|[lL]oop\w*|[sS]erve|Accept|poll\w*|[wW]atch\w*)(?:\.func[\d.]+)*$"
)
"""Where goroutines wait for work to come. Those waiting anywhere else wait for work to be done."""


def compute(ctx: Context) -> None:
    """State the signals of profiles and dumps."""
    _cpu(ctx)
    _goroutines(ctx)


def _cpu(ctx: Context) -> None:
    names = (
        "pprof_top_group",
        "pprof_top_group_share",
        "pprof_top_function",
        "pprof_top_function_share",
        "pprof_syscall_share",
        "node_gc_cpu_share",
    )
    merged = pprof.Profile()
    merged_cites: list[Citation] = []
    reasons: list[str] = []
    for node in ctx.nodes:
        rel = f"pprof/{ctx.bundle.metrics_key(node)}-cpu.pb.gz"
        data = ctx.bundle.read_bytes(rel, pprof.CAP + 1)
        profile = pprof.decode(data) if data else None
        if profile is None:
            reason = ctx.bundle.error(rel) or (
                "the profile is damaged or empty" if ctx.bundle.exists(rel) else "no CPU profile"
            )
            reasons.append(reason)
            for name in (*names, "pprof_cpu_cores"):
                ctx.put(name, None, node=node, why=reason)
            continue
        cites = [ctx.bundle.cite(rel)]
        ctx.put(
            "pprof_cpu_cores", profile.cores, cites, node=node, why="its duration is not recorded"
        )
        _state(ctx, names, profile, cites, node)
        merged.total += profile.total
        merged.syscalls += profile.syscalls
        merged.gc += profile.gc
        for target, source in ((merged.flat, profile.flat), (merged.groups, profile.groups)):
            for key, value in source.items():
                target[key] = target.get(key, 0) + value
        merged_cites += cites
    if not merged.total:
        for name in names:
            ctx.put(name, None, why=reasons[0] if reasons else "no CPU profile")
        return
    _state(ctx, names, merged, merged_cites, None)


def _state(
    ctx: Context,
    names: tuple[str, ...],
    profile: pprof.Profile,
    cites: list[Citation],
    node: str | None,
) -> None:
    group = min(profile.groups, key=lambda g: (-profile.groups[g], g))
    function = min(profile.flat, key=lambda f: (-profile.flat[f], f))
    values: tuple[Value, ...] = (
        group,
        profile.groups[group] / profile.total,
        function,
        profile.flat[function] / profile.total,
        profile.syscalls / profile.total,
        profile.gc / profile.total,
    )
    for name, value in zip(names, values, strict=True):
        ctx.put(name, value, cites, node=node)


def _goroutines(ctx: Context) -> None:
    counts: PerNode = {}
    places: dict[str, tuple[str, list[Citation]]] = {}
    for node in ctx.nodes:
        rel = f"pprof/{ctx.bundle.metrics_key(node)}-goroutine.txt"
        everything = goroutines.groups(ctx.bundle, rel)
        waiting = [
            g
            for g in everything
            if g.state not in ("running", "runnable") and not IDLE.search(g.where)
        ]
        if not everything:
            continue
        top = waiting[0] if waiting else None
        cites = [ctx.cite_line(rel, (top or everything[0]).line)]
        counts[node] = (top.count if top else 0, cites)
        places[node] = (f"{top.where} [{top.state}]" if top else "none", cites)
    why = "no goroutine dump"
    ctx.gather("goroutines_blocked_max", "max", per_node=counts, default_why=why)
    for node in ctx.nodes:
        where, cites = places.get(node, (None, []))
        ctx.put("goroutines_blocked_at", where, cites, node=node, why=why)
    top_node = max(
        places, key=lambda n: (ctx.number("goroutines_blocked_max", n) or 0.0, n), default=None
    )
    ctx.put(
        "goroutines_blocked_at",
        places[top_node][0] if top_node else None,
        places[top_node][1] if top_node else [],
        why=why,
    )

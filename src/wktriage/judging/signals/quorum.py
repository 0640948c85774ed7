"""Whether a majority of the nodes was there at all times."""

from __future__ import annotations

from wktriage.judging.signals.context import Context


def compute(ctx: Context) -> None:
    """State quorum_lost; needs reachability, stalls and the logs."""
    _quorum(ctx)


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

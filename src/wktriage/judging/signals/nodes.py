"""Each node: did it come up, is it ready, does it answer?"""

from __future__ import annotations

from itertools import pairwise

from wktriage.bundle.readers.health import Probe
from wktriage.core.model import Citation
from wktriage.judging.signals.context import Context, PerNode
from wktriage.judging.signals.evidence import (
    GONE_STATES,
    Evidence,
    cite_probe,
    probes_of,
    state_event,
    total_of,
)


def compute(ctx: Context) -> None:
    """State whether nodes came up and answered; needs the log signals."""
    for node in ctx.nodes:
        _never_up(ctx, node)
    _expected(ctx)
    total_of(ctx, "nodes_never_up", "node_never_up")
    for node in ctx.nodes:
        _absent(ctx, node)
    _readiness(ctx)
    _reachability(ctx)
    total_of(ctx, "nodes_unreachable", "node_unreachable")


def _expected(ctx: Context) -> None:
    if ctx.bundle.topology_nodes:
        cites = [ctx.bundle.cite("topology.json")]
    else:
        cites = [c for n in ctx.nodes for c in ctx.cites("node_never_up", n)[:1]]
    ctx.put("nodes_expected", len(ctx.nodes), cites, why="the bundle names no node")


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
            "node_never_up",
            False,
            [ctx.cite_line(first.file, first.line, first.excerpt)],
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
        "node_never_up",
        True if cites else None,
        cites,
        node=node,
        why="there are no scrapes, probes or logs of this node",
    )


def _absent(ctx: Context, node: str) -> None:
    """A node is absent when no process of it was seen, though the others' were recorded."""
    usage = ctx.usage.get(node)
    # A sample without state and memory got no answer: nothing was seen.
    answered = [s for s in (usage.samples if usage else []) if s.state or s.memory is not None]
    seen = [s for s in answered if s.state not in (*GONE_STATES, "created")]
    if seen:
        ctx.put("node_absent", False, ctx.cite_usage(node, seen[:1]), node=node)
        return
    if ctx.value("node_never_up", node) is False:
        ctx.put("node_absent", False, ctx.cites("node_never_up", node), node=node)
        return
    for kind in ("app", "compose"):
        rel = f"logs/{kind}/{node}.log"
        if ctx.bundle.size(rel):
            ctx.put("node_absent", False, [ctx.bundle.cite(rel)], node=node)
            return
    recorded = [c for n in ctx.usage for c in ctx.cite_usage(n, ctx.usage[n].samples[:1])]
    ctx.put(
        "node_absent",
        True if recorded and ctx.value("node_never_up", node) is True else None,
        [*ctx.cites("node_never_up", node)[:2], *recorded[:2]],
        node=node,
        why="processes are not recorded",
    )


def _readiness(ctx: Context) -> None:
    per_node: PerNode = {}
    for node in ctx.nodes:
        inside = probes_of(ctx, node, "readyz")
        if not inside:
            continue
        seconds = _failed_seconds(inside, ctx.window)
        bad = [p for p in inside if not p.ok]
        per_node[node] = (seconds, [cite_probe(ctx, p) for p in (bad or inside)[:2]])
    ctx.gather(
        "node_not_ready_seconds", "max", per_node=per_node, default_why="no readyz in the window"
    )


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
        evidence: list[Evidence] = []
        known: list[Citation] = []
        inside = probes_of(ctx, node, "healthz")
        failed = [p for p in inside if not p.ok]
        if inside:
            known.append(cite_probe(ctx, inside[0]))
            cites = [cite_probe(ctx, p) for p in (failed or inside)[:2]]
            seconds[node] = (_failed_seconds(inside, ctx.window), cites)
            ratios[node] = (len(failed) / len(inside), cites)
        # One lost probe is noise; two in a row, or a twentieth of all, is not.
        if failed and (len(failed) >= 0.05 * len(inside) or _in_a_row(inside)):
            good = [p.time for p in inside if p.ok and p.time < failed[0].time]
            evidence.append(
                Evidence(
                    [cite_probe(ctx, p) for p in failed[:2]],
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
                evidence.append(Evidence(cites, window[1], window[0]))
        state_event(
            ctx,
            "node_unreachable",
            node,
            evidence,
            known,
            "the node was neither probed nor scraped",
        )
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
            "node_unreachable_at_end", not inside[-1].ok, [cite_probe(ctx, inside[-1])], node=node
        )
    elif ctx.bundle.exists(last):
        ctx.put("node_unreachable_at_end", True, [ctx.bundle.cite(last)], node=node)
    elif scrape is not None:
        ctx.put("node_unreachable_at_end", False, scrape[1], node=node)
    else:
        ctx.put(
            "node_unreachable_at_end",
            None,
            node=node,
            why="the node was neither probed nor scraped",
        )

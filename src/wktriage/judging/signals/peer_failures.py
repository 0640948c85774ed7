"""Which node the others complain of, wait for, or see lagging."""

from __future__ import annotations

from wktriage.bundle.readers import cluster, prom
from wktriage.core.model import Citation
from wktriage.judging.signals.context import CITE_MAX, Context, Others, PerNode
from wktriage.judging.signals.metrics import P

PUSH = P + "delivery_push_rpc_duration_seconds"

LINK_FAILURES = 5
"""Failures between two nodes from which on their link is suspected: fewer come of one restart."""


def compute(ctx: Context) -> None:
    """State who blames whom, and who is slow to answer."""
    _blame(ctx)
    _slow_targets(ctx)
    _cluster(ctx)
    _impostors(ctx)


def _impostors(ctx: Context) -> None:
    """Count the scrapes of a node that another node answered: two hosts with one address."""
    counts: PerNode = {}
    for node in ctx.nodes:
        if ctx.metrics.before(node) is None:
            continue
        foreign = ctx.metrics.foreign(node)
        files = foreign or [ctx.metrics.file(node, before=True)]
        counts[node] = (len(foreign), [ctx.bundle.cite(rel) for rel in files[:CITE_MAX]])
    ctx.gather("answered_by_others", per_node=counts, default_why="no scrape of it")


def _blame(ctx: Context) -> None:
    """Count who names whom: log lines with a target node, and failed pushes by target."""
    naming: dict[str, dict[str, float]] = {}
    cites: dict[str, list[Citation]] = {n: [] for n in ctx.nodes}
    sources: list[Citation] = []
    family = P + "delivery_push_rpc_total"
    failed_to: dict[str, float] = dict.fromkeys(ctx.nodes, 0.0)
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
    blamers: dict[str, list[str]] = {node: [] for node in ctx.nodes}
    named: dict[str, float] = {}
    for peer, counts in naming.items():
        total = sum(counts.values())
        for node, count in counts.items():
            named[node] = named.get(node, 0.0) + count
            if count >= 2 and count >= 0.25 * total:
                blamers[node].append(peer)
    link = _link(blamers, named)
    for node in ctx.nodes:
        peers = blamers[node]
        mine = named.get(node, 0.0)
        basis = cites[node] or sources
        why = "there are neither logs nor scrapes of the peers"
        known = bool(sources)
        ctx.put(
            "peers_reporting_failures",
            len(peers) if known else None,
            basis,
            node=node,
            why=why,
            since=first.get(node) if peers else None,
            not_before=ctx.window[0] if peers and ctx.window and node in first else None,
        )
        ctx.put("peer_reported_failures", mine if known else None, basis, node=node, why=why)
        ctx.put(
            "link_failure_suspected", node in link if known else None, basis, node=node, why=why
        )
        ctx.put(
            "peer_reported_failure_share",
            mine / everything if everything else (0 if known else None),
            basis,
            node=node,
            why=why,
        )
        ctx.put(
            "push_errors_to",
            failed_to[node] if known else None,
            push_cites[node] or sources,
            node=node,
            why=why,
        )
        ctx.put(
            "push_error_share_to",
            failed_to[node] / pushes if pushes else (0 if known else None),
            push_cites[node] or sources,
            node=node,
            why=why,
        )


def _link(blamers: dict[str, list[str]], named: dict[str, float]) -> tuple[str, ...]:
    """Return two nodes that blame each other while nobody else blames or is blamed.

    One that is cut off from all complains of all, and they of it: here it is the link between. How
    often each is ``named`` depends on where leaders sit: both count together.
    """
    blamed = [n for n, peers in blamers.items() if peers]
    if len(blamers) < 3 or len(blamed) != 2:
        return ()
    one, other = blamed
    if named[one] + named[other] < LINK_FAILURES:
        return ()
    return (one, other) if blamers[one] == [other] and blamers[other] == [one] else ()


def _slow_targets(ctx: Context) -> None:
    means: dict[str, float] = {}
    cites: dict[str, list[Citation]] = {}
    pushes: dict[str, dict[str, prom.Histogram]] = {}
    for peer in ctx.nodes:
        for target, pushed in ctx.metrics.histograms_by(peer, PUSH, "target_node").items():
            pushes.setdefault(target, {})[peer] = pushed
    for node in ctx.nodes:
        number_ = ctx.bundle.metrics_key(node).removeprefix("node")
        pooled = prom.EMPTY
        here: list[Citation] = []
        for peer, pushed in pushes.get(number_, {}).items():
            if peer == node or not pushed.count:
                continue
            pooled = pooled + pushed
            if len(set(here)) < CITE_MAX:
                here += ctx.metrics.cite_histogram(peer, PUSH, {"target_node": number_})[:4]
        why = "no pushes from peers to this node in the window, or no scrapes"
        ctx.put("push_rpc_latency_to_mean", pooled.mean, here, node=node, why=why)
        ctx.put(
            "push_rpc_latency_to_p99",
            pooled.quantile(0.99),
            here,
            node=node,
            why=why if not pooled.count else f"{pooled.count:g} pushes are too few for a p99",
        )
        if pooled.mean is not None:
            means[node], cites[node] = pooled.mean, here
    others = Others(means)
    for node in ctx.nodes:
        best = others.least(node)
        ctx.put(
            "push_rpc_latency_to_vs_others",
            means[node] / best if node in means and best else None,
            cites.get(node, []),
            node=node,
            why="pushes to this node or to others are unknown",
        )


def _cluster(ctx: Context) -> None:
    view = cluster.read(ctx.bundle, ctx.window)
    cite_last = [ctx.bundle.cite("cluster.jsonl", line=view.last_line)] if view.last_line else []
    why = "cluster.jsonl holds no sample in the window"
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
    ctx.gather(
        "slot_apply_gap",
        "max",
        per_node=gaps,
        default_why="there is neither a scrape nor a cluster view",
    )

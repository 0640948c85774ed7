"""Delivery to recipients, the controller and RPC between nodes, from metrics."""

from __future__ import annotations

from wktriage.core.model import Citation
from wktriage.judging.signals.context import CITE_MAX, Context, Others, PerNode
from wktriage.judging.signals.latency import most_frequent
from wktriage.judging.signals.metrics import P


def compute(ctx: Context) -> None:
    """State the signals of delivery, controller and RPC."""
    _delivery(ctx)
    _controller(ctx)
    _services(ctx)


def _delivery(ctx: Context) -> None:
    push = P + "delivery_push_rpc_total"
    _error_ratio(ctx, "push_error_ratio", "push_errors", push)
    _error_ratio(ctx, "rpc_error_ratio", "rpc_errors", P + "transport_rpc_total")
    bindings = P + "delivery_ack_bindings"
    per_node: PerNode = {}
    why: dict[str, str] = {}
    for node in ctx.nodes:
        before, after = ctx.metrics.before(node), ctx.metrics.after(node)
        old = before.first(bindings) if before else None
        new = after.first(bindings) if after else None
        if before is None or after is None or old is None or new is None:
            why[node] = f"no scrapes of {node} at both ends"
            continue
        per_node[node] = (
            new.value - old.value,
            [ctx.metrics.cite(after, new), ctx.metrics.cite(before, old)],
        )
    ctx.gather("unacknowledged_deliveries_growth", per_node=per_node, why=why)
    received = delivered = 0.0
    complete = bool(ctx.nodes)
    cites: list[Citation] = []
    for node in ctx.nodes:
        got = ctx.metrics.increase(node, P + "gateway_messages_received_total")
        gave = ctx.metrics.increase(node, P + "gateway_messages_delivered_total")
        if isinstance(got, str) or isinstance(gave, str):
            complete = False
            continue
        received, delivered = received + got[0], delivered + gave[0]
        cites += ctx.metrics.cite_counter(node, P + "gateway_messages_delivered_total", gave[1])[:2]
    ratio = delivered / received if complete and received else None
    ctx.put("fanout_ratio", ratio, cites, why="not every node was scraped, or nothing was received")
    expected = _expected_fanout(ctx)
    ctx.put(
        "fanout_expected", expected, ctx.cites("offered_rate"), why="the workload is not recorded"
    )
    ctx.put(
        "fanout_shortfall",
        1 - ratio / expected if ratio is not None and expected else None,
        cites,
        why="the fan-out or what is expected of it is unknown",
    )


def _expected_fanout(ctx: Context) -> float | None:
    """Return deliveries a message: 1 for a person, members - 1 for a group, by message mix."""
    config = {**ctx.bundle.workload, **ctx.config}
    values = [config.get(k) for k in ("person_channels", "group_channels", "group_members")]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return None
    person, group, members = (float(v) for v in values if isinstance(v, int | float))
    if person + group <= 0:
        return None
    return (person + group * max(0.0, members - 1)) / (person + group)


def _error_ratio(ctx: Context, name: str, errors: str, family: str) -> None:
    failed = total = 0.0
    cites: list[Citation] = []
    reason = "there was none in the window"
    for node in ctx.nodes:
        grown = ctx.metrics.increase(node, family)
        if isinstance(grown, str):
            reason = grown
            ctx.put(name, None, node=node, why=grown)
            continue
        bad = ctx.number(errors, node) or 0.0
        here = ctx.metrics.cite_counter(node, family, grown[1])
        ctx.put(
            name,
            bad / grown[0] if grown[0] else None,
            here,
            node=node,
            why="there was none in the window",
        )
        failed, total, cites = failed + bad, total + grown[0], cites + here[:2]
    ctx.put(name, failed / total if total else None, cites, why=reason)


def _controller(ctx: Context) -> None:
    best: tuple[float, list[Citation]] | None = None
    for node in ctx.nodes:
        for scrape in (ctx.metrics.before(node), ctx.metrics.after(node)):
            held = [
                p
                for state in ("dead", "suspect")
                if scrape is not None and (p := scrape.first(P + f"controller_nodes_{state}"))
            ]
            if scrape is None or not held:
                continue
            value = sum(p.value for p in held)
            if best is None or value > best[0]:
                best = (value, [ctx.metrics.cite(scrape, p) for p in held])
    ctx.put(
        "controller_nodes_dead",
        best[0] if best else None,
        best[1] if best else [],
        why="no scrapes",
    )


def _services(ctx: Context) -> None:
    family = P + "transport_rpc_total"
    totals: dict[str, float] = {}
    served: dict[str, float] = {}
    for node in ctx.nodes:
        ends = ctx.metrics.ends(node, family)
        if isinstance(ends, str):
            ctx.put("rpc_error_service", None, node=node, why=ends)
            continue
        before, after = ends
        old = {p.series: p.value for p in before.families.get(family, ())} if before else {}
        bad: dict[str, float] = {}
        for point in after.families.get(family, ()):
            grown = point.value - old.get(point.series, 0.0)
            if grown > 0:
                served[node] = served.get(node, 0.0) + grown
                if point.labels.get("result") != "ok":
                    key = point.labels.get("service", "")
                    bad[key] = bad.get(key, 0.0) + grown
        served.setdefault(node, 0.0)
        for key, value in bad.items():
            totals[key] = totals.get(key, 0.0) + value
        ctx.put("rpc_error_service", most_frequent(bad), ctx.cites("rpc_errors", node), node=node)
    ctx.put(
        "rpc_error_service",
        most_frequent(totals) if served else None,
        ctx.cites("rpc_errors"),
        why="no scrapes",
    )
    others = Others(served)
    cites = [c for n in served for c in ctx.cites("rpc_errors", n)[:1]]
    cites = list(dict.fromkeys(cites))[:CITE_MAX]
    for node in ctx.nodes:
        middle = others.median(node)
        ctx.put(
            "rpc_served_vs_peers",
            served[node] / middle if node in served and middle else None,
            cites,
            node=node,
            why="no scrapes of this node or of its peers",
        )

"""Gateway connections by node: the simulator's active_users never tells of a lost one."""

from __future__ import annotations

from wktriage.bundle.readers import prom
from wktriage.bundle.readers.jsonl import number
from wktriage.core.model import Citation
from wktriage.judging.signals.context import CITE_MAX, Context, Others, PerNode
from wktriage.judging.signals.metric_map import SENDACKS
from wktriage.judging.signals.metrics import P

ACTIVE = P + "gateway_connections_active"

MIN_SENDACKS = 50
"""Sendacks of the median peer below which a comparison says nothing (sampled runs: 30 a node)."""


def compute(ctx: Context) -> None:
    """State the signals of gateway connections; needs the logs."""
    _connections(ctx)
    _sendacks(ctx)


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
            cites = [
                *cites,
                ctx.cite_line(template.file, template.window_line, template.window_excerpt),
            ]
            if since is None or (template.first_in_window or 0.0) < since:
                since = template.first_in_window
        ctx.put(
            "connections_lost",
            value,
            cites,
            node=node,
            since=since,
            not_before=not_before,
            why=why,
        )
    numbers = {n: float(v) for n, (v, _) in lost.items() if isinstance(v, int | float)}
    top = sorted(numbers, key=lambda n: (-numbers[n], n))
    cites = [c for n in top for c in lost[n][1][:2]]
    total = sum(numbers.values()) if numbers else None
    ctx.put("connections_lost", total, cites, why=why)
    for node in ctx.nodes:
        value, ratio_cites = ratios.get(node, (None, []))
        ctx.put("connections_lost_ratio", value, ratio_cites, node=node, why=why)
    users = number(ctx.config.get("total_users", ctx.bundle.workload.get("users")))
    ctx.put(
        "connections_lost_ratio",
        total / users if total is not None and users else None,
        cites,
        why="the number of connections or of users is unknown",
    )


def _sendacks(ctx: Context) -> None:
    """Compare what each node answered per connection: users spread evenly, and so do sends."""
    answered: dict[str, float] = {}
    rates: dict[str, float] = {}
    cites: list[Citation] = []
    for node in ctx.nodes:
        grown, users = ctx.metrics.increase(node, SENDACKS), ctx.number("connections_before", node)
        if isinstance(grown, str) or not users:
            continue
        answered[node], rates[node] = grown[0], grown[0] / users
        cites += ctx.metrics.cite_counter(node, SENDACKS, grown[1])[:2]
    cites = list(dict.fromkeys(cites))[:CITE_MAX]
    other_rates, other_answers = Others(rates), Others(answered)
    for node in ctx.nodes:
        middle = other_rates.median(node)
        enough = (other_answers.median(node) or 0.0) >= MIN_SENDACKS
        ctx.put(
            "sends_missing_vs_peers",
            max(0.0, 1 - rates[node] / middle) if node in rates and middle and enough else None,
            cites,
            node=node,
            why="too few sendacks, or no scrapes, of this node or of its peers",
        )

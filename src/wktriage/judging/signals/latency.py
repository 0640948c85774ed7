"""The way of a message through the servers, from metrics: latencies, counters, errors."""

from __future__ import annotations

from collections.abc import Mapping

from wktriage.bundle.readers import prom
from wktriage.bundle.readers.prom import EMPTY, Histogram, Scrape
from wktriage.core.model import Citation
from wktriage.judging.signals.context import Context, PerNode, versus_peers
from wktriage.judging.signals.metric_map import (
    APPEND,
    COMMIT,
    COUNTS,
    LATENCIES,
    REPLICATION,
    REQUEST,
    SEND,
    SENDACKS,
    STAGE,
    TASK,
    Count,
    Latency,
    is_not,
)
from wktriage.judging.signals.metrics import Labels, Where

SLOW_S = 0.25
"""A send that takes longer (s) is a slow one: what the scenarios' criteria allow on average."""

FOLLOWER_STAGES = ("quorum_follower_pull_wait", "quorum_ack_offset_wait")


def compute(ctx: Context) -> None:
    """State the latency and counter signals of the servers' metrics."""
    for spec in LATENCIES:
        _latency(ctx, spec)
    for count in COUNTS:
        _count(ctx, count)
    _histogram_count(ctx, "storage_errors", REQUEST, is_not("result", "ok"))
    _histogram_count(
        ctx,
        "peer_exchange_errors",
        REPLICATION,
        lambda v: v.get("stage", "").startswith("peer_") and v.get("result") != "ok",
    )
    _sendacks(ctx)
    _quorum(ctx)
    _shares(ctx)
    _storage(ctx)
    _worst_steps(ctx)


def _latency(ctx: Context, spec: Latency) -> None:
    pooled = waits = EMPTY
    pooled_cites: list[Citation] = []
    reasons: list[str] = []
    for node in ctx.nodes:
        observed = ctx.metrics.histogram(node, spec.family, spec.labels)
        waited = ctx.metrics.histogram(node, spec.behind, {}) if spec.behind else EMPTY
        if isinstance(observed, str) or isinstance(waited, str):
            # A sum with an unknown addend is unknown: without the wait a send looks fast.
            why = observed if isinstance(observed, str) else str(waited)
            reasons.append(why)
            for name in filter(None, (spec.p99, spec.mean)):
                ctx.put(name, None, node=node, why=why)
            continue
        cites = ctx.metrics.cite_histogram(node, spec.family, spec.labels)
        if waited.count:
            cites = [*cites[:1], *ctx.metrics.cite_histogram(node, spec.behind, {})[:1], *cites[1:]]
        _state_latency(ctx, spec, observed, waited, cites, node)
        pooled, waits = pooled + observed, waits + waited
        pooled_cites += cites[:2] if observed.count else []
    if pooled.count == 0 and reasons:
        for name in filter(None, (spec.p99, spec.mean)):
            ctx.put(name, None, why=reasons[0])
        return
    _state_latency(ctx, spec, pooled, waits, pooled_cites, None)


def _state_latency(
    ctx: Context,
    spec: Latency,
    observed: Histogram,
    waited: Histogram,
    cites: list[Citation],
    node: str | None,
) -> None:
    """State one latency. Means of wait and work add up; the larger of their p99s is the least."""
    none = "no observations in the window"
    if spec.mean:
        mean = observed.mean
        if mean is not None:
            mean += waited.mean or 0.0
        ctx.put(spec.mean, mean, cites, node=node, why=none)
    if not spec.p99:
        return
    p99 = observed.quantile(0.99)
    if p99 is not None:
        p99 = max(p99, waited.quantile(0.99) or 0.0)
    ctx.put(
        spec.p99,
        p99,
        cites,
        node=node,
        why=none
        if not observed.count
        else f"{observed.count:g} observations are too few for a p99",
    )
    if spec.p99 == "send_server_latency_p99":
        ctx.put(
            "send_server_latency_off_scale",
            observed.saturated(0.99) if observed.count else None,
            cites,
            node=node,
            why=none,
        )
        above = [h.share_above(SLOW_S) for h in (observed, waited)]
        ctx.put(
            "sends_slow_share",
            max((share for share in above if share is not None), default=None),
            cites,
            node=node,
            why=none,
        )


def _mean_of(ctx: Context, node: str, family: str, labels: Labels) -> float | None:
    observed = ctx.metrics.histogram(node, family, labels)
    return None if isinstance(observed, str) else observed.mean


def _count(ctx: Context, spec: Count) -> None:
    per_node: PerNode = {}
    why: dict[str, str] = {}
    for node in ctx.nodes:
        grown = ctx.metrics.increase(node, spec.family, spec.where)
        if isinstance(grown, str):
            why[node] = grown
            continue
        per_node[node] = (grown[0], ctx.metrics.cite_counter(node, spec.family, grown[1]))
    ctx.gather(spec.name, spec.how, per_node=per_node, why=why)


def _histogram_count(ctx: Context, name: str, family: str, where: Where) -> None:
    """State the growth of a histogram's counts, for families that have no counter."""
    per_node: PerNode = {}
    why: dict[str, str] = {}
    for node in ctx.nodes:
        ends = ctx.metrics.ends(node, family)
        if isinstance(ends, str):
            why[node] = ends
            continue
        before, after = ends
        total = 0.0
        cites: list[Citation] = []
        old = {p.series: p.value for p in before.families.get(family, ())} if before else {}
        for point in after.families.get(family, ()):
            if point.name.endswith("_count") and where(point.labels):
                grown = point.value - old.get(point.series, 0.0)
                if grown > 0:
                    total += grown
                    cites.append(ctx.metrics.cite(after, point))
        per_node[node] = (total, cites or [ctx.bundle.cite(after.file)])
    ctx.gather(name, per_node=per_node, why=why)


def _sendacks(ctx: Context) -> None:
    ratios: PerNode = {}
    why: dict[str, str] = {}
    total = failed = 0.0
    classes: dict[str, float] = {}
    cites: list[Citation] = []
    for node in ctx.nodes:
        grown = ctx.metrics.increase(node, SENDACKS)
        if isinstance(grown, str):
            why[node] = grown
            ctx.put("sendack_error_class", None, node=node, why=grown)
            continue
        mine = by_label(ctx, node, SENDACKS, "class")
        errors = ctx.number("sendack_errors", node) or 0.0
        here = ctx.metrics.cite_counter(node, SENDACKS, grown[1])
        ratios[node] = (errors / grown[0] if grown[0] else None, here)
        if not grown[0]:
            why[node] = "no sendacks in the window"
        total, failed = total + grown[0], failed + errors
        cites += here[:2]
        bad = {k: v for k, v in mine.items() if k != "none" and v > 0}
        for key, value in bad.items():
            classes[key] = classes.get(key, 0.0) + value
        ctx.put(
            "sendack_error_class", most_frequent(bad), ctx.cites("sendack_errors", node), node=node
        )
    for node in ctx.nodes:
        ratio, ratio_cites = ratios.get(node, (None, []))
        ctx.put("sendack_error_ratio", ratio, ratio_cites, node=node, why=why.get(node))
    reason = next(iter(why.values()), "no sendacks in the window")
    ctx.put("sendack_error_ratio", failed / total if total else None, cites, why=reason)
    ctx.put(
        "sendack_error_class",
        most_frequent(classes) if total else None,
        ctx.cites("sendack_errors"),
        why=reason,
    )


def by_label(ctx: Context, node: str, family: str, label: str) -> dict[str, float]:
    """Return the growth of a counter family by the values of a label."""
    ends = ctx.metrics.ends(node, family)
    if isinstance(ends, str):
        return {}
    before, after = ends
    old = {p.series: p.value for p in before.families.get(family, ())} if before else {}
    grown_by: dict[str, float] = {}
    for point in after.families.get(family, ()):
        grown = point.value - old.get(point.series, 0.0)
        key = point.labels.get(label, "")
        grown_by[key] = grown_by.get(key, 0.0) + (grown if grown >= 0 else point.value)
    return grown_by


def most_frequent(counts: Mapping[str, float]) -> str:
    """Return the key with the highest count (the first by name of equals), "none" of nothing."""
    return min(counts, key=lambda k: (-counts[k], k)) if counts else "none"


def _quorum(ctx: Context) -> None:
    """Split a quorum commit into its local store and the wait for a follower beyond it.

    Older servers had append stages for followers (FOLLOWER_STAGES); current ones run the whole
    commit as the worker task quorum_commit, of which the local part is sampled.
    """
    pooled: Histogram = EMPTY
    waits: list[tuple[float, float, list[Citation]]] = []
    for node in ctx.nodes:
        stages = {s: ctx.metrics.histogram(node, STAGE, {"stage": s}) for s in FOLLOWER_STAGES}
        old = [h for h in stages.values() if isinstance(h, Histogram) and h.count]
        if old:
            labels: Labels = {"stage": FOLLOWER_STAGES}
            cites = ctx.metrics.cite_histogram(node, STAGE, labels)
            p99s = [q for h in old if (q := h.quantile(0.99)) is not None]
            ctx.put(
                "quorum_wait_p99",
                max(p99s) if p99s else None,
                cites,
                node=node,
                why="too few observations for a p99",
            )
            mean = sum(h.mean or 0.0 for h in old)
            ctx.put("quorum_wait_mean", mean, cites, node=node)
            pooled = pooled + max(old, key=lambda h: h.mean or 0.0)
            waits.append((mean, old[0].count, cites))
            continue
        task = ctx.metrics.histogram(node, TASK, {"kind": "quorum_commit"})
        if isinstance(task, str) or not task.count:
            why = task if isinstance(task, str) else "no quorum commits in the window"
            ctx.put("quorum_wait_p99", None, node=node, why=why)
            ctx.put("quorum_wait_mean", None, node=node, why=why)
            continue
        cites = ctx.metrics.cite_histogram(node, TASK, {"kind": "quorum_commit"})
        ctx.put(
            "quorum_wait_p99",
            task.quantile(0.99),
            cites,
            node=node,
            why=f"{task.count:g} observations are too few for a p99",
        )
        local = _mean_of(ctx, node, REPLICATION, {"stage": "quorum_local_end_to_end"})
        mean_wait = max(0.0, (task.mean or 0.0) - local) if local is not None else None
        ctx.put(
            "quorum_wait_mean",
            mean_wait,
            [*cites[:3], *ctx.cites("local_store_mean", node)[:2]],
            node=node,
            why="the local store's share was not sampled",
        )
        pooled = pooled + task
        if mean_wait is not None:
            waits.append((mean_wait, task.count, cites))
    all_cites = [c for _, _, wait_cites in waits for c in wait_cites[:2]]
    why = "no quorum commits in the window, or no scrapes"
    ctx.put("quorum_wait_p99", pooled.quantile(0.99), all_cites, why=why)
    weight = sum(n for _, n, _ in waits)
    ctx.put(
        "quorum_wait_mean",
        sum(m * n for m, n, _ in waits) / weight if weight else None,
        all_cites,
        why=why,
    )


def _shares(ctx: Context) -> None:
    for name, part in (
        ("quorum_wait_share", "quorum_wait_mean"),
        ("append_pool_wait_share", "append_pool_wait_mean"),
        ("local_store_share", "local_store_mean"),
    ):
        for node in (*ctx.nodes, None):
            some, whole = ctx.number(part, node), ctx.number("append_mean", node)
            ctx.put(
                name,
                min(1.0, some / whole) if some is not None and whole else None,
                [*ctx.cites(part, node)[:3], *ctx.cites("append_mean", node)[:3]],
                node=node,
                why="the append latency or this part of it is unknown",
            )
    for name, of in (
        ("append_vs_peers", "append_mean"),
        ("storage_commit_vs_peers", "storage_commit_mean"),
    ):
        # Service times only: waiting diverges near saturation, so that the best peer says little.
        versus_peers(ctx, name, of, best=of == "storage_commit_mean")


def _storage(ctx: Context) -> None:
    for node in (*ctx.nodes, None):
        device = ctx.number("storage_commit_mean", node)
        request = ctx.number("storage_request_mean", node)
        ctx.put(
            "storage_queueing_share",
            max(0.0, 1 - device / request) if device is not None and request else None,
            [
                *ctx.cites("storage_commit_mean", node)[:3],
                *ctx.cites("storage_request_mean", node)[:3],
            ],
            node=node,
            why="no commits in the window, or no scrapes",
        )
    rates: PerNode = {}
    busy: PerNode = {}
    why: dict[str, str] = {}
    for node in ctx.nodes:
        commits = ctx.metrics.histogram(node, COMMIT, {"stage": "commit"})
        if isinstance(commits, str) or ctx.window is None:
            why[node] = commits if isinstance(commits, str) else "no measured window"
            continue
        seconds = ctx.window[1] - ctx.window[0]
        cites = ctx.metrics.cite_histogram(node, COMMIT, {"stage": "commit"})
        rates[node] = (commits.count / seconds, cites)
        busy[node] = (min(1.0, commits.total / seconds), cites)
    ctx.gather("storage_commit_rate", per_node=rates, why=why)
    ctx.gather("storage_commit_busy", "max", per_node=busy, why=why)


def _worst_steps(ctx: Context) -> None:
    for name, family, labels in (
        ("worst_send_server_latency_p99", SEND, {"frame_type": "SEND"}),
        ("worst_append_p99", APPEND, {}),
    ):
        per_node: PerNode = {}
        for node in ctx.nodes:
            best: tuple[float, Scrape] | None = None
            for _, _, earlier, later in ctx.metrics.steps(node, family):
                observed = prom.histogram(earlier, later, family, labels)
                p99 = observed.quantile(0.99) if observed else None
                if p99 is not None and (best is None or p99 > best[0]):
                    best = (p99, later)
            if best is not None:
                counts = [p for p in best[1].points(family, **labels) if p.name.endswith("_count")]
                per_node[node] = (best[0], [ctx.metrics.cite(best[1], p) for p in counts[:2]])
        ctx.gather(
            name, "max", per_node=per_node, default_why="no metrics series with enough observations"
        )

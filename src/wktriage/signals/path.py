"""The way of a message through the servers, from metrics: counters, latencies, queues, pools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from wktriage.model import Citation, Value
from wktriage.readers import prom
from wktriage.readers.prom import EMPTY, Histogram, Scrape
from wktriage.signals.context import Context, median
from wktriage.signals.metrics import Labels, P, Where

PerNode = dict[str, tuple[Value, list[Citation]]]

STAGE = P + "channelv2_append_wait_stage_duration_seconds"
REPLICATION = P + "channelv2_replication_stage_duration_seconds"
TASK = P + "channelv2_worker_task_duration_seconds"
SENDACKS = P + "gateway_sendacks_total"
SEND = P + "gateway_frame_handle_duration_seconds"
APPEND = P + "channelv2_append_duration_seconds"
APPEND_STAGE = P + "channelv2_append_stage_duration_seconds"
APPEND_ERRORS = P + "message_append_errors_total"
POOL_WAIT = P + "runtime_pool_wait_duration_seconds"
COMMIT = P + "storage_commit_batch_duration_seconds"
REQUEST = P + "storage_commit_request_duration_seconds"

FOLLOWER_STAGES = ("quorum_follower_pull_wait", "quorum_ack_offset_wait")
ROUTE_CLASSES = ("not_leader", "stale_route", "route_not_ready")
TIMEOUT_CLASSES = ("timeout", "canceled")


@dataclass(frozen=True)
class Latency:
    """Which signals a histogram gives. ``p99`` and ``mean`` are signal names ("" for none)."""

    family: str
    labels: Labels = field(default_factory=dict)
    p99: str = ""
    mean: str = ""


LATENCIES = (
    Latency(SEND, {"frame_type": "SEND"}, "sendack_p99", "sendack_mean"),
    Latency(
        P + "gateway_async_send_dispatch_wait_duration_seconds",
        p99="dispatch_wait_p99",
        mean="dispatch_wait_mean",
    ),
    Latency(APPEND, {}, "append_p99", "append_mean"),
    Latency(
        STAGE,
        {"stage": "store_append_wait"},
        "store_append_wait_p99",
        "store_append_wait_mean",
    ),
    Latency(
        STAGE,
        {"stage": "post_store_commit_wait"},
        "post_store_commit_wait_p99",
        "post_store_commit_wait_mean",
    ),
    Latency(STAGE, {"stage": "quorum_follower_pull_wait"}, "quorum_follower_pull_wait_p99"),
    Latency(STAGE, {"stage": "quorum_ack_offset_wait"}, "quorum_ack_offset_wait_p99"),
    Latency(
        POOL_WAIT,
        {"component": "channel", "pool": "channelv2-store-append"},
        "append_pool_wait_p99",
        "append_pool_wait_mean",
    ),
    Latency(REPLICATION, {"stage": "quorum_local_end_to_end"}, mean="local_store_mean"),
    Latency(
        REPLICATION,
        {"stage": "peer_foreground_end_to_end"},
        "peer_exchange_p99",
        "peer_exchange_mean",
    ),
    Latency(
        REPLICATION,
        {"stage": ("follower_pull_rpc", "peer_foreground_exchange")},
        "follower_pull_rpc_p99",
        "follower_pull_rpc_mean",
    ),
    Latency(
        REPLICATION,
        {"stage": ("follower_store_apply", "follower_foreground_store")},
        "follower_store_apply_p99",
        "follower_store_apply_mean",
    ),
    Latency(
        REPLICATION,
        {"stage": ("follower_apply_to_ack_return", "peer_background_end_to_end")},
        "follower_ack_p99",
        "follower_ack_mean",
    ),
    Latency(
        P + "channelappend_router_duration_seconds", {"path": "remote"}, "forward_append_p99"
    ),
    Latency(COMMIT, {"stage": "commit"}, "storage_commit_p99", "storage_commit_mean"),
    Latency(REQUEST, {}, "storage_request_p99", "storage_request_mean"),
    Latency(P + "slot_apply_duration_seconds", {}, "slot_apply_p99"),
    Latency(P + "transport_rpc_duration_seconds", {}, "rpc_p99"),
    Latency(P + "delivery_push_rpc_duration_seconds", {}, "push_p99"),
    Latency(
        P + "delivery_recipient_worker_process_duration_seconds", {}, "recipient_process_p99"
    ),
    Latency("go_sched_latencies_seconds", {}, "node_sched_wait_p99"),
)


@dataclass(frozen=True)
class Count:
    """A signal that is the growth of the counters of a family whose labels satisfy ``where``."""

    name: str
    family: str
    where: Where | None = None
    how: str = "sum"


def _not(label: str, *good: str) -> Where:
    return lambda labels: labels.get(label, "") not in good


def _is(label: str, *wanted: str) -> Where:
    return lambda labels: labels.get(label, "") in wanted


COUNTS = (
    Count("sendack_errors", SENDACKS, _not("class", "none")),
    Count("sendack_errors_timeout", SENDACKS, _is("class", *TIMEOUT_CLASSES)),
    Count("sendack_errors_route", SENDACKS, _is("class", *ROUTE_CLASSES)),
    Count(
        "sendack_errors_other", SENDACKS, _not("class", "none", *TIMEOUT_CLASSES, *ROUTE_CLASSES)
    ),
    Count("append_errors", APPEND_ERRORS),
    Count(
        "append_errors_backpressured",
        APPEND_ERRORS,
        _is("class", "backpressured", "too_many_channels"),
    ),
    Count("append_errors_remote", APPEND_ERRORS, _is("class", "remote_error")),
    Count(
        "effect_pool_full",
        P + "channelappend_effect_pool_submit_total",
        _is("result", "full", "busy"),
    ),
    Count(
        "post_commit_errors",
        P + "channelappend_effect_total",
        lambda v: v.get("stage") == "post_commit" and v.get("result") != "ok",
    ),
    Count(
        "pool_rejections",
        P + "runtime_pool_admission_total",
        _is("result", "full", "busy", "rejected", "dropped", "overflow"),
    ),
    Count("activation_rejected", P + "channelv2_activation_rejected_total"),
    Count("storage_errors", REQUEST, None),
    Count("slot_elections", P + "slot_leader_elections_total", None, "max"),
    Count("slot_leader_changes", P + "slot_leader_changes_total", _is("cause", "election"), "max"),
    Count(
        "slot_proposals_refused",
        P + "slot_proposal_admission_total",
        _not("result", "ok", "accepted", "admitted"),
    ),
    Count("rpc_errors", P + "transport_rpc_total", _not("result", "ok")),
    Count("push_errors", P + "delivery_push_rpc_total", _not("result", "ok")),
    Count(
        "recipient_worker_errors",
        P + "delivery_recipient_worker_process_total",
        _not("result", "ok"),
    ),
    Count("delivery_errors", P + "delivery_errors_total"),
    Count(
        "presence_lookup_failures",
        P + "presence_endpoint_lookup_total",
        _not("outcome", "ok", "success"),
    ),
    Count(
        "authority_resolve_failures",
        P + "delivery_recipient_authority_resolve_total",
        _not("result", "ok"),
    ),
    Count("meta_created", P + "channelv2_meta_created_total", _is("result", "created")),
    Count("meta_create_errors", P + "channelv2_meta_created_total", _is("result", "error", "err")),
    Count("need_meta_retries", P + "channelv2_need_meta_pull_total", _is("result", "retry", "err")),
    Count("pull_hint_errors", P + "channelv2_pull_hint_total", _is("result", "err", "error")),
    Count("connections_opened", P + "gateway_connections_total", _is("event", "open")),
    Count("connection_closes", P + "gateway_connection_closes_total"),
    Count(
        "connection_closes_peer", P + "gateway_connection_closes_total",
        _is("reason", "peer_closed"),
    ),
    Count(
        "connection_closes_server",
        P + "gateway_connection_closes_total",
        _not("reason", "peer_closed", "server_stop", "maintenance"),
    ),
    Count("gateway_auth_failures", P + "gateway_auth_total", _not("status", "ok")),
)


def compute(ctx: Context) -> None:
    """State the signals of the servers' metrics."""
    for spec in LATENCIES:
        _latency(ctx, spec)
    for count in COUNTS:
        if count.name != "storage_errors":
            _count(ctx, count)
    _histogram_count(ctx, "storage_errors", REQUEST, _not("result", "ok"))
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
    _gauges(ctx)
    _pools(ctx)
    _meta(ctx)
    _worst_steps(ctx)
    _delivery(ctx)
    _controller(ctx)
    _services(ctx)


# -- latencies ------------------------------------------------------------------------------------


def _latency(ctx: Context, spec: Latency) -> None:
    pooled: Histogram = EMPTY
    pooled_cites: list[Citation] = []
    reasons: list[str] = []
    for node in ctx.nodes:
        found = ctx.metrics.histogram(node, spec.family, spec.labels)
        if isinstance(found, str):
            reasons.append(found)
            for name in filter(None, (spec.p99, spec.mean)):
                ctx.put(name, None, node=node, why=found)
            continue
        cites = ctx.metrics.cite_histogram(node, spec.family, spec.labels)
        _state_latency(ctx, spec, found, cites, node)
        pooled = pooled + found
        pooled_cites += cites[:2] if found.count else []
    if pooled.count == 0 and reasons:
        for name in filter(None, (spec.p99, spec.mean)):
            ctx.put(name, None, why=reasons[0])
        return
    _state_latency(ctx, spec, pooled, pooled_cites, None)


def _state_latency(
    ctx: Context, spec: Latency, found: Histogram, cites: list[Citation], node: str | None
) -> None:
    none = "no observations in the window"
    if spec.mean:
        ctx.put(spec.mean, found.mean, cites, node=node, why=none)
    if not spec.p99:
        return
    ctx.put(
        spec.p99,
        found.quantile(0.99),
        cites,
        node=node,
        why=none if not found.count else f"{found.count:g} observations are too few for a p99",
    )
    if spec.p99 == "sendack_p99":
        ctx.put(
            "sendack_saturated",
            found.saturated(0.99) if found.count else None,
            cites,
            node=node,
            why=none,
        )


def _mean_of(ctx: Context, node: str, family: str, labels: Labels) -> float | None:
    found = ctx.metrics.histogram(node, family, labels)
    return None if isinstance(found, str) else found.mean


# -- counters -------------------------------------------------------------------------------------


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
        mine = _by_label(ctx, node, SENDACKS, "class")
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
        ctx.put("sendack_error_class", _top(bad), ctx.cites("sendack_errors", node), node=node)
    for node in ctx.nodes:
        value, found = ratios.get(node, (None, []))
        ctx.put("sendack_error_ratio", value, found, node=node, why=why.get(node))
    reason = next(iter(why.values()), "no sendacks in the window")
    ctx.put("sendack_error_ratio", failed / total if total else None, cites, why=reason)
    ctx.put(
        "sendack_error_class", _top(classes) if total else None, ctx.cites("sendack_errors"),
        why=reason,
    )
    attempts = None
    sent, errors_seen = ctx.number("messages_sent"), ctx.number("send_errors")
    if sent is not None and errors_seen is not None:
        attempts = sent + errors_seen
    complete = len(ratios) == len(ctx.nodes) and bool(ctx.nodes)
    ctx.put(
        "sendacks_missing_ratio",
        max(0.0, 1 - total / attempts) if attempts and complete else None,
        [*ctx.cites("messages_sent"), *cites],
        why="not every node was scraped, or the attempts are unknown",
    )


def _by_label(ctx: Context, node: str, family: str, label: str) -> dict[str, float]:
    ends = ctx.metrics.ends(node, family)
    if isinstance(ends, str):
        return {}
    before, after = ends
    old = {p.series: p.value for p in before.families.get(family, ())} if before else {}
    found: dict[str, float] = {}
    for point in after.families.get(family, ()):
        grown = point.value - old.get(point.series, 0.0)
        key = point.labels.get(label, "")
        found[key] = found.get(key, 0.0) + (grown if grown >= 0 else point.value)
    return found


def _top(counts: Mapping[str, float]) -> str:
    return min(counts, key=lambda k: (-counts[k], k)) if counts else "none"


# -- replication and storage ----------------------------------------------------------------------


def _quorum(ctx: Context) -> None:
    """Split a quorum commit into its local store and the wait for a follower beyond it.

    Older servers had append stages for followers (FOLLOWER_STAGES); current ones run the whole
    commit as the worker task quorum_commit, of which the local part is sampled.
    """
    pooled: Histogram = EMPTY
    waits: list[tuple[float, float, list[Citation]]] = []
    for node in ctx.nodes:
        stages = {
            s: ctx.metrics.histogram(node, STAGE, {"stage": s}) for s in FOLLOWER_STAGES
        }
        old = [h for h in stages.values() if isinstance(h, Histogram) and h.count]
        if old:
            labels: Labels = {"stage": FOLLOWER_STAGES}
            cites = ctx.metrics.cite_histogram(node, STAGE, labels)
            p99s = [q for h in old if (q := h.quantile(0.99)) is not None]
            ctx.put("quorum_wait_p99", max(p99s) if p99s else None, cites, node=node,
                    why="too few observations for a p99")
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
            "quorum_wait_p99", task.quantile(0.99), cites, node=node,
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
    all_cites = [c for _, _, found in waits for c in found[:2]]
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
                why="append or this part of it is unknown",
            )
    for name, of in (
        ("append_vs_peers", "append_mean"),
        ("sendack_vs_peers", "sendack_mean"),
        ("storage_commit_vs_peers", "storage_commit_mean"),
    ):
        versus_peers(ctx, name, of)


def versus_peers(ctx: Context, name: str, of: str) -> None:
    """State how a node's value compares with the median of the other nodes."""
    for node in ctx.nodes:
        mine = ctx.number(of, node)
        others = [
            v for n in ctx.nodes if n != node and (v := ctx.number(of, n)) is not None
        ]
        middle = median(others)
        ctx.put(
            name,
            mine / middle if mine is not None and middle else None,
            [c for n in ctx.nodes for c in ctx.cites(of, n)[:2]],
            node=node,
            why="this node's value or its peers' is unknown",
        )


def _storage(ctx: Context) -> None:
    for node in (*ctx.nodes, None):
        device = ctx.number("storage_commit_mean", node)
        request = ctx.number("storage_request_mean", node)
        ctx.put(
            "storage_queueing_share",
            max(0.0, 1 - device / request) if device is not None and request else None,
            [*ctx.cites("storage_commit_mean", node)[:3],
             *ctx.cites("storage_request_mean", node)[:3]],
            node=node,
            why="no commits in the window, or no scrapes",
        )
    rates: PerNode = {}
    busy: PerNode = {}
    why: dict[str, str] = {}
    for node in ctx.nodes:
        found = ctx.metrics.histogram(node, COMMIT, {"stage": "commit"})
        total = ctx.metrics.histogram(node, COMMIT, {"stage": "total"})
        if isinstance(found, str) or isinstance(total, str) or ctx.window is None:
            why[node] = found if isinstance(found, str) else "no measured window"
            continue
        seconds = ctx.window[1] - ctx.window[0]
        cites = ctx.metrics.cite_histogram(node, COMMIT, {"stage": "commit"})
        rates[node] = (found.count / seconds, cites)
        busy[node] = (min(1.0, (total.total or found.total) / seconds), cites)
    ctx.gather("storage_commit_rate", per_node=rates, why=why)
    ctx.gather("storage_commit_busy", "max", per_node=busy, why=why)


# -- gauges ---------------------------------------------------------------------------------------


def _highest(
    ctx: Context,
    name: str,
    families: tuple[str, ...],
    of: Callable[[Scrape], tuple[float, list[prom.Point]] | None],
    how: str = "max",
    *,
    last: bool = False,
    first: bool = False,
) -> None:
    """State the highest value over the scrapes that hold all families (or the last's, first's)."""
    per_node: PerNode = {}
    why: dict[str, str] = {}
    for node in ctx.nodes:
        scrapes = [
            s for s in ctx.metrics.scrapes(node, families[0]) if all(s.known(f) for f in families)
        ]
        if last:
            scrapes = [s for s in scrapes if s.file == ctx.metrics.file(node)]
        if first:
            scrapes = scrapes[:1]
        best: tuple[float, Scrape, list[prom.Point]] | None = None
        for scrape in scrapes:
            found = of(scrape)
            if found is not None and (best is None or found[0] > best[0]):
                best = (found[0], scrape, found[1])
        if best is None:
            why[node] = f"no scrape of {node} holds {families[0]}"
            continue
        cites = [ctx.metrics.cite(best[1], p) for p in best[2][:3]]
        per_node[node] = (best[0], cites or [ctx.bundle.cite(best[1].file)])
    ctx.gather(name, how, per_node=per_node, why=why)


def _summed(
    family: str, **labels: str
) -> Callable[[Scrape], tuple[float, list[prom.Point]] | None]:
    def of(scrape: Scrape) -> tuple[float, list[prom.Point]] | None:
        points = scrape.points(family, **labels)
        points.sort(key=lambda p: (-p.value, p.series))
        return (sum(p.value for p in points), points) if points else None

    return of


def _largest(family: str) -> Callable[[Scrape], tuple[float, list[prom.Point]] | None]:
    def of(scrape: Scrape) -> tuple[float, list[prom.Point]] | None:
        points = sorted(scrape.points(family), key=lambda p: (-p.value, p.series))
        return (points[0].value, points[:1]) if points else None

    return of


def _ratio(
    depth: str, capacity: str
) -> Callable[[Scrape], tuple[float, list[prom.Point]] | None]:
    def of(scrape: Scrape) -> tuple[float, list[prom.Point]] | None:
        top, bottom = scrape.first(depth), scrape.first(capacity)
        if top is None or bottom is None or bottom.value <= 0:
            return None
        return top.value / bottom.value, [top, bottom]

    return of


def _gauges(ctx: Context) -> None:
    ratios = (
        (
            "gateway_queue_ratio",
            P + "gateway_async_send_queue_depth",
            P + "gateway_async_send_queue_capacity",
        ),
        (
            "recipient_queue_ratio",
            P + "delivery_recipient_worker_queue_depth",
            P + "delivery_recipient_worker_queue_capacity",
        ),
        (
            "recipient_worker_saturation",
            P + "delivery_recipient_worker_inflight",
            P + "delivery_recipient_worker_capacity",
        ),
        (
            "controller_queue_ratio",
            P + "controller_raft_step_queue_depth",
            P + "controller_raft_step_queue_capacity",
        ),
    )
    for name, depth, capacity in ratios:
        _highest(ctx, name, (depth, capacity), _ratio(depth, capacity))
    handoff = P + "channelappend_post_commit_handoff_"
    admission = P + "channelappend_writer_admission_"

    def of_handoff(scrape: Scrape) -> tuple[float, list[prom.Point]] | None:
        both = [
            r
            for r in (
                _ratio(handoff + "depth", handoff + "capacity")(scrape),
                _ratio(admission + "depth", admission + "capacity")(scrape),
            )
            if r is not None
        ]
        return max(both, key=lambda r: r[0]) if both else None

    _highest(ctx, "handoff_ratio", (handoff + "depth",), of_handoff)
    saturated = P + "channelappend_effect_pool_saturated"
    per_node: PerNode = {}
    why: dict[str, str] = {}
    for node in ctx.nodes:
        scrapes = ctx.metrics.scrapes(node, saturated)
        points = [(s, p) for s in scrapes for p in s.points(saturated)]
        hot = [(s, p) for s, p in points if p.value > 0]
        if scrapes:
            per_node[node] = (
                bool(hot),
                [ctx.metrics.cite(s, p) for s, p in (hot or points)[:2]]
                or [ctx.bundle.cite(scrapes[-1].file)],
            )
        else:
            why[node] = f"no scrape of {node} holds {saturated}"
    ctx.gather("effect_pool_saturated", "any", per_node=per_node, why=why)
    simple = (
        ("mailbox_depth", P + "channelv2_reactor_mailbox_depth", "max"),
        ("storage_queue_depth", P + "storage_commit_queue_depth", "max"),
        ("slot_apply_gap", P + "slot_apply_gap", "max"),
        (
            "storage_compaction_debt_bytes",
            P + "storage_pebble_compaction_estimated_debt_bytes",
            "max",
        ),
        ("storage_read_amplification", P + "storage_pebble_read_amplification", "max"),
    )
    for name, family, how in simple:
        if name == "slot_apply_gap":
            continue  # stated with the cluster timeline's gap
        _highest(ctx, name, (family,), _largest(family), how)
    disk = P + "storage_pebble_disk_usage_bytes"
    _highest(ctx, "storage_disk_bytes", (disk,), _summed(disk), "sum", first=True)
    pending = P + "channelv2_pending_meta_current"
    _highest(ctx, "pending_meta", (pending,), _summed(pending), "sum")
    active = P + "channelv2_active_runtimes"
    leaders = _summed(active, role="leader")
    _highest(ctx, "active_channels", (active,), leaders, "sum", last=True)
    counts = [ctx.number("active_channels", n) for n in ctx.nodes]
    total = sum(c for c in counts if c is not None)
    complete = bool(counts) and None not in counts and total > 0
    ctx.put(
        "leader_skew",
        max(c for c in counts if c is not None) / total if complete else None,
        ctx.cites("active_channels"),
        why="not every node was scraped at the end, or no channel is active",
    )
    growth = None
    if complete:
        was = 0.0
        for node in ctx.nodes:
            before = ctx.metrics.before(node)
            value = leaders(before) if before is not None and before.known(active) else None
            if value is None:
                break
            was += value[0]
        else:
            growth = (total - was) / total
    ctx.put(
        "active_channels_growth",
        growth,
        ctx.cites("active_channels"),
        why="not every node was scraped at both ends",
    )
    _highest(ctx, "node_goroutines", ("go_goroutines",), _largest("go_goroutines"), last=True)
    pool = P + "transport_connections_pool_active"
    per_pool: PerNode = {}
    for node in ctx.nodes:
        after = ctx.metrics.after(node)
        points = sorted(after.points(pool), key=lambda p: p.value) if after else []
        if after is not None and points:
            per_pool[node] = (points[0].value, [ctx.metrics.cite(after, points[0])])
    ctx.gather(
        "peer_connections_min", "min", per_node=per_pool, default_why="no scrape at the end"
    )


# -- pools ----------------------------------------------------------------------------------------


def _pools(ctx: Context) -> None:
    saturation: dict[str, tuple[float, str, list[Citation]]] = {}
    queues: dict[str, tuple[float, str, list[Citation]]] = {}
    waits: dict[str, tuple[float, str, list[Citation]]] = {}
    tasks = P + "runtime_pool_task_duration_seconds"
    workers = P + "runtime_pool_workers"
    depth, capacity = P + "runtime_pool_queue_depth", P + "runtime_pool_queue_capacity"
    for node in ctx.nodes:
        found = _busy_share(ctx, node, tasks, workers)
        if found is not None:
            saturation[node] = found
        for scrape in ctx.metrics.scrapes(node, depth):
            limits = {_pool_key(p.labels, True): p for p in scrape.points(capacity)}
            for point in scrape.points(depth):
                limit = limits.get(_pool_key(point.labels, True))
                if limit is None or limit.value <= 0:
                    continue
                share = point.value / limit.value
                if node not in queues or share > queues[node][0]:
                    cites = [ctx.metrics.cite(scrape, p) for p in (point, limit)]
                    queues[node] = (share, _pool_key(point.labels), cites)
        after = ctx.metrics.after(node)
        keys = {
            (p.labels.get("component", ""), p.labels.get("pool", ""))
            for p in (after.points(POOL_WAIT) if after else [])
        }
        for component, pool in sorted(keys):
            labels: Labels = {"component": component, "pool": pool}
            wait = ctx.metrics.histogram(node, POOL_WAIT, labels)
            p99 = None if isinstance(wait, str) else wait.quantile(0.99)
            if p99 is not None and (node not in waits or p99 > waits[node][0]):
                cites = ctx.metrics.cite_histogram(node, POOL_WAIT, labels)
                waits[node] = (p99, f"{component}/{pool}", cites)
    for value_name, text_name, table in (
        ("worker_saturation", "worker_saturation_pool", saturation),
        ("pool_queue_ratio", "pool_queue_name", queues),
        ("pool_wait_p99", "pool_wait_name", waits),
    ):
        why = "no usable scrapes, or too few observations"
        ctx.gather(
            value_name,
            "max",
            per_node={n: (v, c) for n, (v, _, c) in table.items()},
            default_why=why,
        )
        for node in ctx.nodes:
            entry = table.get(node)
            ctx.put(
                text_name, entry[1] if entry else None, entry[2] if entry else [], node=node,
                why=why,
            )
        top = max(table.values(), key=lambda t: (t[0], t[1]), default=None)
        ctx.put(text_name, top[1] if top else None, top[2] if top else [], why=why)


def _busy_share(
    ctx: Context, node: str, tasks: str, workers: str
) -> tuple[float, str, list[Citation]] | None:
    """Return the busiest pool: task seconds over what its workers had (utilisation law)."""
    after = ctx.metrics.after(node)
    if after is None or ctx.window is None:
        return None
    seconds = ctx.window[1] - ctx.window[0]
    best: tuple[float, str, list[Citation]] | None = None
    for point in after.points(workers):
        if point.value <= 0:
            continue
        labels: Labels = {
            "component": point.labels.get("component", ""),
            "pool": point.labels.get("pool", ""),
        }
        found = ctx.metrics.histogram(node, tasks, labels)
        if isinstance(found, str) or not found.count:
            continue
        share = found.total / (seconds * point.value)
        if best is None or share > best[0]:
            cites = ctx.metrics.cite_histogram(node, tasks, labels)
            best = (
                share,
                f"{labels['component']}/{labels['pool']}",
                [*cites[2:4], *cites[:2], ctx.metrics.cite(after, point)],
            )
    return best


def _pool_key(labels: Mapping[str, str], full: bool = False) -> str:
    names = ("component", "pool", "queue", "priority") if full else ("component", "pool")
    return "/".join(labels.get(n, "") for n in names)


def _meta(ctx: Context) -> None:
    per_node: PerNode = {}
    for node in ctx.nodes:
        after = ctx.metrics.after(node)
        stages = {
            s
            for p in (after.points(APPEND_STAGE) if after else [])
            if (s := p.labels.get("stage", "")).startswith("meta_create_")
        }
        best: tuple[float, str] | None = None
        for stage in sorted(stages):
            found = ctx.metrics.histogram(node, APPEND_STAGE, {"stage": stage})
            p99 = None if isinstance(found, str) else found.quantile(0.99)
            if p99 is not None and (best is None or p99 > best[0]):
                best = (p99, stage)
        if best is not None:
            per_node[node] = (
                best[0],
                ctx.metrics.cite_histogram(node, APPEND_STAGE, {"stage": best[1]}),
            )
    ctx.gather(
        "meta_create_p99", "max", per_node=per_node,
        default_why="fewer than 100 metadata creations in the window, or no scrapes",
    )
    channels = 0.0
    for kind in ("person_channels", "group_channels"):
        value = ctx.config.get(kind, ctx.bundle.workload.get(kind))
        channels += float(value) if isinstance(value, int | float) else 0.0
    created = ctx.number("meta_created")
    ctx.put(
        "meta_created_ratio",
        created / channels if created is not None and channels else None,
        ctx.cites("meta_created"),
        why="creations or the number of channels are unknown",
    )


# -- over time ------------------------------------------------------------------------------------


def _worst_steps(ctx: Context) -> None:
    for name, family, labels in (
        ("sendack_p99_worst", SEND, {"frame_type": "SEND"}),
        ("append_p99_worst", APPEND, {}),
    ):
        per_node: PerNode = {}
        for node in ctx.nodes:
            best: tuple[float, Scrape] | None = None
            for _, _, earlier, later in ctx.metrics.steps(node, family):
                found = prom.histogram(earlier, later, family, **labels)
                p99 = found.quantile(0.99) if found else None
                if p99 is not None and (best is None or p99 > best[0]):
                    best = (p99, later)
            if best is not None:
                counts = [p for p in best[1].points(family, **labels) if p.name.endswith("_count")]
                per_node[node] = (best[0], [ctx.metrics.cite(best[1], p) for p in counts[:2]])
        ctx.gather(
            name, "max", per_node=per_node, default_why="no metrics series with enough observations"
        )
    family = P + "slot_leader_elections_total"
    early = total = 0.0
    cites: list[Citation] = []
    for node in ctx.nodes:
        steps = ctx.metrics.steps(node, family)
        for start, _, earlier, later in steps:
            grown = prom.increase(earlier, later, family)
            if grown is None or ctx.window is None:
                continue
            total += grown[0]
            if start - ctx.window[0] < (ctx.window[1] - ctx.window[0]) / 3:
                early += grown[0]
            cites += [ctx.metrics.cite(later, p) for p in grown[1][:1]]
    ctx.put(
        "slot_elections_early_share",
        early / total if total else None,
        cites,
        why="no metrics series, or no elections",
    )


# -- delivery, controller, transport --------------------------------------------------------------


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
    ctx.gather("ack_bindings_growth", per_node=per_node, why=why)
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
        cites += ctx.metrics.cite_counter(
            node, P + "gateway_messages_delivered_total", gave[1]
        )[:2]
    ratio = delivered / received if complete and received else None
    ctx.put("fanout_ratio", ratio, cites, why="not every node was scraped, or nothing received")
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
    reason = "none in the window"
    for node in ctx.nodes:
        grown = ctx.metrics.increase(node, family)
        if isinstance(grown, str):
            reason = grown
            ctx.put(name, None, node=node, why=grown)
            continue
        bad = ctx.number(errors, node) or 0.0
        here = ctx.metrics.cite_counter(node, family, grown[1])
        ctx.put(
            name, bad / grown[0] if grown[0] else None, here, node=node, why="none in the window"
        )
        failed, total, cites = failed + bad, total + grown[0], cites + here[:2]
    ctx.put(name, failed / total if total else None, cites, why=reason)


def _controller(ctx: Context) -> None:
    present = P + "controller_leader_present"
    per_node: PerNode = {}
    for node in ctx.nodes:
        points = [
            (s, p) for s in ctx.metrics.scrapes(node, present) if (p := s.first(present))
        ]
        if points:
            absent = [(s, p) for s, p in points if p.value == 0]
            per_node[node] = (
                bool(absent), [ctx.metrics.cite(s, p) for s, p in (absent or points)[:2]]
            )
    ctx.gather("controller_leader_absent", "any", per_node=per_node, default_why="no scrapes")
    best: tuple[float, list[Citation]] | None = None
    for node in ctx.nodes:
        for scrape in (ctx.metrics.before(node), ctx.metrics.after(node)):
            points = [
                p
                for state in ("dead", "suspect")
                if scrape is not None and (p := scrape.first(P + f"controller_nodes_{state}"))
            ]
            if scrape is None or not points:
                continue
            value = sum(p.value for p in points)
            if best is None or value > best[0]:
                best = (value, [ctx.metrics.cite(scrape, p) for p in points])
    ctx.put(
        "controller_nodes_dead", best[0] if best else None, best[1] if best else [],
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
        ctx.put("rpc_error_service", _top(bad), ctx.cites("rpc_errors", node), node=node)
    ctx.put(
        "rpc_error_service", _top(totals) if served else None, ctx.cites("rpc_errors"),
        why="no scrapes",
    )
    for node in ctx.nodes:
        others = [v for n, v in served.items() if n != node]
        middle = median(others)
        ctx.put(
            "rpc_served_vs_peers",
            served[node] / middle if node in served and middle else None,
            [c for n in served for c in ctx.cites("rpc_errors", n)[:1]],
            node=node,
            why="no scrapes of this node or of its peers",
        )

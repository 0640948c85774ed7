"""Queues, pools and other gauges of the servers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from wktriage.bundle.readers import prom
from wktriage.bundle.readers.prom import Histogram, Scrape
from wktriage.core.model import Citation
from wktriage.judging.signals.context import Context, PerNode
from wktriage.judging.signals.metric_map import (
    ANTS_CAPACITY,
    APPEND_STAGE,
    EFFECT,
    POOL_WAIT,
    SEND,
)
from wktriage.judging.signals.metrics import Labels, P

EFFECT_POOLS = {"append": "append_effect", "post_commit": "post_commit"}
"""Which goroutine pool works off which stage of the effects."""


CREATION = "meta_create_write"
"""The append stage in which a channel is created, all steps and waits of it (slot_meta.go)."""

_WHOLE = "send_server_latency_mean"


def compute(ctx: Context) -> None:
    """State the signals of gauges and pools."""
    _gauges(ctx)
    _pools(ctx)
    _meta(ctx)
    _creations(ctx)


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
            reading = of(scrape)
            if reading is not None and (best is None or reading[0] > best[0]):
                best = (reading[0], scrape, reading[1])
        if best is None:
            why[node] = f"no scrape of {node} holds {families[0]}"
            continue
        cites = [ctx.metrics.cite(best[1], p) for p in best[2][:3]]
        per_node[node] = (best[0], cites or [ctx.bundle.cite(best[1].file)])
    ctx.gather(name, how, per_node=per_node, why=why)


def _summed(
    family: str, **labels: str
) -> Callable[[Scrape], tuple[float, list[prom.Point]] | None]:
    """Sum the series; a gauge that no child was made of is absent from the text: zero."""

    def of(scrape: Scrape) -> tuple[float, list[prom.Point]] | None:
        points = scrape.points(family, **labels)
        points.sort(key=lambda p: (-p.value, p.series))
        return sum(p.value for p in points), points

    return of


def _largest(family: str) -> Callable[[Scrape], tuple[float, list[prom.Point]] | None]:
    def of(scrape: Scrape) -> tuple[float, list[prom.Point]] | None:
        points = sorted(scrape.points(family), key=lambda p: (-p.value, p.series))
        return (points[0].value, points[:1]) if points else None

    return of


def _ratio(depth: str, capacity: str) -> Callable[[Scrape], tuple[float, list[prom.Point]] | None]:
    def of(scrape: Scrape) -> tuple[float, list[prom.Point]] | None:
        top, bottom = scrape.first(depth), scrape.first(capacity)
        if top is None or bottom is None or bottom.value <= 0:
            return None
        return top.value / bottom.value, [top, bottom]

    return of


def _gauges(ctx: Context) -> None:
    ratios = (
        (
            "gateway_queue_fill",
            P + "gateway_async_send_queue_depth",
            P + "gateway_async_send_queue_capacity",
        ),
        (
            "recipient_queue_fill",
            P + "delivery_recipient_worker_queue_depth",
            P + "delivery_recipient_worker_queue_capacity",
        ),
        (
            "recipient_worker_saturation",
            P + "delivery_recipient_worker_inflight",
            P + "delivery_recipient_worker_capacity",
        ),
        (
            "controller_queue_fill",
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

    _highest(ctx, "append_handoff_fill", (handoff + "depth",), of_handoff)
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
        ("reactor_mailbox_depth", P + "channelv2_reactor_mailbox_depth", "max"),
        ("storage_queue_depth", P + "storage_commit_queue_depth", "max"),
        (
            "storage_compaction_debt_bytes",
            P + "storage_pebble_compaction_estimated_debt_bytes",
            "max",
        ),
        ("storage_read_amplification", P + "storage_pebble_read_amplification", "max"),
    )
    for name, family, how in simple:
        _highest(ctx, name, (family,), _largest(family), how)
    disk = P + "storage_pebble_disk_usage_bytes"
    _highest(ctx, "storage_disk_bytes", (disk,), _summed(disk), "sum", first=True)
    pending = P + "channelv2_pending_meta_current"
    _highest(ctx, "followers_awaiting_metadata", (pending,), _summed(pending), "sum")
    active = P + "channelv2_active_runtimes"
    leaders = _summed(active, role="leader")
    _highest(ctx, "active_channels", (active,), leaders, "sum", last=True)
    _highest(ctx, "node_goroutines", ("go_goroutines",), _largest("go_goroutines"), last=True)
    pool = P + "transport_connections_pool_active"
    per_pool: PerNode = {}
    for node in ctx.nodes:
        after = ctx.metrics.after(node)
        peers = sorted(after.points(pool), key=lambda p: p.value) if after else []
        if after is not None and peers:
            per_pool[node] = (peers[0].value, [ctx.metrics.cite(after, peers[0])])
    ctx.gather("peer_connections_min", "min", per_node=per_pool, default_why="no scrape at the end")


def _pools(ctx: Context) -> None:
    saturation: dict[str, tuple[float, str, list[Citation]]] = {}
    queues: dict[str, tuple[float, str, list[Citation]]] = {}
    waits: dict[str, tuple[float, str, list[Citation]]] = {}
    tasks = P + "runtime_pool_task_duration_seconds"
    workers = P + "runtime_pool_workers"
    depth, capacity = P + "runtime_pool_queue_depth", P + "runtime_pool_queue_capacity"
    for node in ctx.nodes:
        busiest = _busy_share(ctx, node, tasks, workers)
        if busiest is not None:
            saturation[node] = busiest
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
    _effects(ctx)
    for value_name, text_name, table in (
        ("worker_saturation", "worker_saturation_pool", saturation),
        ("pool_queue_fill", "pool_queue_name", queues),
        ("pool_wait_p99", "pool_wait_name", waits),
    ):
        why = "there are no usable scrapes, or too few observations"
        ctx.gather(
            value_name,
            "max",
            per_node={n: (v, c) for n, (v, _, c) in table.items()},
            default_why=why,
        )
        for node in ctx.nodes:
            entry = table.get(node)
            ctx.put(
                text_name,
                entry[1] if entry else None,
                entry[2] if entry else [],
                node=node,
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
        ran = ctx.metrics.histogram(node, tasks, labels)
        if isinstance(ran, str) or not ran.count:
            continue
        share = ran.total / (seconds * point.value)
        if best is None or share > best[0]:
            cites = ctx.metrics.cite_histogram(node, tasks, labels)
            best = (
                share,
                f"{labels['component']}/{labels['pool']}",
                [*cites[2:4], *cites[:2], ctx.metrics.cite(after, point)],
            )
    return best


def _effects(ctx: Context) -> None:
    """State how busy the append's effect pools are; of their own gauges none is ever fed."""
    busiest: dict[str, tuple[float, list[Citation]]] = {}
    for node in ctx.nodes:
        after = ctx.metrics.after(node)
        if after is None or ctx.window is None:
            continue
        for stage, pool in EFFECT_POOLS.items():
            limits = after.points(ANTS_CAPACITY, component="channelappend", pool=pool)
            worked = ctx.metrics.histogram(node, EFFECT, {"stage": stage})
            if not limits or limits[0].value <= 0 or isinstance(worked, str):
                continue
            share = worked.total / ((ctx.window[1] - ctx.window[0]) * limits[0].value)
            if node not in busiest or share > busiest[node][0]:
                cites = ctx.metrics.cite_histogram(node, EFFECT, {"stage": stage})
                busiest[node] = (share, [ctx.metrics.cite(after, limits[0]), *cites[:3]])
    per_node: PerNode = dict(busiest)
    ctx.gather(
        "effect_pool_busy", "max", per_node=per_node, default_why="no effects or pools in scrapes"
    )


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
            creation = ctx.metrics.histogram(node, APPEND_STAGE, {"stage": stage})
            p99 = None if isinstance(creation, str) else creation.quantile(0.99)
            if p99 is not None and (best is None or p99 > best[0]):
                best = (p99, stage)
        if best is not None:
            per_node[node] = (
                best[0],
                ctx.metrics.cite_histogram(node, APPEND_STAGE, {"stage": best[1]}),
            )
    ctx.gather(
        "channel_metadata_create_p99",
        "max",
        per_node=per_node,
        default_why="fewer than 100 metadata creations in the window, or no scrapes",
    )
    channels = 0.0
    for kind in ("person_channels", "group_channels"):
        value = ctx.config.get(kind, ctx.bundle.workload.get(kind))
        channels += float(value) if isinstance(value, int | float) else 0.0
    created = ctx.number("channel_metadata_created")
    ctx.put(
        "channel_metadata_created_ratio",
        created / channels if created is not None and channels else None,
        ctx.cites("channel_metadata_created"),
        why="creations or the number of channels are unknown",
    )


def _creations(ctx: Context) -> None:
    """State the time that a send spends on creating its channel, as a mean over all sends.

    A channel is created by the first message to it: the sender's node waits for its slot.
    """
    pooled: list[Histogram] = []
    sent: list[Histogram] = []
    cites: list[Citation] = []
    why = "no sends in the window, or no scrapes"
    for node in ctx.nodes:
        created = ctx.metrics.histogram(node, APPEND_STAGE, {"stage": CREATION})
        sends = ctx.metrics.histogram(node, SEND, {"frame_type": "SEND"})
        if isinstance(created, str) or isinstance(sends, str):
            ctx.put("channel_create_mean", None, node=node, why=str(created))
            continue
        here = ctx.metrics.cite_histogram(node, APPEND_STAGE, {"stage": CREATION})
        mean = created.total / sends.count if sends.count else None
        ctx.put("channel_create_mean", mean, here, node=node, why=why)
        pooled, sent, cites = [*pooled, created], [*sent, sends], [*cites, *here[:2]]
    total, count = sum(h.total for h in pooled), sum(h.count for h in sent)
    ctx.put("channel_create_mean", total / count if count else None, cites, why=why)
    for place in (*ctx.nodes, None):
        mean, whole = (ctx.number(n, place) for n in ("channel_create_mean", _WHOLE))
        ctx.put(
            "channel_create_share",
            min(1.0, mean / whole) if mean is not None and whole else None,
            [*ctx.cites("channel_create_mean", place)[:3], *ctx.cites(_WHOLE, place)[:2]],
            node=place,
            why=why,
        )

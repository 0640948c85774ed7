"""Which metric families give which latency and counter signals: data, no logic."""

from __future__ import annotations

from dataclasses import dataclass, field

from wktriage.judging.signals.metrics import Labels, P, Where

STAGE = P + "channelv2_append_wait_stage_duration_seconds"

REPLICATION = P + "channelv2_replication_stage_duration_seconds"

TASK = P + "channelv2_worker_task_duration_seconds"

SENDACKS = P + "gateway_sendacks_total"

SEND = P + "gateway_frame_handle_duration_seconds"

DISPATCH = P + "gateway_async_send_dispatch_wait_duration_seconds"

APPEND = P + "channelv2_append_duration_seconds"

APPEND_STAGE = P + "channelv2_append_stage_duration_seconds"

APPEND_ERRORS = P + "message_append_errors_total"

EFFECT = P + "channelappend_effect_duration_seconds"

ANTS_CAPACITY = P + "ants_pool_capacity"

POOL_WAIT = P + "runtime_pool_wait_duration_seconds"

COMMIT = P + "storage_commit_batch_duration_seconds"

REQUEST = P + "storage_commit_request_duration_seconds"

ROUTE_CLASSES = ("not_leader", "stale_route", "route_not_ready")

TIMEOUT_CLASSES = ("timeout", "canceled")


@dataclass(frozen=True)
class Latency:
    """Which signals a histogram gives. ``p99`` and ``mean`` are signal names ("" for none).

    ``behind`` is the family of a wait that comes before and is not in the histogram ("" for none).
    """

    family: str
    labels: Labels = field(default_factory=dict)
    p99: str = ""
    mean: str = ""
    behind: str = ""


LATENCIES = (
    Latency(
        SEND,
        {"frame_type": "SEND"},
        "send_server_latency_p99",
        "send_server_latency_mean",
        DISPATCH,
    ),
    Latency(DISPATCH, p99="dispatch_wait_p99", mean="dispatch_wait_mean"),
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
    Latency(P + "channelappend_router_duration_seconds", {"path": "remote"}, "forward_append_p99"),
    Latency(COMMIT, {"stage": "commit"}, "storage_commit_p99", "storage_commit_mean"),
    Latency(COMMIT, {"stage": "collect"}, mean="storage_collect_mean"),
    Latency(REQUEST, {}, "storage_request_p99", "storage_request_mean"),
    Latency(P + "slot_apply_duration_seconds", {}, "slot_apply_p99"),
    Latency(P + "transport_rpc_duration_seconds", {}, "rpc_latency_p99"),
    Latency(P + "delivery_push_rpc_duration_seconds", {}, "push_rpc_latency_p99"),
    Latency(P + "delivery_recipient_worker_process_duration_seconds", {}, "recipient_process_p99"),
)


@dataclass(frozen=True)
class Count:
    """A signal that is the growth of the counters of a family whose labels satisfy ``where``."""

    name: str
    family: str
    where: Where | None = None
    how: str = "sum"


def is_not(label: str, *good: str) -> Where:
    """Select the series whose label has none of the values."""
    return lambda labels: labels.get(label, "") not in good


def is_one_of(label: str, *values: str) -> Where:
    """Select the series whose label has one of the values."""
    return lambda labels: labels.get(label, "") in values


COUNTS = (
    Count("sendack_errors", SENDACKS, is_not("class", "none")),
    Count("sendack_errors_timeout", SENDACKS, is_one_of("class", *TIMEOUT_CLASSES)),
    Count("sendack_errors_route", SENDACKS, is_one_of("class", *ROUTE_CLASSES)),
    Count(
        "sendack_errors_other", SENDACKS, is_not("class", "none", *TIMEOUT_CLASSES, *ROUTE_CLASSES)
    ),
    Count("append_errors", APPEND_ERRORS),
    Count(
        "append_errors_backpressured",
        APPEND_ERRORS,
        is_one_of("class", "backpressured", "too_many_channels"),
    ),
    Count("append_errors_remote", APPEND_ERRORS, is_one_of("class", "remote_error")),
    Count(
        "effect_pool_full",
        P + "channelappend_effect_pool_submit_total",
        is_one_of("result", "full", "busy"),
    ),
    Count(
        "post_commit_errors",
        P + "channelappend_effect_total",
        lambda v: v.get("stage") == "post_commit" and v.get("result") != "ok",
    ),
    Count(
        "pool_rejections",
        P + "runtime_pool_admission_total",
        is_one_of("result", "full", "busy", "rejected", "dropped", "overflow"),
    ),
    Count("activation_rejected", P + "channelv2_activation_rejected_total"),
    Count("slot_elections", P + "slot_leader_elections_total", None, "max"),
    Count(
        "slot_leader_changes",
        P + "slot_leader_changes_total",
        is_one_of("cause", "election"),
        "max",
    ),
    Count(
        "slot_proposals_refused",
        P + "slot_proposal_admission_total",
        is_not("result", "ok", "accepted", "admitted"),
    ),
    Count("rpc_errors", P + "transport_rpc_total", is_not("result", "ok")),
    Count("push_errors", P + "delivery_push_rpc_total", is_not("result", "ok")),
    Count(
        "recipient_worker_errors",
        P + "delivery_recipient_worker_process_total",
        is_not("result", "ok"),
    ),
    Count("delivery_errors", P + "delivery_errors_total"),
    Count(
        "presence_lookup_failures",
        P + "presence_endpoint_lookup_total",
        is_not("outcome", "ok", "success"),
    ),
    Count(
        "authority_resolve_failures",
        P + "delivery_recipient_authority_resolve_total",
        is_not("result", "ok"),
    ),
    Count(
        "channel_metadata_created",
        P + "channelv2_meta_created_total",
        is_one_of("result", "created"),
    ),
    Count(
        "channel_metadata_create_errors",
        P + "channelv2_meta_created_total",
        is_one_of("result", "error", "err"),
    ),
    Count(
        "metadata_pull_retries",
        P + "channelv2_need_meta_pull_total",
        is_one_of("result", "retry", "err"),
    ),
    Count("pull_hint_errors", P + "channelv2_pull_hint_total", is_one_of("result", "err", "error")),
    Count("connections_opened", P + "gateway_connections_total", is_one_of("event", "open")),
    Count("connection_closes", P + "gateway_connection_closes_total"),
    Count(
        "connection_closes_peer",
        P + "gateway_connection_closes_total",
        is_one_of("reason", "peer_closed"),
    ),
    Count(
        "connection_closes_server",
        P + "gateway_connection_closes_total",
        is_not("reason", "peer_closed", "server_stop", "maintenance"),
    ),
    Count("gateway_auth_failures", P + "gateway_auth_total", is_not("status", "ok")),
)

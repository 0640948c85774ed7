"""Kinds of mistakes that judging by mechanism must not make: each as a kind, not as an incident."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from wktriage.core.model import Signal, SignalSet, Tri
from wktriage.judging import ledger, signals, symptom
from wktriage.judging.decision import Decision, decide
from wktriage.judging.reasons import text_of
from wktriage.judging.signals.context import Others
from wktriage.request import scenarios

NODES = ("wk-node1", "wk-node2", "wk-node3")
SUCCESS = scenarios.load(scenarios.CUSTOM).success
GOOD: dict[str, Any] = {
    "sim_ever_running": True,
    "counters_moved": True,
    "workload_ran": True,
    "workload_mismatch": 0,
    "window_seconds": 60,
    "counter_intervals": 6,
    "publication_coverage": 1,
    "status_longest_gap": 1,
    "sim_restarts": 0,
    "send_errors": 0,
    "recv_errors": 0,
    "messages_sent": 12000,
    "offered_rate": 200,
    "in_flight_limit": 128,
    "in_flight_limit_binds": False,
    "achieved_rate_ratio": 1,
    "worst_achieved_rate_ratio": 1,
    "sends_slow_share": 0,
    "send_server_latency_p99": 0.03,
    "send_server_latency_mean": 0.01,
    "active_users_changes": 0,
    "reconnected_users": 0,
    "sim_retries": 0,
    "mode_accumulated": False,
}
HALF = {"messages_sent": 6000, "achieved_rate_ratio": 0.5, "worst_achieved_rate_ratio": 0.4}
QUIET = {
    "node_unreachable_at_end": False,
    "node_restarted": False,
    "node_frozen": False,
    "node_never_up": False,
    "connections_lost": 0,
    "connections_lost_ratio": 0,
}


def run(nodes: dict[str, dict[str, Any]] | None = None, **changes: Any) -> SignalSet:
    made = SignalSet(names=signals.catalogue(), nodes=NODES)
    for name, value in (GOOD | changes).items():
        made.add(Signal(name, signals.catalogue()[name]["unit"], value))
    for node in NODES:
        for name, value in (QUIET | (nodes or {}).get(node, {})).items():
            made.add(Signal(name, signals.catalogue()[name]["unit"], value, node=node))
    return made


def judged(nodes: dict[str, dict[str, Any]] | None = None, **changes: Any) -> Decision:
    return decide(run(nodes, **changes), SUCCESS)


def everywhere(**values: Any) -> dict[str, dict[str, Any]]:
    return {node: dict(values) for node in NODES}


def element(decision: Decision) -> str:
    assert decision.winner is not None
    assert decision.winner.candidate is not None
    return decision.winner.candidate.cause.element


# -- symptom --------------------------------------------------------------------------------------


def test_failures_dominate_only_when_they_are_most_of_the_symptom() -> None:
    one = symptom.of(run(send_errors=1, **HALF), SUCCESS)
    many = symptom.of(run(send_errors=2000, **HALF), SUCCESS)
    assert (one.kind, many.kind) == ("capacity", "failed_sends")
    assert symptom.of(run(send_errors=1), SUCCESS).kind == "failed_sends"
    assert symptom.of(run(), SUCCESS).kind == "none"


def test_timeouts_account_for_what_they_displaced() -> None:
    # 600 failed of 12 000 held 128 places for 5 s each: so many could not be sent meanwhile.
    shares = symptom.of(run(send_errors=600, **HALF), SUCCESS).shares
    assert shares["displaced"] == pytest.approx(600 / 12000 * 5 * 200 / 128)
    assert shares["failed_sends"] == pytest.approx(600 / 12000)


def test_where_all_that_was_tried_failed_what_was_not_tried_is_displaced_too() -> None:
    # Half of the offer came after the quorum was lost: a few senders wait out one timeout each.
    lost = symptom.of(run(send_errors=120, unsent_beside_failures_ratio=0.44, **HALF), SUCCESS)
    assert lost.shares["displaced"] == pytest.approx(0.44)
    assert lost.kind == "failed_sends"


def test_what_cannot_be_counted_leaves_it_open_what_dominates() -> None:
    open_ = symptom.of(run(send_errors=1, **(HALF | {"messages_sent": None})), SUCCESS)
    assert open_.kind == "unknown"
    assert "messages_sent" in open_.missing
    assert open_.dominant["capacity"] is Tri.UNKNOWN


def test_receives_that_fail_more_than_sends_are_of_the_deliveries() -> None:
    assert symptom.of(run(recv_errors=9, send_errors=1), SUCCESS).kind == "failed_receives"


# -- ledger ---------------------------------------------------------------------------------------

APPEND = {
    "channel_create_mean": 0.0,
    "dispatch_wait_mean": 0.1,
    "append_mean": 0.6,
    "append_pool_wait_mean": 0.4,
    "local_store_mean": 0.1,
    "quorum_wait_mean": 0.05,
}


def test_stages_sum_to_the_measured_cycle() -> None:
    cycle = {"send_cycle_time": 1.2, "cycle_share_outside_servers": 0.33}
    account = ledger.of(run(send_server_latency_mean=0.8, **APPEND, **cycle)).cluster
    assert account.whole == pytest.approx(1.2)
    assert sum(s for s in account.stages.values() if s is not None) == pytest.approx(1.2)
    assert account.stages["append_rest"] == pytest.approx(0.05)
    assert account.stages["client"] == pytest.approx(0.4)


@pytest.mark.parametrize("gone", ["local_store_mean", "dispatch_wait_mean", "append_mean"])
def test_a_rest_of_something_unknown_is_unknown(gone: str) -> None:
    known = {name: value for name, value in APPEND.items() if name != gone}
    stages = ledger.of(run(send_server_latency_mean=0.8, **known)).cluster.stages
    assert None in (stages["route"], stages["append_rest"])


def test_what_a_node_holds_up_is_not_known_without_its_own_ledger() -> None:
    account = ledger.of(run(send_server_latency_mean=0.8, **APPEND))
    assert account.held_up(["append_pool"], []) == pytest.approx(0.5)
    assert account.held_up(["append_pool"], ["wk-node2"]) is None


# -- kinds of mistakes ----------------------------------------------------------------------------


def test_no_run_with_a_last_error_is_healthy() -> None:
    assert judged().category == "healthy"
    assert judged(last_error_seen=True).category != "healthy"


def test_means_bound_throughput_and_not_tails() -> None:
    slow_tail = {"send_server_latency_mean": 0.066, "send_server_latency_p99": 0.949}
    said = judged(**HALF, **slow_tail, in_flight_limit=1, in_flight_limit_binds=True)
    assert (said.category, element(said)) == ("client_bottleneck", "client_concurrency")


def test_every_node_beyond_the_gap_is_named() -> None:
    means = {"wk-node1": 0.002, "wk-node2": 0.2, "wk-node3": 0.21}
    peers = Others(means)
    ratios = {n: m / (peers.least(n) or 1) for n, m in means.items()}
    slow = {
        n: {"storage_commit_mean": means[n], "storage_commit_vs_peers": ratios[n]} for n in NODES
    }
    said = judged(slow, send_errors=900, send_error_ratio=0.07)
    assert said.winner is not None
    assert said.winner.nodes == ("wk-node2", "wk-node3")


def test_a_queue_of_a_node_without_cpu_is_no_cause() -> None:
    starved = {"wk-node2": {"node_cpu_of_limit": 1.5, "node_throttled_ratio": 1.0}}
    said = judged(starved, controller_queue_fill=0.6, send_errors=900, send_error_ratio=0.07)
    assert said.winner is not None
    assert (element(said), said.winner.nodes) == ("node_cpu", ("wk-node2",))
    assert element(judged(controller_queue_fill=0.6, send_errors=900, send_error_ratio=0.07)) == (
        "controller_queue"
    )


def test_the_worst_tier_names_the_nodes() -> None:
    nodes = {
        "wk-node1": {"push_rpc_latency_to_vs_others": 5, "push_rpc_latency_to_mean": 0.2},
        "wk-node2": {"peers_reporting_failures": 2, "peer_reported_failure_share": 0.9},
    }
    said = judged(nodes, send_errors=900, send_error_ratio=0.07)
    assert said.winner is not None
    assert (element(said), said.winner.nodes) == ("cluster_link", ("wk-node2",))


def test_a_start_that_does_not_end_well_is_no_cold_start() -> None:
    early = {"send_errors": 90, "errors_early_share": 1.0, "channel_metadata_created": 400}
    assert judged(**early, tail_meets_offer=True).category == "cold_start"
    assert judged(**early, tail_meets_offer=False).category != "cold_start"
    assert judged(**early, tail_meets_offer=True, warmup_seconds=10).winner is not None


def test_a_host_that_one_element_burns_is_not_at_fault() -> None:
    full = {**HALF, "host_cpu_busy": 0.97, "append_p99": 0.8}
    assert judged(**full).category == "local_capacity"
    said = judged(everywhere(node_gc_headroom=0.016), **full)
    assert (said.category, element(said)) == ("server_hot_path", "collector")


def test_a_device_that_fails_commits_but_has_space_is_not_called_full() -> None:
    said = judged(send_errors=90, storage_errors=12, disk_free_ratio=0.25, disk_full_logged=0)
    assert element(said) != "disk_space"


def test_an_api_that_half_of_the_questions_do_not_reach_is_a_remark() -> None:
    silent = {"node_unreachable_ratio": 0.5, "node_unreachable_seconds": 30}
    said = judged({"wk-node2": silent})
    assert said.category == "healthy"
    assert [a.cause.element for a in said.unfelt] == ["node_api"]


def test_foreign_load_that_nobody_felt_is_a_remark() -> None:
    said = judged(host_cpu_busy=0.99, foreign_cpu_of_host=0.6)
    assert said.category == "healthy"
    assert "host_cpu" in [a.cause.element for a in said.unfelt]


@pytest.mark.parametrize("limit", ["sim_descriptors_used", "sim_ports_used"])
def test_a_client_without_descriptors_or_ports_is_no_fault_of_a_server(limit: str) -> None:
    said = judged(**HALF, **{limit: 0.99}, send_errors=5000, sendack_errors=0)
    assert (said.category, element(said)) == ("client_bottleneck", "client_sockets")


def test_what_is_next_to_nothing_is_a_number_of_times_beyond_its_limit() -> None:
    said = judged(disk_free_ratio=1e-320, send_errors=900, send_error_ratio=0.07)
    state = said.element("disk_space")
    assert state is not None
    assert state.tri is Tri.YES
    assert math.isfinite(state.contrast)


# -- mechanisms that nobody listed ----------------------------------------------------------------


def test_the_stage_is_named_where_no_cause_fits() -> None:
    said = judged(
        **HALF,
        **(APPEND | {"local_store_mean": 0.02, "quorum_wait_mean": 0.001}),
        send_server_latency_mean=2.0,
        send_server_latency_p99=4.0,
        send_cycle_time=2.1,
        cycle_share_outside_servers=0.05,
    )
    assert element(said) == "unlisted"
    assert said.ledger.largest() == "route"


def test_upstream_explains_what_it_holds_up() -> None:
    nodes = {"wk-node2": {"node_frozen": True, "peers_reporting_failures": 2,
                          "peer_reported_failure_share": 0.9}}  # fmt: skip
    said = judged(nodes, send_errors=900, send_error_ratio=0.07, sendack_errors_route=30)
    assert element(said) == "node_freeze"
    explained = {
        o.candidate.cause.element
        for o in said.outcomes
        if o.candidate is not None and o.candidate.explained_by == "node_freeze"
    }
    assert {"cluster_link", "slot_leaders"} <= explained


def test_a_node_that_stands_out_is_named_though_no_cause_looks_at_it() -> None:
    odd = ("push_rpc_latency_p99", "rpc_latency_p99", "slot_apply_p99", "forward_append_p99")
    odd += ("recipient_process_p99",)
    nodes = {n: dict.fromkeys(odd, 0.02 if n != "wk-node3" else 1.5) for n in NODES}
    slow = {"send_server_latency_mean": 2.0, "send_server_latency_p99": 4.0}
    said = judged(nodes, **HALF, **slow)
    assert said.winner is not None
    assert (element(said), said.winner.nodes) == ("unlisted", ("wk-node3",))
    alike = judged({n: dict.fromkeys(odd, 1.5) for n in NODES}, **HALF, **slow)
    assert alike.winner is not None
    assert alike.winner.nodes == ()


# -- first touches --------------------------------------------------------------------------------

SLOW_CREATION = {
    **HALF,
    "channel_metadata_created": 90,
    "channel_create_mean": 0.52,
    "channel_create_share": 0.96,
    "send_server_latency_mean": 0.54,
    "dispatch_wait_mean": 0.002,
    "append_mean": 0.006,
    "cycle_share_outside_servers": 0.0,
}


def test_first_touches_are_the_mechanism_where_sends_create_their_channels() -> None:
    said = judged(in_flight_limit=16, send_cycle_time=0.54, **SLOW_CREATION)
    assert (said.category, element(said)) == ("server_hot_path", "first_touches")
    assert said.ledger.largest() == "create"
    whole = said.ledger.cluster.whole
    assert whole is not None
    assert said.ledger.cluster.share("create") == pytest.approx(0.52 / whole)


def test_a_client_limit_is_not_blamed_on_first_touches() -> None:
    said = judged(
        in_flight_limit=2, in_flight_limit_binds=True, send_cycle_time=0.54, **SLOW_CREATION
    )
    assert (said.category, element(said)) == ("client_bottleneck", "client_concurrency")
    assert "first to their channel and create it (90 channels" in text_of(
        said.fired(said.category)[0], run(in_flight_limit=2, **SLOW_CREATION)
    )
    assert "server_hot_path" in said.also_holding()


def test_without_created_channels_nothing_is_said_of_first_touches() -> None:
    said = judged(
        in_flight_limit=16, send_cycle_time=0.54, **SLOW_CREATION | {"channel_metadata_created": 0}
    )
    assert element(said) != "first_touches"


# -- baseline and onset ---------------------------------------------------------------------------


def test_beside_a_baseline_the_stage_that_grew_is_the_one() -> None:
    shares = {"gateway": 0.0, "route": 0.4, "append_pool": 0.0, "own_store": 0.1, "followers": 0.1}
    made = run(
        send_server_latency_mean=0.1,
        channel_create_mean=0.0,
        dispatch_wait_mean=0.002,
        append_mean=0.05,
        append_pool_wait_mean=0.001,
        local_store_mean=0.035,
        quorum_wait_mean=0.01,
    )
    assert ledger.of(made).largest() == "route"
    assert ledger.of(made, {**shares, "append_rest": 0.1}).largest() == "own_store"
    # Half a baseline is none, and what is no share is not taken for one.
    assert ledger.of(made, {"route": 0.4, "own_store": "much"}).largest() == "route"


def test_what_began_after_the_symptom_is_not_its_cause() -> None:
    made = run(**HALF | {"send_errors": 900, "send_error_ratio": 0.1})

    def decided(pool: str, leaders: str) -> str:
        told = SignalSet(names=signals.catalogue(), nodes=NODES)
        for signal in made:
            felt = "2026-01-01T00:01:00.000Z" if signal.name == "send_errors" else None
            told.add(replace(signal, since=felt))
        for name, value, since in (
            ("pool_rejections", 9, pool),
            ("sendack_errors_route", 30, leaders),
        ):
            told.add(Signal(name, "count", value, since=since, since_not_before=since))
        return element(decide(told, SUCCESS))

    early, late = "2026-01-01T00:00:50.000Z", "2026-01-01T00:01:30.000Z"
    assert decided(late, early) == "slot_leaders"
    assert decided(early, late) == "append_workers"

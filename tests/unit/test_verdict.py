"""Judging: which category wins, what a verdict proposes, how sure it may be."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wktriage.bundle import manifest
from wktriage.bundle.bundle import Bundle
from wktriage.core import categories
from wktriage.core.errors import UnknownSignalError, UsageError
from wktriage.core.model import Signal, SignalSet, Tri
from wktriage.experiments import expectations
from wktriage.judging import (
    confidence,
    eligibility,
    next_experiment,
    settings,
    signals,
    typed_predicates,
)
from wktriage.judging.decision import decide
from wktriage.judging.settings import Setting, differing
from wktriage.judging.verdict import judge, verdict_of
from wktriage.judging.verdict_files import dump, write_verdict
from wktriage.judging.wording import Names, Shown, agree, clean, join, render, show
from wktriage.request import knobs, scenarios

NODES = ("wk-node1", "wk-node2", "wk-node3")
SUCCESS = scenarios.load(scenarios.CUSTOM).success
GOOD: dict[str, Any] = {
    "sim_ever_running": True,
    "counters_moved": True,
    "send_errors": 0,
    "recv_errors": 0,
    "achieved_rate_ratio": 1,
    "worst_achieved_rate_ratio": 1,
    "send_server_latency_p99": 0.03,
    "send_server_latency_mean": 0.01,
    "publication_coverage": 1.0,
    "status_longest_gap": 1.0,
    "sim_restarts": 0,
    "workload_ran": True,
    "workload_mismatch": 0,
    "window_seconds": 60.0,
    "counter_intervals": 6,
    "active_users_changes": 0,
    "reconnected_users": 0,
    "sim_retries": 0,
    "errors_before_window": 0,
    "in_flight_limit_binds": False,
    "mode_accumulated": False,
}


def found(changes: dict[str, Any] | None = None, **node2: Any) -> SignalSet:
    made = SignalSet(names=signals.catalogue(), nodes=NODES)
    catalogue = signals.catalogue()
    for name, value in (GOOD | (changes or {})).items():
        made.add(Signal(name, catalogue[name]["unit"], value))
    for node in NODES:
        quiet = {
            "node_unreachable_at_end": False,
            "connections_lost": 0,
            "connections_lost_ratio": 0.0,
            "node_restarted": False,
            "node_frozen": False,
            "node_never_up": False,
        }
        for name, value in (quiet | (node2 if node == "wk-node2" else {})).items():
            made.add(Signal(name, catalogue[name]["unit"], value, node=node))
    return made


def category(changes: dict[str, Any] | None = None, **node2: Any) -> str:
    return decide(found(changes, **node2), SUCCESS).category


def test_all_criteria_met_is_healthy() -> None:
    assert category() == "healthy"


@pytest.mark.parametrize(
    "name",
    [
        "send_errors",
        "recv_errors",
        "achieved_rate_ratio",
        "send_server_latency_p99",
        "worst_achieved_rate_ratio",
    ],
)
def test_a_criterion_that_is_unknown_is_not_met(name: str) -> None:
    assert category({name: None}) == "insufficient_evidence"


@pytest.mark.parametrize(
    ("changes", "node2", "expected"),
    [
        ({"send_errors": 40, "send_error_ratio": 0.1}, {}, "send_path"),
        ({"send_errors": 40}, {"node_unreachable_at_end": True}, "send_path"),
        ({"send_errors": 40}, {"node_restarted": True}, "online_churn"),
        (
            {"send_errors": 40},
            {"connections_lost": 30, "connections_lost_ratio": 0.9},
            "online_churn",
        ),
        (
            {
                "recv_errors": 9,
                "send_errors": 1,
                "send_error_ratio": 0.001,
            },
            {},
            "delivery_path",
        ),
        ({"sim_restarts": 1, "send_errors": 40}, {}, "insufficient_evidence"),
        (
            {"sim_ever_running": False, "nodes_expected": 3, "workload_ran": False},
            {},
            "baseline_health",
        ),
        ({"achieved_rate_ratio": 0.25, "in_flight_limit_binds": True}, {}, "client_bottleneck"),
        ({"achieved_rate_ratio": 0.25, "sim_cpu_of_limit": 0.98}, {}, "client_bottleneck"),
        ({"send_server_latency_p99": 2.4}, {"node_frozen": True}, "distributed_lag"),
        (
            {
                "achieved_rate_ratio": 0.5,
                "send_server_latency_p99": 2.4,
                "send_server_latency_mean": 0.9,
                "host_cpu_busy": 0.97,
            },
            {},
            "local_capacity",
        ),
        (
            {
                "achieved_rate_ratio": 0.5,
                "send_server_latency_p99": 2.4,
                "send_server_latency_mean": 0.9,
                "storage_commit_mean": 0.2,
                "storage_commit_p99": 0.9,
            },
            {},
            "server_hot_path",
        ),
        (
            {
                "send_errors": 9,
                "errors_early_share": 1.0,
                "tail_meets_offer": True,
                "channel_metadata_created": 200,
            },
            {},
            "cold_start",
        ),
        (
            {"mode_accumulated": True, "clean_twin_passed": True, "send_errors": 9},
            {},
            "history_sensitive",
        ),
    ],
)
def test_mechanism_gives_category(
    changes: dict[str, Any], node2: dict[str, Any], expected: str
) -> None:
    assert category(changes, **node2) == expected


def test_failed_run_on_old_data_without_a_twin_says_how_to_get_one(tmp_path: Path) -> None:
    fixtures = Path(__file__).parents[1] / "fixtures"
    bundle = Path(shutil.copytree(fixtures / "replay" / "full", tmp_path / "bundle"))
    fingerprint = json.loads((bundle / "fingerprint.json").read_text())
    fingerprint["observed"] = {"data_bytes_at_start": 9e9}
    (bundle / "fingerprint.json").write_text(json.dumps(fingerprint))
    (bundle / "references").mkdir(exist_ok=True)

    def said() -> tuple[str, str]:
        verdict = verdict_of(bundle)
        why = {u["signal"]: u["why"] for u in verdict["unknown"]}.get("clean_twin_passed", "")
        stops = {s["id"]: s["text"] for s in verdict["hard_stops"]}
        return why, stops["evidence_class"]

    assert all("mode=clean and a data_root of its own" in text for text in said())
    (bundle / "references" / "clean-twin.json").write_text(json.dumps({"passed": False}))
    manifest.reseal(bundle)
    assert not any("mode=clean" in text for text in said())


def test_proposed_clean_run_leaves_the_old_data_alone() -> None:
    run = next_experiment.Run("accumulated-data", {}, "accumulated", 60)
    values = {"s": Shown(found()), "nodes": "", "component": "history"}
    _, experiment = next_experiment.propose("history_sensitive", ["accumulated_data"], run, values)
    assert "mode=clean" in experiment["command"]
    assert "data_root=.data-clean" in experiment["command"]


def test_throttled_client_that_meets_the_offer_is_healthy() -> None:
    assert category({"sim_cpu_of_limit": 1.0, "sim_throttled_ratio": 0.9}) == "healthy"


def test_slow_servers_are_not_excused_by_a_busy_client() -> None:
    slow = {
        "achieved_rate_ratio": 0.25,
        "sim_cpu_of_limit": 0.98,
        "send_server_latency_p99": 3.0,
        "send_server_latency_mean": 1.2,
        "cycle_share_outside_servers": 0.1,
    }
    assert category(slow) != "client_bottleneck"


def test_server_is_not_blamed_while_the_client_is_the_limit() -> None:
    both = {"achieved_rate_ratio": 0.25, "in_flight_limit_binds": True, "worker_saturation": 0.99}
    decision = decide(found(both), SUCCESS)
    assert decision.holds["server_hot_path"] is Tri.YES
    assert decision.category == "client_bottleneck"


def test_what_holds_for_every_node_names_none() -> None:
    made = found({"send_errors": 5, "send_error_ratio": 0.1})
    for node in NODES:
        made.add(Signal("node_exited", "bool", True, node=node))
    winner = decide(made, SUCCESS).winner
    assert winner is not None
    assert (winner.rule.id, winner.everywhere, winner.nodes) == ("send_path.node_process", True, ())


# -- confidence -----------------------------------------------------------------------------------


def sure(changes: dict[str, Any], damage: float = 0.0, **node2: Any) -> float:
    return confidence.of_verdict(decide(found(changes, **node2), SUCCESS), damage)


def test_damage_and_what_fits_no_cause_lower_confidence() -> None:
    failing = {"send_errors": 40, "send_error_ratio": 0.1, "recv_errors": 0}
    known = sure(failing, node_exited=True)
    assert sure(failing, 0.5, node_exited=True) < known
    assert sure(failing) < known
    assert sure({"send_errors": None}) == confidence.LOWEST


def test_cause_that_holds_little_up_is_less_sure() -> None:
    slow = {"send_server_latency_mean": 0.6, "append_mean": 0.5, "dispatch_wait_mean": 0.01}
    much = {**slow, "append_pool_wait_mean": 0.48, "local_store_mean": 0.01, "quorum_wait_mean": 0}
    little = {
        **slow,
        "append_pool_wait_mean": 0.01,
        "local_store_mean": 0.01,
        "quorum_wait_mean": 0,
    }
    little["append_mean"] = 0.02
    assert sure({**little, "worker_saturation": 0.99}) < sure({**much, "worker_saturation": 0.99})


# -- proposals ------------------------------------------------------------------------------------

WORKLOAD = {
    "users": 500,
    "person_channels": 250,
    "group_channels": 250,
    "group_members": 10,
    "rate": "1/s",
    "concurrency": 256,
    "warmup": "10s",
    "verify_recv": "none",
}


def proposed(name: str, ids: list[str], **changes: Any) -> dict[str, Any]:
    run = next_experiment.Run(
        changes.pop("scenario", "mixed-highrate"), WORKLOAD | changes, "clean", 60
    )
    values = {
        "nodes": "wk-node2",
        "component": "transport",
        "s": Shown(SignalSet(signals.catalogue())),
    }
    return next_experiment.propose(name, ids, run, values)[1]


def test_mixed_failure_proposes_the_isolated_scenarios_and_nothing_else() -> None:
    experiment = proposed("server_hot_path", ["flush_window"])
    assert experiment["kind"] == "isolate"
    assert "scenario=person-hotpath" in experiment["command"]
    assert proposed("healthy", ["still_healthy"])["kind"] != "isolate"


def test_failed_baseline_is_not_taken_apart() -> None:
    assert proposed("send_path", ["node_back"], scenario="smoke-default")["kind"] != "isolate"


@pytest.mark.parametrize(
    ("hypothesis", "variable", "before", "after"),
    [
        ("raise_concurrency", "concurrency", 256, 4096),
        ("gateway_workers", "WK_GATEWAY_RUNTIME_ASYNC_SEND_WORKERS", 128, 512),
        ("longer_warmup", "warmup", "10s", "40s"),
        ("flush_window", "WK_CLUSTER_COMMIT_COORDINATOR_FLUSH_WINDOW", "1ms", "500us"),
    ],
)
def test_experiment_changes_exactly_one_variable(
    hypothesis: str, variable: str, before: Any, after: Any
) -> None:
    experiment = proposed("server_hot_path", [hypothesis], group_channels=0)
    assert (experiment["variable"], experiment["from"], experiment["to"]) == (
        variable,
        before,
        after,
    )
    assert f"{after}" in experiment["command"]


def test_command_keeps_the_environment_of_the_run_and_changes_one_thing() -> None:
    env = {"WK_DELIVERY_ENABLE": "false", "WK_X": "{{ lookup('pipe', 'id') }}", "HOME": "x"}
    run = next_experiment.Run(
        "person-hotpath", WORKLOAD | {"group_channels": 0}, "clean", 60, "target", env, 100
    )
    values = {"nodes": "", "component": "none", "s": Shown(found())}
    _, experiment = next_experiment.propose("send_path", ["data_device"], run, values)
    assert "-e connect_rate=100 " in experiment["command"]
    assert '{"node_env": {"WK_DELIVERY_ENABLE": "false"}}' in experiment["command"]
    assert "profile_seconds" not in experiment["command"]
    # Seen on a real cluster: the command of a run without profiles took some, a second change.
    _, bare = next_experiment.propose(
        "send_path", ["data_device"], replace(run, profiled="none"), values
    )
    assert "-e profile_seconds=0 " in bare["command"]


def test_command_never_carries_what_ansible_would_template() -> None:
    hostile = {"rate": "{{ lookup('pipe', 'id') }}/s", "group_channels": 0}
    experiment = proposed("local_capacity", ["node_back"], scenario="{{ x }}", **hostile)
    assert "{{" not in experiment["command"]


@pytest.mark.parametrize("name", sorted(knobs.hypotheses()))
@pytest.mark.parametrize("nodes", ["wk-node2", ""])
def test_every_hypothesis_renders(name: str, nodes: str) -> None:
    run = next_experiment.Run("person-hotpath", WORKLOAD | {"group_channels": 0}, "clean", 60)
    values = {"nodes": nodes, "component": "transport", "s": Shown(found())}
    suspects = {
        next_experiment.SHIPPED: Setting("WK_X", "config", "400ms", "1ms"),
        next_experiment.OWN: Setting("concurrency", "workload", "1", "256"),
    }
    suspect = suspects.get(name)
    hypothesis, experiment = next_experiment.propose("send_path", [name], run, values, suspect)
    for text in (*hypothesis.values(), experiment["expected_result"]):
        assert text
        assert "{{" not in text
    assert (experiment["command"] is None) == (experiment["kind"] == "none")


@pytest.mark.parametrize("name", sorted(knobs.hypotheses()))
def test_expectation_is_a_predicate_with_a_number(name: str) -> None:
    entry = knobs.hypotheses()[name]
    check = getattr(entry.experiment, "check", None)
    if check is not None:
        typed_predicates.parse(check, name, signals.catalogue())
    if entry.expect is not None:
        predicate = typed_predicates.parse(entry.expect, name, signals.catalogue())
        assert expectations.effects(predicate, signals.catalogue(), name)
        assert expectations.has_number(predicate)


@pytest.mark.parametrize("name", sorted(knobs.hypotheses()))
def test_no_experiment_lowers_the_load(name: str) -> None:
    plan = knobs.hypotheses()[name].experiment
    assert getattr(plan, "knob", None) != "rate"


def test_expectation_is_one_that_the_run_does_not_satisfy() -> None:
    missed = found({"achieved_rate_ratio": 0.6})
    assert next_experiment.unmet("send_error_ratio <= 0.5", missed) == "achieved_rate_ratio >= 0.95"
    slow = found({"achieved_rate_ratio": 1, "send_server_latency_p99": 3})
    assert (
        next_experiment.unmet("achieved_rate_ratio >= 0.95", slow) == "send_server_latency_p99 <= 1"
    )
    assert next_experiment.unmet("achieved_rate_ratio >= 0.95", found()) is None


FLUSH = "WK_CLUSTER_COMMIT_COORDINATOR_FLUSH_WINDOW"


def suspected(component: str, reach: set[str], env: dict[str, str]) -> str | None:
    named = settings.suspects(differing("smoke-default", {}, env), component, reach)
    return named[0].name if named else None


def test_what_differs_from_the_shipped_configuration_is_listed() -> None:
    own = {"concurrency": 128, "rate": "1/s"}
    told = differing("smoke-default", own, {FLUSH: "400ms", "WK_GATEWAY_SEND_TIMEOUT": "5s"})
    assert [(s.name, s.value, s.shipped) for s in told] == [
        (FLUSH, "400ms", "1ms"),
        ("rate", "1/s", "0.25/s"),
    ]
    assert differing("custom", {"rate": "9/s"}, {}) == []


def test_a_setting_with_a_path_to_the_symptom_is_suspected_first() -> None:
    way = {"gateway", "channel_append", "storage_commit"}
    assert suspected("channel_append", way, {FLUSH: "400ms"}) == FLUSH
    assert suspected("none", set(), {FLUSH: "400ms"}) is None
    # Delivery is no part of the way of a send.
    workers = {"WK_DELIVERY_RECIPIENT_WORKER_CONCURRENCY": "1"}
    assert suspected("channel_append", way, workers) is None
    assert suspected("delivery", {"delivery"}, workers) == next(iter(workers))
    # What the catalogue does not know may reach anything.
    assert suspected("channel_append", way, {"WK_OF_NO_KNOB": "1"}) == "WK_OF_NO_KNOB"
    both = {"WK_GATEWAY_RUNTIME_ASYNC_SEND_WORKERS": "1", FLUSH: "400ms"}
    assert suspected("storage_commit", way, both) == FLUSH


def test_a_workload_that_is_not_the_scenarios_own_is_suspected_as_settings_are() -> None:
    told = differing("smoke-default", {"concurrency": 1, "group_members": 20}, {FLUSH: "400ms"})
    way = {"client", "storage_commit"}
    named = settings.suspects(told, "client", way)
    # Group members act on deliveries, which have no part in it.
    assert [s.name for s in named] == ["concurrency", FLUSH]
    assert [s.name for s in settings.suspects(told, "node_process", way, by_load=False)] == [FLUSH]
    run = next_experiment.Run("smoke-default", {"concurrency": 1}, "clean", 60, bundle="b-1")
    failed = found({"achieved_rate_ratio": 0.4})
    values = {"s": Shown(failed), "nodes": "", "component": "client"}
    hypothesis, step = next_experiment.propose(
        "client_bottleneck", ["raise_concurrency"], run, values, named[0], failed
    )
    assert hypothesis["id"] == next_experiment.OWN
    assert (step["variable"], step["from"], step["to"]) == ("concurrency", 1, 128)
    assert (step["knob"], step["expect"]) == ("concurrency", "achieved_rate_ratio >= 0.95")
    assert "-e concurrency=128" in step["command"]


def test_the_way_to_the_symptom_is_that_of_the_cause_and_of_the_time() -> None:
    assert decide(found(), SUCCESS).reach == frozenset()
    slow = {"send_server_latency_p99": 2.4, "send_server_latency_mean": 0.6, "append_mean": 0.5}
    stages = {"dispatch_wait_mean": 0.01, "append_pool_wait_mean": 0.01}
    stages |= {"local_store_mean": 0.45, "quorum_wait_mean": 0.01, "worker_saturation": 0.95}
    reach = decide(found({**slow, **stages}), SUCCESS).reach
    assert {"channel_append", "storage_commit"} <= reach
    assert "presence" not in reach
    failing = {"recv_errors": 9, "send_errors": 0}
    assert "delivery" in decide(found(failing), SUCCESS).reach


def test_the_setting_is_taken_away_before_anything_else_is_tried() -> None:
    run = next_experiment.Run(
        "smoke-default", {"rate": "0.25/s"}, "clean", 60, node_env={FLUSH: "400ms"}, bundle="b-1"
    )
    failed = found({"send_error_ratio": 0.4, "send_errors": 40})
    values = {"s": Shown(failed), "nodes": "", "component": "channel_append"}
    suspect = Setting(FLUSH, "config", "400ms", "1ms")
    hypothesis, step = next_experiment.propose(
        "send_path", ["append_pool"], run, values, suspect, failed
    )
    assert hypothesis["id"] == next_experiment.SHIPPED
    assert (hypothesis["variable"], step["from"], step["to"]) == (FLUSH, "400ms", "not set")
    assert (step["expect"], step["by"]) == ("send_error_ratio <= 0.001", "harness")
    assert FLUSH not in step["command"]
    assert "control=b-1" in step["experiment"]


@pytest.mark.parametrize("name", ["repeat_run", "finish_run", "unexplained"])
def test_a_repeat_is_offered_by_its_name_only(name: str) -> None:
    step = proposed("insufficient_evidence", [name])
    assert (step["kind"], step["variable"]) == ("recur", next_experiment.RECUR)


def test_what_a_person_must_do_says_how_it_is_checked() -> None:
    step = proposed("send_path", ["node_back"], scenario="smoke-default")
    assert step["by"] == "person"
    assert "nodes_unreachable == 0" in step["check"]
    assert "Keep wk-node2 running" in step["expected_result"]


# -- eligibility ----------------------------------------------------------------------------------


def test_one_bundle_never_makes_code_eligible() -> None:
    said = eligibility.assess("send_path", "slot_raft", 0.9, ["wk-node1"])
    assert (said["eligible"], said["code_change_needed"]) == (False, "no")
    assert said["first_unmet"] == "experiments"


def test_no_named_subsystem_is_the_first_unmet_condition() -> None:
    assert eligibility.assess("local_capacity", "host", 0.9, [])["first_unmet"] == (
        "named_failure_mode"
    )


def test_all_five_conditions_make_it_eligible_and_each_is_needed() -> None:
    case = dict.fromkeys(("experiments", "regression_test", "semantics", "verification"), True)
    assert eligibility.assess("send_path", "slot_raft", 0.9, [], case)["eligible"] is True
    for name in case:
        said = eligibility.assess("send_path", "slot_raft", 0.9, [], case | {name: False})
        assert said["first_unmet"] == name


# -- words ----------------------------------------------------------------------------------------


def test_evidence_is_text_and_never_a_template() -> None:
    made = SignalSet(signals.catalogue())
    made.add(Signal("sendack_error_class", "string", "{{ 7 * 7 }}\x1b[31m\nred"))
    text = render("class {{ s.sendack_error_class }}", {"s": Shown(made)})
    assert text == "class {{ 7 * 7 }} [31m red"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0123, "s", "12.3 ms"),
        (2.5, "s", "2.5 s"),
        (None, "s", "unknown"),
        (True, "bool", "yes"),
        (3e6, "bytes", "3 MB"),
        (49.9912, "1/s", "49.99/s"),
        (123456, "count", "123456"),
    ],
)
def test_values_are_shown_with_their_unit(value: Any, unit: str, text: str) -> None:
    assert show(value, unit) == text


def test_words_agree_with_their_number() -> None:
    one, two = Names(["wk-node1"]), Names(["wk-node1", "wk-node2"])
    assert f"{one} {agree(one, 'does', 'do')}" == "wk-node1 does"
    assert f"{two} {agree(two, 'does', 'do')}" == "wk-node1 and wk-node2 do"
    assert agree("a node", "does", "do") == "does"
    shown = Shown(found({"send_errors": 1, "recv_errors": 2, "sim_restarts": 1}))
    assert shown.count("send_errors", "send") == "1 send"
    assert shown.count("recv_errors", "push", "pushes") == "2 pushes"
    assert (shown.times("sim_restarts"), shown.times("recv_errors")) == ("once", "twice")


def test_a_template_that_names_no_signal_of_the_catalogue_is_a_mistake() -> None:
    with pytest.raises(UnknownSignalError, match="did you mean 'send_errors'"):
        render("{{ s.send_erors }}", {"s": Shown(found())})


def test_a_run_is_blamed_on_whom_its_category_says() -> None:
    assert set(categories.CATEGORIES[3:-1]) == categories.CAUSES
    assert {
        *("cold_start", "delivery_path", "send_path", "distributed_lag", "server_hot_path")
    } == categories.SERVERS
    assert {"insufficient_evidence", "baseline_health", "healthy"} == categories.NOT_ABOUT_TRAFFIC


def test_names_are_joined_and_lines_cleaned() -> None:
    assert join(["a", "b", "c"]) == "a, b and c"
    assert join([]) == ""
    assert clean("a\u202eb\x00 c" + "x" * 9000, 10) == "a b cxxxxx"


# -- bundles --------------------------------------------------------------------------------------


def write_bundle(root: Path, **references: Any) -> Path:
    root.mkdir()
    manifest = {
        "schema_version": 1,
        "bundle_id": "b",
        "scenario": "mixed-highrate",
        "driver": "compose",
        "purpose": "target",
        "collectors": [],
        "files": [],
    }
    (root / "manifest.json").write_text(json.dumps(manifest))
    (root / "references").mkdir()
    for name, content in references.items():
        (root / "references" / f"{name}.json").write_text(json.dumps(content))
    return root


def test_failed_baseline_is_the_verdict_and_points_at_it(tmp_path: Path) -> None:
    reference = {
        "bundle_id": "20261124T000000Z-smoke-default-abcd",
        "category": "send_path",
        "component": "slot_raft",
        "nodes": ["wk-node2"],
        "healthy": False,
    }
    verdict = verdict_of(write_bundle(tmp_path / "b", baseline=reference))
    assert verdict["category"] == "baseline_health"
    assert (verdict["component"], verdict["nodes"]) == ("slot_raft", ["wk-node2"])
    assert "20261124T000000Z-smoke-default-abcd" in " ".join(r["text"] for r in verdict["reasons"])
    assert "baseline_failed" in [s["id"] for s in verdict["hard_stops"]]


def test_empty_bundle_of_ours_abstains(tmp_path: Path) -> None:
    verdict = verdict_of(write_bundle(tmp_path / "b"))
    assert verdict["category"] == "insufficient_evidence"
    assert verdict["unknown"]


def test_verdict_is_written_again_alike(tmp_path: Path) -> None:
    root = write_bundle(tmp_path / "b")
    first = write_verdict(root, root).read_bytes()
    assert write_verdict(root, root).read_bytes() == first
    copy = tmp_path / "elsewhere"
    shutil.copytree(root, copy)
    assert dump(judge(Bundle.open(copy))) == first


def test_no_directory_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a directory"):
        verdict_of(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("from_checkout", "words"),
    [
        (True, "-e wukongim_checkout=PATH"),
        (False, "-e wukongim_binary=PATH -e wkbench_binary=PATH -i INVENTORY"),
    ],
)
def test_a_command_names_what_the_stack_was_made_of(from_checkout: bool, words: str) -> None:
    run = next_experiment.Run("smoke-default", {}, "clean", 30, from_checkout=from_checkout)
    assert next_experiment.stack_words(run) == words

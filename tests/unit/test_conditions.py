"""Conditions in words: what a rule would have needed, and what was there instead."""

from __future__ import annotations

from typing import Any

import pytest

from wktriage.core.model import Signal, SignalSet
from wktriage.judging import predicates, signals
from wktriage.judging.conditions import criteria, explain, obstacle
from wktriage.request import scenarios

NODES = ("wk-node1", "wk-node2")


def signal_set(values: dict[str, Any], **per_node: tuple[Any, Any]) -> SignalSet:
    made = SignalSet(names=signals.catalogue(), nodes=NODES)
    for name, value in values.items():
        made.add(Signal(name, signals.catalogue()[name]["unit"], value))
    for name, row in per_node.items():
        for node, value in zip(NODES, row, strict=True):
            made.add(Signal(name, signals.catalogue()[name]["unit"], value, node=node))
    return made


def why_not(raw: Any, made: SignalSet) -> str:
    missing = obstacle(predicates.parse(raw, "test", signals.catalogue()), made)
    assert missing is not None
    return explain("slow servers would explain it", missing)


def leaf(name: str, op: str, value: Any) -> dict[str, Any]:
    return {"signal": name, "op": op, "value": value}


@pytest.mark.parametrize(
    ("raw", "values", "words"),
    [
        (
            leaf("send_errors", "==", 0),
            {"send_errors": 290},
            "only without failed sends; there were 290",
        ),
        (
            leaf("send_errors", "==", 0),
            {"send_errors": 1},
            "only without failed sends; there was 1",
        ),
        (
            leaf("send_errors", ">", 0),
            {"send_errors": 0},
            "only with failed sends; there were none",
        ),
        (
            leaf("connections_opened", ">=", 20),
            {"connections_opened": 3},
            "only with 20 or more newly opened client connections; there were 3",
        ),
        (
            leaf("storage_commit_mean", ">=", 0.03),
            {"storage_commit_mean": 0.004},
            "only if the mean time of a batch commit on the device were at least 30 ms; it is 4 ms",
        ),
        (
            leaf("achieved_rate_ratio", "<", 0.952),
            {"achieved_rate_ratio": 1},
            "only if the share of the offered rate that was sent were less than 95.2 %; "
            "it is 100 %",
        ),
        (
            leaf("quorum_lost", "==", True),
            {"quorum_lost": False},
            "only with a lost quorum; there was none",
        ),
        (
            {"not": leaf("quorum_lost", "==", True)},
            {"quorum_lost": True},
            "only without a lost quorum; there was one",
        ),
        (
            {"signal": "dispatch_wait_mean", "op": ">=", "other_signal": "append_mean"},
            {"dispatch_wait_mean": 0.1, "append_mean": 0.2},
            "only if the mean wait for a gateway worker were at least 200 ms, the mean append "
            "latency; it is 100 ms",
        ),
    ],
)
def test_one_comparison_in_words(raw: Any, values: dict[str, Any], words: str) -> None:
    assert why_not(raw, signal_set(values)) == f"Slow servers would explain it {words}."


def test_what_stands_in_the_way_is_named_and_not_what_merely_is_false() -> None:
    raw = {
        "all": [
            leaf("recv_errors", "==", 0),
            {"not": {"any": [leaf("quorum_lost", "==", True), leaf("send_errors", ">", 5)]}},
        ]
    }
    made = signal_set({"recv_errors": 0, "quorum_lost": False, "send_errors": 9})
    assert why_not(raw, made).endswith("only with at most 5 failed sends; there were 9.")


def test_of_several_ways_one_is_named_without_only() -> None:
    raw = {"any": [leaf("send_errors", ">", 0), leaf("recv_errors", ">", 0)]}
    text = why_not(raw, signal_set({"send_errors": 0, "recv_errors": 0}))
    assert text == "Slow servers would explain it with failed sends; there were none."


def test_of_all_nodes_the_one_that_came_closest_is_told() -> None:
    raw = {"any_node": leaf("storage_commit_vs_peers", ">=", 3)}
    made = signal_set({}, storage_commit_vs_peers=(0.9, 1.4))
    assert "were at least 3; it is 1.4 at most." in why_not(raw, made)


def test_the_node_that_breaks_a_rule_for_all_is_named() -> None:
    raw = {"all_nodes": leaf("append_vs_peers", "<", 2.5)}
    made = signal_set({}, append_vs_peers=(0.9, 7))
    assert "were less than 2.5; it is 7 on wk-node2." in why_not(raw, made)


def test_what_holds_or_is_unknown_has_no_obstacle() -> None:
    predicate = predicates.parse(leaf("send_errors", ">", 0), "test", signals.catalogue())
    assert obstacle(predicate, signal_set({"send_errors": 3})) is None
    assert obstacle(predicate, signal_set({"send_errors": None})) is None


def test_success_criteria_read_as_words() -> None:
    texts = criteria(scenarios.load("smoke-default").success)
    assert "no failed sends" in texts
    assert "share of the offered rate that was sent: at least 95.2 %" in texts
    assert "time of a send inside the servers (p99): at most 1 s" in texts

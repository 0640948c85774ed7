from __future__ import annotations

from typing import Any

import pytest

from wktriage.core.errors import UsageError
from wktriage.request import scenarios
from wktriage.request import workload as workloads

CUSTOM: dict[str, Any] = {"users": 40, "person_channels": 10, "rate": "0.5/s"}


@pytest.mark.parametrize(
    ("name", "workload"),
    [
        ("smoke-default", (1000, 500, 500, 10, "0.25/s", 128, "10s", "none")),
        ("sampled-correctness", (40, 10, 3, 12, "0.5/s", 16, "10s", "sampled")),
        ("person-hotpath", (500, 250, 0, 10, "1/s", 256, "10s", "none")),
        ("group-fanout", (500, 0, 250, 10, "1/s", 256, "10s", "none")),
        ("mixed-highrate", (500, 250, 250, 10, "1/s", 256, "10s", "none")),
        ("accumulated-data", (1000, 500, 500, 10, "0.25/s", 128, "10s", "none")),
    ],
)
def test_presets_are_those_of_the_product(name: str, workload: tuple[Any, ...]) -> None:
    assert tuple(scenarios.effective_workload(name, {}).values()) == workload


def test_presets_take_no_overrides() -> None:
    with pytest.raises(UsageError, match="scenario=custom"):
        scenarios.effective_workload("smoke-default", {"users": 10})


def test_unknown_scenario_lists_those_there_are() -> None:
    with pytest.raises(UsageError, match="mixed-highrate"):
        scenarios.load("mixed-highrates")
    with pytest.raises(UsageError, match="unknown scenario"):
        scenarios.load("../scenarios/custom")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"users": 0}, "at least 1"),
        ({"users": 10, "person_channels": 100}, "needs 200 users"),
        ({"group_channels": 1, "group_members": 41}, "must not exceed users"),
        ({"rate": "1"}, "and /s"),
        ({"rate": "0/s"}, "positive"),
        ({"rate": "inf/s"}, "positive"),
        ({"concurrency": -1}, "at least 0"),
        ({"warmup": "10"}, "duration such as"),
        ({"verify_recv": "all"}, "must be one of"),
        ({"person_channels": 0}, "no channels"),
    ],
)
def test_what_the_simulator_refuses_is_refused_before(change: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        scenarios.effective_workload("custom", CUSTOM | change)


def test_workload_becomes_the_simulators_variables() -> None:
    workload = scenarios.effective_workload("custom", CUSTOM) | {"uid_prefix": "x"}
    env = workloads.environment(workload)
    assert env["WK_SIM_USERS"] == "40"
    assert env["WK_SIM_TRAFFIC_CONCURRENCY"] == "128"
    assert env["WK_SIM_UID_PREFIX"] == "x"
    assert len(env) == 9


def test_the_table_of_keys_has_one_row_a_name_of_the_simulator() -> None:
    table = workloads.TABLE
    assert tuple(table)[: len(workloads.KEYS)] == workloads.KEYS
    assert set(table) - set(workloads.KEYS) == {"uid_prefix", "connect_rate"}
    assert len(workloads.STATUS_NAMES) == len(table)
    assert len(workloads.VARIABLES) == len(table) - 1
    assert table["connect_rate"].variable is None
    assert (table["rate"].kind, table["warmup"].kind) == ("rate", "duration")
    assert (table["users"].kind, table["users"].minimum) == ("integer", 1)
    assert table["verify_recv"].choices == ("none", "sampled", "full")

"""From a request to its baseline, its simulator variables and its time-outs."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.unit.stackfakes import make_checkout

from wktriage.request.request import Request, new_bundle_id
from wktriage.run import planning
from wktriage.stack.drivers import check_request


@pytest.fixture
def asked(tmp_path: Path) -> Request:
    checkout = make_checkout(tmp_path / "checkout")
    return check_request(
        {
            "wukongim_checkout": str(checkout),
            "scenario": "mixed-highrate",
            "node_env": {"WK_LOG_LEVEL": "debug"},
            "connect_rate": 50,
            "keep_stack": True,
        },
        driver="compose",
        benchmark_host=True,
        root=tmp_path,
    )


def test_the_baseline_differs_in_workload_and_not_in_stack(asked: Request) -> None:
    made = planning.baseline_request(asked)
    assert (made.scenario, made.mode, made.duration) == ("smoke-default", "clean", 30)
    assert made.node_env == asked.node_env
    assert made.connect_rate == 50
    assert made.bundle_id != asked.bundle_id
    assert not made.keep_stack
    assert made.data_root == asked.data_root


def test_the_baseline_of_an_accumulated_run_is_not_on_its_data(asked: Request) -> None:
    made = planning.baseline_request(replace(asked, mode="accumulated"))
    assert Path(made.data_root).parent == Path(asked.data_root)
    assert made.mode == "clean"


def test_every_run_has_its_own_users(asked: Request) -> None:
    other = replace(asked, bundle_id=new_bundle_id("mixed-highrate"))
    first, second = planning.sim_env(asked), planning.sim_env(other)
    assert first.pop("WK_SIM_UID_PREFIX") != second.pop("WK_SIM_UID_PREFIX")
    assert first == second
    assert first["WK_SIM_RATE"] == "1/s"
    assert first["WK_SIM_TRAFFIC_CONCURRENCY"] == "256"


def test_slow_connects_are_waited_for(asked: Request) -> None:
    fast = planning.ready_timeout(asked)
    slow = planning.ready_timeout(replace(asked, connect_rate=None))
    assert slow - fast == pytest.approx(2 * 500 / 10 - 2 * 500 / 50)


def test_run_json_says_what_was_asked(asked: Request) -> None:
    run = planning.run_document(asked, purpose="target", boot_id="b")
    assert run["workload"]["scenario"] == "mixed-highrate"
    assert run["workload"]["connect_rate"] == 50
    assert run["workload"]["uid_prefix"] == planning.uid_prefix(asked.bundle_id)
    assert run["git"].keys() == {"branch", "revision", "status", "diff_sha256"}

"""What may be asked, and the one clear error for everything else."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.unit.stackfakes import make_checkout

from wktriage.core.errors import UsageError
from wktriage.request.request import BUNDLE_ID, Request, check_names, from_dict, new_bundle_id
from wktriage.stack.drivers import check_request


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return make_checkout(tmp_path / "checkout")


def ask(
    tmp_path: Path,
    *,
    driver: str | None = "compose",
    benchmark_host: bool = True,
    needs_stack: bool = True,
    **raw: Any,
) -> Request:
    return check_request(
        raw,
        driver=driver,
        benchmark_host=benchmark_host,
        root=tmp_path,
        needs_stack=needs_stack,
    )


def test_defaults(tmp_path: Path, checkout: Path) -> None:
    asked = ask(tmp_path, wukongim_checkout=str(checkout))
    assert asked.scenario == "smoke-default"
    assert asked.mode == "clean"
    assert asked.duration >= 30
    assert asked.connect_rate is None
    assert asked.runs_dir == str(tmp_path / "runs")
    assert asked.workload["users"] == 1000
    assert from_dict(asked.as_dict()) == asked


def test_strings_of_the_command_line_become_values(tmp_path: Path, checkout: Path) -> None:
    asked = ask(
        tmp_path,
        wukongim_checkout=str(checkout),
        scenario="custom",
        duration="15",
        users="40",
        person_channels="10",
        group_channels="3",
        concurrency="16",
        rate="0.5/s",
        connect_rate="50",
        profile_seconds="0",
        keep_stack="true",
        node_env='{"WK_LOG_LEVEL": "debug", "WK_METRICS_ENABLE": true, "WK_X": 3}',
    )
    assert (asked.duration, asked.connect_rate, asked.profile_seconds) == (15, 50, 0)
    assert asked.workload["users"] == 40
    assert asked.workload["rate"] == "0.5/s"
    assert asked.keep_stack is True
    assert asked.node_env == {"WK_LOG_LEVEL": "debug", "WK_METRICS_ENABLE": "true", "WK_X": "3"}


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (
            {"scenario": "mixed-hirate"},
            r"unknown scenario 'mixed-hirate'; did you mean 'mixed-highrate'",
        ),
        ({"scenario": "../secrets"}, "unknown scenario"),
        ({"duration": "-1"}, r"duration=-1: must be a whole number from 5 to 86000"),
        ({"duration": "4"}, "from 5"),
        ({"duration": "86001"}, "to 86000"),
        ({"duration": "ten"}, "must be a whole number"),
        ({"duration": "1e3"}, "must be a whole number"),
        ({"duration": True}, "must be a whole number"),
        ({"mode": "dirty"}, "clean, accumulated"),
        ({"stack_build": "sometimes"}, "auto, always, never"),
        ({"fail_on": "always"}, "unhealthy, never"),
        ({"connect_rate": "0"}, "connect_rate=0"),
        ({"connect_rate": "fast"}, "connect_rate='fast'"),
        ({"keep_stack": "maybe"}, "true or false"),
        ({"stack_project": "Bad Name"}, "lower-case"),
        ({"users": "10"}, "scenario=custom"),
        ({"scenario": "custom"}, "needs users"),
        ({"scenario": "custom", "users": "10", "person_channels": "100"}, "needs 200 users"),
        ({"scenario": "custom", "users": "10"}, "no channels"),
        (
            {"scenario": "custom", "users": "5", "group_channels": "1", "group_members": "6"},
            "must not exceed",
        ),
        ({"scenario": "custom", "users": "20", "group_channels": "1", "rate": "1"}, "0.25/s"),
        (
            {"scenario": "custom", "users": "20", "group_channels": "1", "warmup": "ten"},
            "duration such as",
        ),
        (
            {"scenario": "custom", "users": "20", "group_channels": "1", "verify_recv": "Sampled"},
            "none, sampled",
        ),
        ({"node_env": {"WK_SIM_USERS": "1"}}, "the simulator's"),
        ({"node_env": {"WK_BENCH_X": "1"}}, "the simulator's"),
        ({"node_env": {"LOG_LEVEL": "1"}}, "are named WK_"),
        ({"node_env": {"WK_LOG_DIR": "/x"}}, "depends on"),
        ({"node_env": {"WK_X": ["a"]}}, "text or a number"),
        ({"node_env": "WK_X=1"}, "must be a mapping"),
        ({"node_env": "[]"}, "must be a mapping"),
        ({"incident": "p01"}, "replay inventory"),
        ({"wukongim_checkout": "/nonexistent"}, "is not a directory"),
        ({"bundle_id": "../../x"}, "is not <yyyymmdd"),
        ({"data_root": "/"}, "home directory"),
    ],
)
def test_one_clear_error(tmp_path: Path, checkout: Path, raw: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        ask(tmp_path, **{"wukongim_checkout": str(checkout), **raw})
    assert "\n" not in str(caught.value)


def test_no_checkout_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"-e wukongim_checkout="):
        ask(tmp_path)
    assert ask(tmp_path, needs_stack=False).checkout is None


def test_a_directory_without_compose_file_is_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no docker-compose\.yml"):
        ask(tmp_path, wukongim_checkout=str(tmp_path))


@pytest.mark.parametrize("driver", [None, "podman"])
def test_no_driver_is_chosen_silently(tmp_path: Path, driver: str | None) -> None:
    with pytest.raises(UsageError, match="stack_driver"):
        ask(tmp_path, driver=driver)


def test_clean_needs_a_declared_benchmark_host(tmp_path: Path, checkout: Path) -> None:
    asked = {"wukongim_checkout": str(checkout), "benchmark_host": False}
    with pytest.raises(UsageError, match="wk_benchmark_host"):
        ask(tmp_path, **asked)
    assert ask(tmp_path, mode="accumulated", **asked).mode == "accumulated"


def test_data_without_marker_is_refused_only_when_it_would_be_emptied(
    tmp_path: Path, checkout: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "precious").write_text("x")
    asked = {"wukongim_checkout": str(checkout), "data_root": str(data)}
    with pytest.raises(UsageError, match="mode=clean will not empty"):
        ask(tmp_path, **asked)
    assert ask(tmp_path, mode="accumulated", **asked).data_root == str(data)


def test_accumulated_data_is_accumulated_unless_said_otherwise(
    tmp_path: Path, checkout: Path
) -> None:
    asked = {"wukongim_checkout": str(checkout), "scenario": "accumulated-data"}
    assert ask(tmp_path, **asked).mode == "accumulated"


def test_unknown_names_are_typing_errors() -> None:
    with pytest.raises(UsageError, match="did you mean 'duration'"):
        check_names(["durations"])
    with pytest.raises(UsageError, match="known are"):
        check_names(["zzz"])
    check_names(["scenario", "ansible_user", "evidence_settle", "users"])


def test_bundle_ids_sort_by_time_and_hold_their_scenario() -> None:
    made = new_bundle_id("custom", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert made.startswith("20260102T030405Z-custom-")
    assert BUNDLE_ID.match(made)


class Lazy(dict[str, Any]):
    """A mapping whose items are only resolved when they are asked for, as Ansible's are."""

    def __getitem__(self, key: str) -> Any:
        return super().__getitem__(key)()


def test_a_request_survives_lazy_containers(tmp_path: Path, checkout: Path) -> None:
    asked = ask(tmp_path, wukongim_checkout=str(checkout))

    def lazy(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return Lazy({key: partial(lazy, item) for key, item in value.items()})

    assert from_dict(lazy(asked.as_dict())) == asked


def test_a_request_with_an_unknown_key_is_refused(tmp_path: Path, checkout: Path) -> None:
    asked = ask(tmp_path, wukongim_checkout=str(checkout)).as_dict()
    with pytest.raises(UsageError, match="unknown key 'scenrio'; did you mean 'scenario'"):
        from_dict({**asked, "scenrio": "custom"})


class Tagged(int):
    """A number that remembers where it was written, as Ansible's are."""


def test_numbers_of_ansible_become_plain(tmp_path: Path, checkout: Path) -> None:
    asked = ask(
        tmp_path,
        wukongim_checkout=str(checkout),
        scenario="custom",
        users=Tagged(40),
        person_channels=Tagged(5),
        duration=Tagged(10),
        connect_rate=Tagged(50),
    )
    document = asked.as_dict()
    assert type(document["duration"]) is int
    assert type(document["workload"]["users"]) is int
    assert from_dict(document) == asked

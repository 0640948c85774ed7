"""A run done again: the request of a fingerprint, and what two runs are said to share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.experiment_bundles import INPUTS, bundle, changed

from wktriage.cli import exit_codes, reproduction
from wktriage.core.errors import UsageError
from wktriage.experiments import reproduce
from wktriage.experiments.grounds import Bench
from wktriage.request import code as codes

BENCH = Bench(driver="compose", benchmark_host=True, root=Path("/nowhere"))


def asked(tmp_path: Path, **more: Any) -> reproduce.Asked:
    return reproduce.read({"bundle": str(tmp_path), **more})


def test_inputs_become_a_request(tmp_path: Path) -> None:
    inputs = changed(INPUTS, "node_env", {"WK_LOG_LEVEL": "debug"})
    old = bundle(tmp_path, "old", inputs)
    given = asked(tmp_path, wukongim_binary="/opt/wukongim", runs_dir="/srv/runs")
    values = reproduce.request_of(old, given, BENCH)
    assert values["scenario"] == "custom"
    assert (values["rate"], values["concurrency"], values["users"]) == ("0.25/s", 2, 1000)
    assert (values["mode"], values["duration"], values["connect_rate"]) == ("clean", 60, 100)
    assert values["node_env"] == {"WK_LOG_LEVEL": "debug"}
    assert values["wukongim_binary"] == "/opt/wukongim"
    assert "bundle" not in values


def test_a_run_without_profiles_gets_none(tmp_path: Path) -> None:
    old = bundle(tmp_path, "old", changed(INPUTS, "profiled", "none"))
    assert reproduce.request_of(old, asked(tmp_path), BENCH)["profile_seconds"] == 0


def test_a_built_ref_is_built_again_where_a_command_says_how(tmp_path: Path) -> None:
    commit = "a" * 40
    built = codes.inputs_of(commit, f"wktriage-build:{commit}-01234567")
    old = bundle(tmp_path, "a", {**INPUTS, **built})
    how = {"stack_build_command": "make", "wukongim_checkout": str(tmp_path)}
    assert reproduce.request_of(old, asked(tmp_path, **how), BENCH)["code"] == commit
    assert "code" not in reproduce.request_of(old, asked(tmp_path), BENCH)


def test_a_run_with_profiles_at_the_onset_gets_them_then(tmp_path: Path) -> None:
    old = bundle(tmp_path, "old", changed(INPUTS, "profiled", "onset"))
    assert reproduce.request_of(old, asked(tmp_path), BENCH)["profile"] == "onset"


def test_what_the_bundle_hides_must_be_given_and_nothing_else_may(tmp_path: Path) -> None:
    hidden = {"WK_MANAGER_TOKEN": "REDACTED", "WK_LOG_LEVEL": "info"}
    old = bundle(tmp_path, "old", changed(INPUTS, "node_env", hidden))
    with pytest.raises(UsageError, match="hides the value of WK_MANAGER_TOKEN"):
        reproduce.request_of(old, asked(tmp_path), BENCH)
    other = asked(tmp_path, node_env={"WK_MANAGER_TOKEN": "t", "WK_LOG_LEVEL": "debug"})
    with pytest.raises(UsageError, match="WK_LOG_LEVEL: the run to reproduce says"):
        reproduce.request_of(old, other, BENCH)
    given = asked(tmp_path, node_env={"WK_MANAGER_TOKEN": "t"})
    values = reproduce.request_of(old, given, BENCH)
    assert values["node_env"] == {"WK_MANAGER_TOKEN": "t", "WK_LOG_LEVEL": "info"}


@pytest.mark.parametrize("name", ["scenario", "duration", "mode", "users", "connect_rate"])
def test_what_the_bundle_says_nobody_else_may(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} is that of the run to reproduce"):
        asked(tmp_path, **{name: "1"})


def test_a_bundle_is_needed_and_names_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no bundle: add -e bundle="):
        reproduce.read({})
    with pytest.raises(UsageError, match="did you mean 'bundle'"):
        reproduce.read({"bundel": "x"})


def test_a_fingerprint_without_a_workload_is_refused(tmp_path: Path) -> None:
    old = bundle(tmp_path, "old", changed(INPUTS, "workload", {}))
    with pytest.raises(UsageError, match="does not say which workload ran"):
        reproduce.request_of(old, asked(tmp_path), BENCH)


def test_equal_runs_agree_field_by_field(tmp_path: Path) -> None:
    made = reproduce.compared(bundle(tmp_path, "a"), bundle(tmp_path, "b"))
    inputs = {f.path: f for f in made.fields if f.path.startswith("inputs.")}
    assert {f.status for f in inputs.values()} == {"same"}
    assert made.classes == ()
    assert made.outcome == "agree"
    assert exit_codes.of_reproduction(made.outcome) == 0


def test_another_driver_is_another_class_and_only_verdicts_are_compared(tmp_path: Path) -> None:
    there = {
        **INPUTS,
        "driver": "processes",
        "hosts": ["bench-node1"],
        "image": "not_applicable",
        "git_revision": "not_applicable",
        "node_config_sha256": "e" * 64,
    }
    made = reproduce.compared(bundle(tmp_path, "a"), bundle(tmp_path, "b", there))
    fields = {f.path: f for f in made.fields}
    assert fields["inputs.driver"].status == "differs"
    assert fields["inputs.driver"].why == "the inventory decides it"
    assert fields["inputs.image"].status == "not_applicable"
    assert fields["inputs.image"].why == "one of the two stacks has none"
    assert fields["inputs.node_config_sha256"].why == "it is written for the driver and its hosts"
    assert fields["inputs.workload.users"].status == "same"
    assert "driver compose, the other of processes" in made.classes[0]
    assert made.figures == ()
    assert made.outcome == "agree"


@pytest.mark.parametrize("how", ["mode", "replay"])
def test_other_classes_of_evidence_are_said_and_not_compared(tmp_path: Path, how: str) -> None:
    old = bundle(tmp_path, "a")
    if how == "mode":
        new = bundle(
            tmp_path, "b", changed(INPUTS, "mode", "accumulated"),
            observed={"data_bytes_at_start": 7},
        )  # fmt: skip
    else:
        new = bundle(tmp_path, "b", changed(INPUTS, "driver", "replay"), replay_of="paused-node")
    made = reproduce.compared(old, new)
    assert len(made.classes) == 1
    assert {part.agreement for part in made.parts} == {"not compared"}
    assert made.figures == ()
    assert made.outcome == "not compared"
    assert exit_codes.of_reproduction(made.outcome) == 4


@pytest.mark.parametrize(
    ("name", "one", "other", "agrees"),
    [
        ("sent_rate", 100.0, 120.0, True),
        ("sent_rate", 100.0, 140.0, False),
        ("sent_rate", 0.0, 0.0, True),
        ("send_errors", 3, 900, True),
        ("send_errors", 0, 1, False),
    ],
)
def test_numbers_agree_as_far_as_single_runs_can_tell(
    name: str, one: float, other: float, agrees: bool
) -> None:
    assert reproduce.near(name, one, other) is agrees


def test_the_comparison_is_written_beside_the_verdict_and_shown(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    old = bundle(tmp_path, "old")
    new = bundle(runs, "new", changed(INPUTS, "workload.concurrency", 64))
    given = reproduce.read({"bundle": str(old.root)})
    result = reproduction.compared(given, new.root, str(runs))
    document = json.loads((new.root / "reproduction.json").read_text())
    assert document["one"] == "old"
    shown = "\n".join(result["say"])
    assert "inputs.workload.concurrency" in shown
    assert "the new run did not get it" in shown
    assert result["tell"]["exit_code"] == 0
    # A later reading takes it for no evidence.
    assert "reproduction.json" not in type(new).open(new.root).files

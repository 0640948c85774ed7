"""The fault files, and the runs that the lab draws."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from wktriage.cli.main import group
from wktriage.core.errors import UsageError
from wktriage.lab import faults, plan
from wktriage.lab.actions import dispatcher
from wktriage.lab.actions.dispatcher import Actions


@pytest.mark.parametrize("name", faults.names())
def test_every_fault_file_loads_and_says_how_it_is_labelled(name: str) -> None:
    fault = faults.load(name)
    assert fault.labels
    if fault.at != "run":
        assert fault.inject
        assert fault.check is not None
    if any(label.names_target for label in fault.labels):
        assert fault.targets.startswith("nodes")


def test_parameters_replace_what_names_them() -> None:
    fault = faults.load("cpu-quota-node", {"cpus": "0.3"})
    assert fault.inject[0].arguments == {"cpus": 0.3}
    assert fault.check is not None
    assert fault.check.arguments == {"cpus": 0.3}


def test_unknown_fault_and_parameter_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="pause-node"):
        faults.load("gremlins")
    with pytest.raises(UsageError, match="it has cpus"):
        faults.load("cpu-quota-node", {"cores": "2"})


@pytest.mark.parametrize("name", faults.names())
def test_every_step_of_a_fault_is_an_action_that_there_is(name: str) -> None:
    fault, actions = faults.load(name), Actions(None)
    assert {step.do for step in (*fault.inject, *fault.heal)} <= actions.actions.keys()
    assert fault.check is None or fault.check.do in actions.checks


def test_a_draw_is_repeatable_runnable_and_varies_what_it_should() -> None:
    def drawn(seed: int) -> list[str]:
        done = CliRunner().invoke(group, ["lab", "draw", "--seed", str(seed), "--count", "60"])
        assert done.exit_code == 0, done.output
        return done.output.splitlines()

    lines = drawn(3)
    assert lines == drawn(3) != drawn(4)
    for words in map(str.split, lines):
        assert words[:3] == ["wktriage", "lab", "run"]
        given = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
        fault = faults.load(words[3], dict(setting.split("=", 1) for setting in given))
        assert given or not fault.parameters
        assert ("-e" in words) is not bool(fault.run)
    rates = {re.search(r"rate=(\S+)", line)[1] for line in lines if " overload " in line}  # type: ignore[index]
    assert all(re.fullmatch(r"\d+/s", rate) for rate in rates)
    assert len({w for line in lines for w in line.split() if w.startswith("scenario=")}) >= 4


def test_a_named_scenario_takes_no_workload_but_its_own() -> None:
    custom = plan.run_parameters({"rate": "1/s"}, {"users": 5})
    assert (custom["scenario"], custom["rate"], custom["users"]) == ("custom", "1/s", 5)
    smoke = plan.run_parameters({"rate": "1/s"}, {"scenario": "smoke-default"})
    assert smoke.keys().isdisjoint({"rate", "users", "concurrency"})
    assert plan.hold_seconds(smoke) == 45 + 5 + plan.HEAL_MARGIN_S


def test_a_fault_with_a_volume_of_its_own_takes_no_other_data_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "require_tools", lambda _names: None)
    words = ["lab", "run", "stuck-volume", "-e", f"data_root={tmp_path}/data"]
    done = CliRunner().invoke(group, [*words, "-e", f"runs_dir={tmp_path}/runs"])
    assert isinstance(done.exception, UsageError)
    assert "leave data_root out" in str(done.exception)
    assert list(tmp_path.iterdir()) == []

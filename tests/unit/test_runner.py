"""Running a playbook: exit codes of plugins come back, nothing of an earlier run does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wktriage.cli import ansible
from wktriage.core.errors import InfraError, UsageError


def test_a_plugins_error_comes_back_with_its_exit_code(tmp_path: Path) -> None:
    ended = ansible.run_playbook(
        "triage.yml", {"scenario": "nope", "runs_dir": str(tmp_path), "stack_project": "unit-test"}
    )
    assert ended.rc != 0
    assert ended.exit_code == 2
    assert "unknown scenario 'nope'" in str(ended.message)
    assert ended.bundle is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("asked", ["replay", "inventory/replay"])
def test_an_inventory_goes_by_its_name_from_anywhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = ansible.run_playbook(
        "triage.yml", {"incident": "nope", "runs_dir": "runs"}, inventory=asked
    )
    assert "'nope'" in str(ended.message)


def test_an_unknown_inventory_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no inventory 'nope': .*known are compose, .*replay"):
        ansible.run_playbook("triage.yml", {}, inventory="nope")


def test_without_the_command_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ansible.RESULT_FILE, raising=False)
    ansible.report_failure(UsageError("x"))


def test_later_facts_win_and_earlier_ones_stay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "result.json"
    monkeypatch.setenv(ansible.RESULT_FILE, str(file))
    ansible.tell(bundle="/b")
    ansible.report_failure(UsageError("first"))
    ansible.report_failure(InfraError("no docker"))
    told = json.loads(file.read_text())
    assert told == {"bundle": "/b", "exit_code": 6, "message": "no docker"}

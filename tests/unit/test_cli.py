"""The command: what it hands to the playbook, and exit codes that say how it ended."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from wktriage.cli import commands, inventories, main
from wktriage.cli.ansible import Outcome
from wktriage.cli.commands import triage
from wktriage.core.errors import UsageError


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (("duration=15", "node_env="), {"duration": "15", "node_env": ""}),
        (("a=b=c",), {"a": "b=c"}),
        (('{"node_env": {"WK_X": "1"}}', "a=1"), {"node_env": {"WK_X": "1"}, "a": "1"}),
        (("a=1", "a=2"), {"a": "2"}),
    ],
)
def test_extra_vars(values: tuple[str, ...], found: dict[str, Any]) -> None:
    assert triage.parse_extra_vars(values) == found


def test_extra_vars_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "vars.yml"
    file.write_text("scenario: custom\nusers: 40\n")
    assert triage.parse_extra_vars((f"@{file}",)) == {"scenario": "custom", "users": 40}


@pytest.mark.parametrize("value", ["duration", "=1", "a b=1", "{", "{[", "@/nonexistent"])
def test_bad_extra_vars_are_usage_errors(value: str) -> None:
    with pytest.raises(UsageError):
        triage.parse_extra_vars((value,))


def play(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ended: Outcome, category: str | None
) -> tuple[int, dict[str, Any]]:
    """Run ``wktriage triage`` with a playbook that ends so and leaves that verdict."""
    seen: dict[str, Any] = {}
    bundle = tmp_path / "bundle"

    def playbook(_name: str, given: dict[str, Any], **_kw: object) -> Outcome:
        seen.update(given)
        if category is not None:
            bundle.mkdir()
            (bundle / "verdict.json").write_text(json.dumps({"category": category, "nodes": []}))
        return replace(ended, bundle=bundle)

    monkeypatch.setattr(triage, "run_playbook", playbook)
    monkeypatch.setattr(
        "sys.argv", ["wktriage", "triage", "-e", f"runs_dir={tmp_path}", "-e", "scenario=custom"]
    )
    with pytest.raises(SystemExit) as caught:
        main.main()
    assert isinstance(caught.value.code, int)
    return caught.value.code, seen


@pytest.mark.parametrize(
    ("category", "code"),
    [
        ("healthy", 0),
        ("send_path", 3),
        ("client_bottleneck", 3),
        ("insufficient_evidence", 4),
        ("baseline_health", 5),
    ],
)
def test_the_verdict_sets_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, category: str, code: int
) -> None:
    ended = Outcome(rc=0 if category == "healthy" else 2, exit_code=None, message=None)
    found, seen = play(monkeypatch, tmp_path, ended, category)
    assert found == code
    assert seen == {"runs_dir": str(tmp_path), "scenario": "custom"}


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (Outcome(rc=2, exit_code=2, message="bad"), 2),
        (Outcome(rc=2, exit_code=6, message="no docker"), 6),
        (Outcome(rc=4, exit_code=None, message=None), 6),
    ],
)
def test_without_a_verdict_the_failure_sets_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ended: Outcome, code: int
) -> None:
    assert play(monkeypatch, tmp_path, ended, None)[0] == code


def test_ctrl_c_finishes_the_bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Path] = []

    def finalise(runs_dir: Path, *, reason: str) -> list[Path]:
        assert "user" in reason
        asked.append(runs_dir)
        return []

    monkeypatch.setattr("wktriage.run.recovery.finalise_all", finalise)
    ended = Outcome(rc=99, exit_code=None, message=None)
    assert play(monkeypatch, tmp_path, ended, None)[0] == 130
    assert asked == [tmp_path]


def test_an_inventory_is_taken_by_its_short_name_or_any_path(tmp_path: Path) -> None:
    ours = str(inventories.DIRECTORY / "replay")
    assert inventories.resolve("replay") == ours
    assert inventories.resolve("inventory/replay").endswith("inventory/replay")
    assert inventories.resolve(str(tmp_path)) == str(tmp_path)
    assert inventories.resolve("one,two") == "one,two"


@pytest.mark.parametrize(
    ("name", "hint"), [("replya", "did you mean 'replay'"), ("nothing", "known are compose, ")]
)
def test_an_unknown_inventory_is_refused_with_the_known_ones(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"no inventory '{name}'.*{hint}"):
        inventories.resolve(name)


@pytest.mark.parametrize("words", [["--json"], ["list", "--json"]])
def test_incidents_are_listed_as_json_either_way(words: list[str]) -> None:
    ended = CliRunner().invoke(main.group, ["incidents", *words])
    rows = [json.loads(line) for line in ended.output.splitlines()]
    assert "paused-node" in {row["bundle"] for row in rows}
    assert ended.exit_code == 0


def test_the_list_of_incidents_says_what_happened() -> None:
    text = CliRunner().invoke(main.group, ["incidents"]).output
    assert "* paused-node" in text
    assert "Inject nothing" not in text
    assert "triage -i replay -e incident=ID" in text


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("wktriage inc", "incidents"),
        ("wktriage triage -i re", "replay"),
        ("wktriage incidents show paused", "paused-node"),
    ],
)
def test_a_shell_completes_names(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    offered: str,
) -> None:
    monkeypatch.setattr("sys.argv", ["wktriage"])
    monkeypatch.setenv("_WKTRIAGE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    with pytest.raises(SystemExit):
        main.main()
    assert f"plain,{offered}" in capsys.readouterr().out


def test_our_errors_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["wktriage", "triage", "-e", "nonsense"])
    with pytest.raises(SystemExit) as caught:
        main.main()
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("wktriage: -e 'nonsense': write key=value")


@pytest.mark.parametrize("module", sorted(set(commands.MODULES.values())))
def test_every_subcommand_of_a_module_can_be_asked_for(module: str) -> None:
    alone = click.Group()
    import_module(f"wktriage.cli.commands.{module}").register(alone)
    assert set(alone.commands) == {n for n, m in commands.MODULES.items() if m == module}


def test_help_says_the_exit_codes() -> None:
    text = CliRunner().invoke(main.group, ["--help"]).output
    for word in ("0 healthy", "2 usage", "3 a problem", "4 inconclusive", "5 hard stop", "6 infra"):
        assert word in text.replace("\n ", "")

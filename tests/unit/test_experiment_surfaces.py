"""What a person types and sees of experiments: extra vars, the shelf of runs, drawn scales."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from ansible.parsing.splitter import parse_kv
from click.testing import CliRunner
from tests.unit.experiment_bundles import INPUTS, bundle, changed, ref, registered

from wktriage.cli import exit_codes
from wktriage.cli.extra_texts import repaired
from wktriage.cli.main import group
from wktriage.core.errors import UsageError
from wktriage.experiments import asking, shelf
from wktriage.experiments.case import Case
from wktriage.experiments.design import RunRecord, Side
from wktriage.experiments.registration import Variable
from wktriage.report import scales


def test_a_text_with_spaces_is_whole_again() -> None:
    typed = ("expect=a >= 0.95 and b == 0", "control=x")
    parsed = {key: value for option in typed for key, value in parse_kv(option).items()}
    assert parsed["expect"] == "a"
    assert repaired(parsed, typed, asking.TEXTS) == {
        "expect": "a >= 0.95 and b == 0",
        "control": "x",
    }
    assert repaired({"expect": "q"}, ["expect='a >= 1'"], asking.TEXTS) == {"expect": "a >= 1"}


@pytest.mark.parametrize(
    ("outcome", "stopped", "code"),
    [
        ("supported", False, 0),
        ("refuted", False, 3),
        ("inconclusive", False, 4),
        ("inconclusive", True, 5),
    ],
)
def test_exit_codes(outcome: str, stopped: bool, code: int) -> None:
    assert exit_codes.of_outcome(outcome, stopped=stopped) == code


def shelved(root: Path, name: str, created: str, baseline: str | None = None) -> None:
    reference = {"healthy": True, "bundle_id": baseline} if baseline else {"healthy": True}
    made = bundle(root, name, INPUTS, baseline=reference)
    path = made.root / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "created": created, "purpose": "target"}))


def test_prune_never_removes_what_a_case_or_a_baseline_reference_needs(tmp_path: Path) -> None:
    runs, cases = tmp_path / "runs", tmp_path / "cases"
    for day, name in enumerate(("baseline", "control", "old", "run-0", "new"), start=1):
        vouching = "baseline" if name == "new" else None
        shelved(runs, name, f"2026-11-0{day}T00:00:00Z", vouching)
    case = Case.create(cases, "why", "Why?", "2026-11-26T10:00:00Z")
    made = registered(control=ref("control"))
    case.register(made)
    side = case.experiment().order[0]
    case.record(1, RunRecord(0, 1, Side(side), ref("run-0"), made.sha256()))
    plan = shelf.plan_prune(runs, cases, keep=1)
    assert [row.id for row in plan.removed] == ["old"]
    assert {row.id: why for row, why in plan.needed} == {
        "run-0": "case why needs it",
        "control": "case why needs it",
        "baseline": "it is the baseline of a run that stays",
    }
    words = ["runs", "prune", "--keep", "1", "--runs", str(runs), "--cases", str(cases)]
    told = json.loads(CliRunner().invoke(group, [*words, "--dry-run", "--json"]).output)
    assert [row["id"] for row in told["removed"]] == ["old"]
    assert (runs / "old").is_dir()
    done = CliRunner().invoke(group, words)
    assert done.exit_code == 0, done.output
    assert not (runs / "old").exists()
    assert (runs / "control").is_dir()


def built(runs: Path, name: str, *, age: float = 7200) -> Path:
    """Write a build of 3 bytes that is so many seconds old."""
    directory = runs / ".builds" / name
    directory.mkdir(parents=True)
    (directory / "output.txt").write_text("ok\n")
    at = time.time() - age
    os.utime(directory, (at, at))
    return directory


def test_prune_takes_the_builds_that_nothing_needs_any_more(tmp_path: Path) -> None:
    runs, cases = tmp_path / "runs", tmp_path / "cases"
    commits = {letter: letter * 40 for letter in "abcd"}
    for day, letter in enumerate("ab", start=1):
        image = f"wktriage-build:{commits[letter]}-00000000"
        bundle(runs, f"run-{letter}", {**INPUTS, "git_revision": commits[letter], "image": image})
        path = runs / f"run-{letter}" / "manifest.json"
        created = {"created": f"2026-11-0{day}T00:00:00Z", "purpose": "target"}
        path.write_text(json.dumps({**json.loads(path.read_text()), **created}))
    code = Variable("code", "code", "code", commits["b"], commits["c"])
    Case.create(cases, "why", "Why?", "2026-11-26T10:00:00Z").register(registered(variable=code))
    places = {letter: built(runs, f"{commit}-00000000") for letter, commit in commits.items()}
    young = built(runs, f"{'e' * 40}-00000000", age=60)
    words = ["runs", "prune", "--keep", "1", "--runs", str(runs), "--cases", str(cases)]
    pending = runs / ".pending" / "run-f.json"
    pending.parent.mkdir()
    pending.write_text("{}")
    assert "and 0 builds" in CliRunner().invoke(group, [*words, "--dry-run"]).output
    pending.unlink()
    dry = CliRunner().invoke(group, [*words, "--dry-run"]).output.splitlines()
    assert dry[:3] == [
        "would remove run-a",
        f"would remove build .builds/{commits['a']}-00000000",
        f"would remove build .builds/{commits['d']}-00000000",
    ]
    assert all(path.is_dir() for path in places.values())
    done = CliRunner().invoke(group, words)
    assert done.exit_code == 0, done.output
    assert sorted(letter for letter, path in places.items() if path.is_dir()) == ["b", "c"]
    assert young.is_dir()


def test_prune_follows_no_link_out_of_the_builds(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    builds = tmp_path / "runs" / ".builds"
    builds.mkdir(parents=True)
    (builds / "link").symlink_to(outside)
    os.utime(builds / "link", (0, 0), follow_symlinks=False)
    words = ["runs", "prune", "--keep", "0", "--runs", str(tmp_path / "runs")]
    done = CliRunner().invoke(group, [*words, "--cases", str(tmp_path / "cases")])
    assert done.exit_code == 0, done.output
    assert not (builds / "link").is_symlink()
    assert (outside / "file").read_text() == "mine"


def test_prune_stops_at_a_case_that_cannot_be_read(tmp_path: Path) -> None:
    shelved(tmp_path / "runs", "old", "2026-11-01T00:00:00Z")
    (tmp_path / "cases" / "broken").mkdir(parents=True)
    (tmp_path / "cases" / "broken" / "case.json").write_text("{")
    with pytest.raises(UsageError, match="Nothing is removed"):
        shelf.plan_prune(tmp_path / "runs", tmp_path / "cases", keep=0)


def test_runs_are_listed_newest_first_and_filtered(tmp_path: Path) -> None:
    shelved(tmp_path, "first", "2026-11-01T00:00:00Z")
    shelved(tmp_path, "second", "2026-11-02T00:00:00Z")
    (tmp_path / "second" / "verdict.json").write_text(
        json.dumps({"category": "healthy", "confidence": 0.9, "nodes": []})
    )
    done = CliRunner().invoke(group, ["runs", "--runs", str(tmp_path)])
    lines = done.output.splitlines()
    assert [line.split()[0] for line in lines] == ["run", "second", "first"]
    one = CliRunner().invoke(
        group, ["runs", "--runs", str(tmp_path), "--category", "healthy", "--json"]
    )
    assert [json.loads(line)["id"] for line in one.output.splitlines()] == ["second"]
    wrong = CliRunner().invoke(group, ["runs", "--runs", str(tmp_path), "--category", "helthy"])
    assert wrong.exit_code == 2
    nowhere = CliRunner().invoke(group, ["runs", "--runs", str(tmp_path / "nowhere")])
    assert isinstance(nowhere.exception, UsageError)


def test_compare_says_inputs_first_and_refuses_other_modes(tmp_path: Path) -> None:
    bundle(tmp_path, "a", INPUTS)
    bundle(tmp_path, "b", changed(INPUTS, "workload.concurrency", 64))
    done = CliRunner().invoke(
        group, ["compare", "a", "b", "--runs", str(tmp_path)], standalone_mode=False
    )
    assert done.return_value == 0
    assert "inputs.workload.concurrency" in done.output
    bundle(tmp_path, "c", INPUTS, observed={"data_bytes_at_start": 7})
    refused = CliRunner().invoke(
        group, ["compare", "a", "c", "--runs", str(tmp_path)], standalone_mode=False
    )
    assert refused.return_value == 2
    assert "different evidence classes" in refused.output


def test_cases_are_listed_and_shown(tmp_path: Path) -> None:
    case = Case.create(tmp_path, "why", "Why is it slow?", "2026-11-26T10:00:00Z")
    case.register(registered())
    done = CliRunner().invoke(group, ["case", "list", "--cases", str(tmp_path)])
    assert "experiment 1: 0 of 8 runs" in done.output
    shown = CliRunner().invoke(group, ["case", "show", "why", "--cases", str(tmp_path)])
    assert shown.exit_code == 0, shown.output
    assert "under way" in shown.output
    assert (tmp_path / "why" / "case.html").is_file()


def test_points_at_one_place_do_not_cover_each_other() -> None:
    signal = {"control": [0.5, 0.5, 0.5], "treatment": [1.0]}
    drawn = scales.strip(signal, 0.95)
    heights = [point["down"] for point in drawn["rows"][0]["points"]]
    assert len(set(heights)) == 3
    assert drawn["line"]["text"] == "0.95"
    low, high = (row["points"][0]["at"] for row in drawn["rows"])
    assert low < drawn["line"]["at"] < high


def test_an_interval_lies_where_its_numbers_say() -> None:
    signal = {
        "low": 0.2, "high": 0.4, "shift": 0.3, "min_effect": 0.1, "beyond": 0.15, "relative": True,
    }  # fmt: skip
    drawn = scales.span(signal)
    assert drawn is not None
    assert drawn["zero"] < drawn["low"] < drawn["shift"]
    assert drawn["matters"]["left"] + drawn["matters"]["width"] < drawn["low"]
    assert drawn["noise"]["width"] > drawn["matters"]["width"]
    assert scales.span({**signal, "low": None}) is None

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.unit.experiment_bundles import CATALOGUE, bundle, ref, registered, signals

from wktriage.core import private_files
from wktriage.core.errors import UsageError
from wktriage.experiments import case as cases_of
from wktriage.experiments import design
from wktriage.experiments.case import Case, CaseError
from wktriage.experiments.design import RunRecord, Side
from wktriage.experiments.effects import Outcome
from wktriage.experiments.judge import JudgedRun, judge
from wktriage.experiments.outcomes import ExperimentOutcome
from wktriage.experiments.registration import BundleRef, Registration, TamperedError

VALUES = {Side.CONTROL: [0.20, 0.21, 0.19, 0.205, 0.2, 0.21],
          Side.TREATMENT: [0.97, 0.98, 0.99, 0.975, 0.97, 0.96]}  # fmt: skip


def opened(root: Path, name: str = "why-slow") -> Case:
    return Case.create(root, name, "Why?", "2026-11-26T10:00:00Z", {"client-concurrency": 0.6})


def do_next(case: Case, **changes: Any) -> bool:
    """Do the run that is due; tell whether there was one."""
    experiment = case.experiment()
    made = case.registration()
    due = design.next_run(made, experiment.runs, experiment.stop, experiment.repeats)
    if due is None:
        return False
    parts: dict[str, Any] = {
        "place": due.place,
        "attempt": due.attempt,
        "side": due.side,
        "bundle": ref(f"run-{due.place}-{due.attempt}"),
        "registration_sha256": made.sha256(),
    }
    case.record(experiment.number, RunRecord(**{**parts, **changes}))
    return True


def judged(case: Case) -> ExperimentOutcome:
    experiment = case.experiment()
    counted: dict[Side, int] = dict.fromkeys(Side, 0)
    runs = []
    for run in experiment.runs:
        if run.excluded is None:
            value = VALUES[run.side][counted[run.side]]
            counted[run.side] += 1
            runs.append(JudgedRun(run.side, signals(achieved_rate_ratio=value)))
    return judge(case.registration(), runs, spent=experiment.spent, catalogue=CATALOGUE)


def finished(root: Path, made: Registration | None = None) -> Case:
    case = opened(root)
    case.register(made or registered())
    while do_next(case):
        pass
    return case


class TestFlow:
    def test_a_case_comes_back_as_it_was(self, tmp_path: Path) -> None:
        case = finished(tmp_path)
        case.conclude(1, judged(case))
        again = Case.load(tmp_path, "why-slow")
        assert again.document == case.document
        assert again.experiment().outcomes[0].outcome is Outcome.SUPPORTED
        assert again.document.belief["client-concurrency"] > 0.9

    def test_killed_after_run_three_it_ends_the_same(self, tmp_path: Path) -> None:
        whole = finished(tmp_path / "whole")
        broken = opened(tmp_path / "broken")
        broken.register(registered())
        for _ in range(3):
            do_next(broken)
        done = broken.experiment().runs
        resumed = Case.load(tmp_path / "broken", "why-slow")
        while do_next(resumed):
            pass
        assert resumed.experiment().runs[:3] == done
        assert resumed.experiment().runs == whole.experiment().runs
        assert judged(resumed) == judged(whole)

    def test_the_registration_is_on_disk_before_any_run(self, tmp_path: Path) -> None:
        case = opened(tmp_path)
        case.register(registered())
        held = tmp_path / "why-slow/experiments/1/registration.json"
        assert held.read_bytes() == registered().canonical()

    def test_no_peeking(self, tmp_path: Path) -> None:
        case = opened(tmp_path)
        case.register(registered())
        do_next(case)
        with pytest.raises(CaseError, match="no peeking"):
            case.conclude(1, judged(case))

    def test_only_the_run_that_is_due_is_taken(self, tmp_path: Path) -> None:
        case = opened(tmp_path)
        case.register(registered())
        with pytest.raises(CaseError, match="not the one that is due"):
            do_next(case, place=3)
        with pytest.raises(TamperedError, match="another registration"):
            do_next(case, registration_sha256="0" * 64)
        assert case.experiment().runs == ()

    def test_a_disturbed_run_is_shown_and_repeated(self, tmp_path: Path) -> None:
        case = opened(tmp_path)
        case.register(registered())
        do_next(case, excluded="disturbed: status_longest_gap > 5")
        while do_next(case):
            pass
        assert len(case.experiment().runs) == 9
        assert judged(case).outcome is Outcome.SUPPORTED

    def test_an_inconclusive_one_is_extended(self, tmp_path: Path) -> None:
        case = finished(tmp_path, registered(repeats=2))
        outcome = judged(case)
        assert outcome.more_pairs == 2
        case.conclude(1, outcome)
        case.extend(1, 2)
        while do_next(case):
            pass
        case.conclude(1, judged(case))
        assert [o.outcome for o in case.experiment().outcomes] == ["inconclusive", "supported"]
        assert Case.load(tmp_path, "why-slow").document == case.document

    def test_a_decided_one_is_not_extended(self, tmp_path: Path) -> None:
        case = finished(tmp_path)
        case.conclude(1, judged(case))
        with pytest.raises(CaseError, match="decided"):
            case.extend(1, 2)

    def test_several_experiments(self, tmp_path: Path) -> None:
        case = finished(tmp_path)
        case.conclude(1, judged(case))
        case.register(registered(seed=9))
        assert case.experiment().number == 2
        assert case.experiment(1).outcomes
        with pytest.raises(CaseError, match="no experiment 3"):
            case.experiment(3)


class TestTampering:
    def test_an_edited_registration(self, tmp_path: Path) -> None:
        finished(tmp_path)
        path = tmp_path / "why-slow/experiments/1/registration.json"
        path.write_bytes(path.read_bytes().replace(b'"size":0.1', b'"size":0.2'))
        with pytest.raises(TamperedError, match="edited after the fact"):
            Case.load(tmp_path, "why-slow")

    def test_another_registration_with_its_hash(self, tmp_path: Path) -> None:
        finished(tmp_path)
        made = registered(min_effect=registered().min_effect.parse("1%"))
        (tmp_path / "why-slow/experiments/1/registration.json").write_bytes(made.canonical())
        path = tmp_path / "why-slow/case.json"
        document = json.loads(path.read_bytes())
        document["experiments"][0]["registration_sha256"] = made.sha256()
        path.write_text(json.dumps(document))
        with pytest.raises(TamperedError, match="ran under another registration"):
            Case.load(tmp_path, "why-slow")

    def test_a_changed_seed(self, tmp_path: Path) -> None:
        case = opened(tmp_path)
        case.register(registered(seed=7))
        other = next(s for s in range(8, 99) if design.order(s, 4) != design.order(7, 4))
        made = registered(seed=other)
        (tmp_path / "why-slow/experiments/1/registration.json").write_bytes(made.canonical())
        path = tmp_path / "why-slow/case.json"
        document = json.loads(path.read_bytes())
        document["experiments"][0]["registration_sha256"] = made.sha256()
        path.write_text(json.dumps(document))
        with pytest.raises(TamperedError, match="seed or order was changed"):
            Case.load(tmp_path, "why-slow")

    def test_a_swapped_bundle(self, tmp_path: Path) -> None:
        held = bundle(tmp_path / "runs", "control")
        case = opened(tmp_path)
        case.register(registered(control=BundleRef.of(held)))
        case.check_bundles(1, {"control": held})
        other = bundle(tmp_path / "other", "control", observed={"ncpu": 64})
        with pytest.raises(TamperedError, match="swapped"):
            case.check_bundles(1, {"control": other})
        with pytest.raises(CaseError, match="not there any more"):
            case.check_bundles(1, {})

    def test_a_case_under_another_name(self, tmp_path: Path) -> None:
        opened(tmp_path)
        (tmp_path / "why-slow").rename(tmp_path / "other")
        with pytest.raises(TamperedError, match="why-slow"):
            Case.load(tmp_path, "other")


class TestFiles:
    def test_a_case_is_private(self, tmp_path: Path) -> None:
        case = finished(tmp_path)
        case.keep("regression-base.json", b"{}")
        for path in case.directory.rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path

    def test_nothing_else_is_left_behind(self, tmp_path: Path) -> None:
        case = finished(tmp_path)
        names = sorted(p.name for p in case.directory.rglob("*") if p.is_file())
        assert names == ["case.json", "registration.json"]

    def test_a_link_is_not_written_through(self, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        outside.write_text("precious")
        case = opened(tmp_path)
        (case.directory / "case.json").unlink()
        (case.directory / "case.json").symlink_to(outside)
        with pytest.raises(UsageError, match="is a link, not a regular file"):
            case.register(registered())
        assert outside.read_text() == "precious"

    def test_a_linked_directory_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        with pytest.raises(UsageError, match="is a link"):
            private_files.directory(tmp_path / "link")

    @pytest.mark.parametrize("name", ["../x", "", ".x", "a/b", "A" * 100])
    def test_evidence_stays_in_the_case(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(CaseError, match="no name"):
            opened(tmp_path).keep(name, b"")


class TestOpening:
    @pytest.mark.parametrize("name", ["", "../x", "Big", "-x", "a" * 64, "a\n"])
    def test_ids(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(CaseError, match="is no id"):
            Case.create(tmp_path, name, "Why?", "2026-11-26T10:00:00Z")
        with pytest.raises(CaseError, match="no id"):
            Case.load(tmp_path, name)

    def test_an_id_is_made_of_the_question(self) -> None:
        made = cases_of.new_id("Why is  wk-sim 400ms slow?!", "2026-11-26T10:00:00Z")
        assert made == "20261126-why-is-wk-sim-400ms-slow"
        assert cases_of.new_id("???", "2026-11-26T10:00:00Z") == "20261126-case"

    def test_twice_the_same(self, tmp_path: Path) -> None:
        opened(tmp_path)
        with pytest.raises(CaseError, match="there is a case"):
            opened(tmp_path)

    def test_none_of_that_name(self, tmp_path: Path) -> None:
        opened(tmp_path)
        with pytest.raises(CaseError, match="there are: why-slow"):
            Case.load(tmp_path, "nope")

    @pytest.mark.parametrize("text", ["", "{}", '{"id": 3}', "[" * 100_000])
    def test_damaged(self, tmp_path: Path, text: str) -> None:
        opened(tmp_path)
        (tmp_path / "why-slow/case.json").write_text(text)
        with pytest.raises(CaseError, match="cannot be read"):
            Case.load(tmp_path, "why-slow")

    def test_listing_is_newest_first_and_hides_no_damage(self, tmp_path: Path) -> None:
        Case.create(tmp_path, "old", "Old?", "2026-11-20T10:00:00Z")
        Case.create(tmp_path, "broken", "Broken?", "2026-11-21T10:00:00Z")
        (tmp_path / "broken/case.json").write_text("{")
        finished(tmp_path)
        rows = list(cases_of.listing(tmp_path))
        assert [row.id for row in rows] == ["why-slow", "old", "broken"]
        assert [row.standing for row in rows][:2] == ["experiment 1: 8 of 8 runs",
                                                      "no experiment yet"]  # fmt: skip
        assert rows[2].problem is not None

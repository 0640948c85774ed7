"""The verification of a fix from request to answer, without a stack and without Go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit import test_builds as built
from tests.unit import test_experiment_conduct as conducted
from tests.unit.experiment_bundles import bundle
from tests.unit.test_bisection import World
from tests.unit.test_builds import BINARIES, code_of, commit
from tests.unit.test_experiment_eligibility import made_run

from wktriage.bundle.bundle import Bundle
from wktriage.cli import code_steps
from wktriage.core.errors import UsageError
from wktriage.experiments import eligibility, fixing, regression
from wktriage.experiments.case import Case, standing
from wktriage.experiments.regression import Ran, TestRun
from wktriage.experiments.verification import Verification
from wktriage.stack.builds import BuildError

lab = conducted.lab
repository = built.repository
CASE = "20261127-why"


class Fixed(World):
    """A case about the commit ``old``, whose fix is ``new``."""

    categories: dict[str, str]

    def open_fix(self, **changes: Any) -> fixing.Fixing:
        values = {
            "case": CASE, "fix_ref": "new", "stack_build_command": BINARIES,
            "wukongim_checkout": str(self.repository), "runs_dir": str(self.lab.root / "runs"),
            "cases_dir": str(self.lab.root / "cases"), **changes,
        }  # fmt: skip
        given = {name: value for name, value in values.items() if value is not None}
        return fixing.open_fixing(fixing.read(given, self.lab.root), self.lab.bench)

    def run(self, values: dict[str, Any]) -> str:
        name = str(values["bundle_id"])
        code = code_of(self.repository, values["code"], BINARIES)
        scenario = str(values["scenario"])
        self.bundle(name, {**conducted.CONTROL, "scenario": scenario, **code.inputs()})
        (self.lab.root / "runs" / name / "verdict.json").write_text("{}")
        self.lab.verdicts[name] = {**conducted.VERDICT, "bundle": name}
        self.categories[name] = self.scenarios.get(scenario, "healthy")
        return name

    scenarios: dict[str, str] = {}  # noqa: RUF012 (tests set it on the object)

    def verify(self, **changes: Any) -> Verification:
        for _ in range(9):
            steps = self.open_fix(**changes)
            due = steps.next()
            if due["run"]:
                steps.recorded(self.run(due["run"]))
            elif due["experiment"]:
                self.experiment(due["experiment"])
            else:
                break
        return self.open_fix(**changes).conclude()


@pytest.fixture
def fixed(lab: conducted.Lab, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Fixed:
    under_way = lab.open(case=CASE, repeats="1")
    while lab.run(under_way):
        pass
    under_way.conclude()
    old, new = (built.git(repository, "rev-parse", ref) for ref in ("old", "new"))
    under_way.case.keep(Path(eligibility.BASE_TEST).name, msgspec.json.encode(made_run(commit=old)))
    world = Fixed(lab, repository, {old})
    world.categories = {}
    ran = {new: Ran.PASSED}

    def tested(_checkout: Path, ref: str, command: str) -> TestRun:
        name = built.git(repository, "rev-parse", ref)
        return made_run(ran.get(name, Ran.FAILED), ref=ref, commit=name, command=command)

    monkeypatch.setattr(regression, "run", tested)

    def judge(of: Bundle) -> dict[str, str]:
        return {"category": world.categories.get(of.bundle_id, "healthy")}

    monkeypatch.setattr(fixing, "judge", judge)
    return world


def case_of(fixed: Fixed) -> Case:
    return Case.load(fixed.lab.root / "cases", CASE)


def test_a_fix_is_verified_step_by_step(fixed: Fixed) -> None:
    said = fixed.verify()
    assert (said.verified, said.reason) == (
        "yes",
        "custom improved by more than what matters (noise not measured), and every scenario is "
        "healthy on the fix.",
    )  # fmt: skip
    assert [run.scenario for run in said.runs] == [
        *["custom"] * 4, "smoke-default", "sampled-correctness",
    ]  # fmt: skip
    made = case_of(fixed).registration(2)
    old, new = (built.git(fixed.repository, "rev-parse", ref) for ref in ("old", "new"))
    assert (made.variable.before, made.variable.after) == (old, new)
    assert made.expected == case_of(fixed).registration(1).expected
    # One run of the base, eight of the experiment, two scenarios; then nothing is run again.
    assert fixed.runs == 11
    assert fixed.verify() == said
    assert fixed.runs == 11
    assert standing(case_of(fixed).document) == "fix verified"
    assert (case_of(fixed).directory / eligibility.FIX_TEST).is_file()
    told = code_steps._told(fixed.open_fix())
    assert (told["outcome"], told["tell"]["exit_code"]) == ("yes", 0)


def test_a_scenario_that_is_not_healthy_on_the_fix(fixed: Fixed) -> None:
    fixed.scenarios = {"sampled-correctness": "delivery_path"}
    said = fixed.verify()
    assert said.verified == "no"
    assert said.reason == "sampled-correctness is not healthy on the fix: delivery_path."
    assert code_steps._told(fixed.open_fix())["tell"]["exit_code"] == 3


def test_a_test_that_still_fails_ends_it_before_any_run(fixed: Fixed) -> None:
    commit(fixed.repository, "other", code="4")
    said = fixed.verify(fix_ref="other")
    assert "still fails on other" in said.reason
    assert fixed.runs == 0


def test_a_target_that_did_not_improve_needs_no_further_scenario(fixed: Fixed) -> None:
    fixed.slow.add(built.git(fixed.repository, "rev-parse", "new"))
    said = fixed.verify()
    assert "custom did not improve: " in said.reason
    assert fixed.runs == 9


def test_a_fix_with_a_local_only_branch_is_none(fixed: Fixed, repository: Path) -> None:
    (repository / "x.go").write_text("package x\n\nvar _ = len(nodes) == 1\n")
    built.git(repository, "add", "-A")
    built.git(repository, "commit", "-qm", "local")
    built.git(repository, "tag", "-f", "new")
    with pytest.raises(UsageError, match="needs stack_build_command"):
        fixed.open_fix(stack_build_command=None)
    said = fixed.verify()
    assert said.verified == "no"
    assert fixed.runs == 0


def test_a_fix_that_does_not_build_is_one_error(fixed: Fixed, repository: Path) -> None:
    with pytest.raises(BuildError, match="is not built"):
        fixed.open_fix(stack_build_command="exit 3").next()
    assert not list((fixed.lab.root / "runs").glob("*-custom-*-fix"))


def test_what_is_missing_is_said(fixed: Fixed) -> None:
    with pytest.raises(UsageError, match="fix_ref is missing"):
        fixed.open_fix(fix_ref=None)
    with pytest.raises(UsageError, match="scenario is the case's"):
        fixed.open_fix(scenario="custom")
    (case_of(fixed).directory / eligibility.BASE_TEST).unlink()
    with pytest.raises(UsageError, match="wktriage case eligible 20261127-why"):
        fixed.open_fix()


def test_a_run_of_something_else_is_not_taken(fixed: Fixed) -> None:
    steps = fixed.open_fix()
    bundle(fixed.lab.root / "runs", "stray", conducted.CONTROL)
    with pytest.raises(UsageError, match="stray ran on no build"):
        steps.recorded("stray")

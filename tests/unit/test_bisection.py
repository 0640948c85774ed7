"""A bisection from request to answer, without a stack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit import test_builds as built
from tests.unit import test_experiment_conduct as conducted
from tests.unit.experiment_bundles import bundle
from tests.unit.test_builds import BINARIES, Built, code_of, commit

from wktriage.bundle.bundle import Bundle
from wktriage.cli import code_steps
from wktriage.core.errors import UsageError
from wktriage.experiments import asking, conduct, grounds, telling
from wktriage.experiments.bisection import bisect
from wktriage.experiments.bisection.search import Search
from wktriage.experiments.case import Case, standing
from wktriage.experiments.grounds import RefusedError
from wktriage.report import case_page

lab = conducted.lab
repository = built.repository
CULPRIT = 11


@pytest.fixture
def commits(repository: Path) -> list[str]:
    """Sixteen commits after ``good``; the one after the culprit does not build."""
    commit(repository, "good", code="0")
    made = []
    for number in range(1, 17):
        name = "code" if number != CULPRIT + 1 else "other"
        if number == CULPRIT + 1:
            built.git(repository, "rm", "-q", "code.txt")
        made.append(commit(repository, f"change-{number}", **{name: str(number)}))
    built.git(repository, "tag", "bad")
    return made


class World:
    """Runs what is due: commits from the culprit on achieve half of the rate."""

    def __init__(self, lab: conducted.Lab, repository: Path, slow: set[str]) -> None:
        self.lab, self.repository, self.slow = lab, repository, slow
        lab.bench = Built("processes", True, lab.root, lab.bench.hosts)
        self.runs = 0
        self.stops: list[dict[str, str]] = []
        self.disturbed: dict[str, int] = {}

    def given(self, **changes: Any) -> dict[str, Any]:
        values = {
            "good": "good", "bad": "bad", "expect": "achieved_rate_ratio >= 0.8",
            "stack_build_command": BINARIES, "wukongim_checkout": str(self.repository),
            "runs_dir": str(self.lab.root / "runs"), "cases_dir": str(self.lab.root / "cases"),
            "scenario": "custom", "mode": "clean", "duration": "60", "connect_rate": "100",
            **{name: str(value) for name, value in conducted.WORKLOAD.items()},
        }  # fmt: skip
        return {name: value for name, value in {**values, **changes}.items() if value is not None}

    def open(self, **changes: Any) -> bisect.Bisect:
        asked = bisect.read(self.given(**changes), self.lab.root)
        return bisect.open_bisection(asked, self.lab.bench, "2026-11-27T10:00:00Z")

    def bundle(self, bundle_id: str, inputs: dict[str, Any]) -> None:
        slow = inputs["git_revision"] in self.slow
        self.runs += 1
        value = (0.45 if slow else 0.96) + 0.003 * (self.runs % 4)
        self.lab.values[bundle_id] = {"achieved_rate_ratio": value}
        left = self.disturbed.get(inputs["git_revision"], 0)
        if left:
            self.disturbed[inputs["git_revision"]] = left - 1
            self.lab.values[bundle_id]["foreign_cpu_of_host"] = 0.9
        self.lab.verdicts[bundle_id] = {"hard_stops": self.stops if slow else []}
        bundle(self.lab.root / "runs", bundle_id, inputs)

    def control(self, values: dict[str, Any]) -> str:
        name = str(values["bundle_id"])
        code = code_of(self.repository, values["code"], BINARIES)
        self.bundle(name, {**conducted.CONTROL, **code.inputs()})
        (self.lab.root / "runs" / name / "verdict.json").write_text("{}")
        healthy = {"category": "healthy", "bundle": name, "next_experiment": {}, "hypothesis": {}}
        self.lab.verdicts[name] = {**conducted.VERDICT, **healthy}
        return name

    def experiment(self, given: dict[str, Any], most: int = 99) -> None:
        """Do at most so many runs of an experiment; judge it when none is left."""
        asked = asking.read(given, self.lab.root)
        under_way = conduct.open_experiment(asked, self.lab.bench, "2026-11-27T11:00:00Z")
        for _ in range(most):
            following = under_way.next()
            if following is None:
                under_way.conclude()
                return
            made, planned = under_way.registration, following.planned
            control = Bundle.open(under_way.place_of(made.control.bundle_id))
            inputs = grounds.side_inputs(control, made.variable, planned.side)
            assert following.values["code"] == inputs["git_revision"]
            name = str(following.values["bundle_id"])
            self.bundle(name, inputs)
            under_way.record(name, planned.place, planned.attempt)

    def search(self, **changes: Any) -> Search:
        while True:
            # Everything is read from the case again, as after an interruption.
            steps = self.open(**changes)
            due = steps.next()
            if due["run"]:
                steps.recorded(self.control(due["run"]))
            elif due["experiment"]:
                self.experiment(due["experiment"])
            else:
                return steps.search


@pytest.fixture
def world(lab: conducted.Lab, repository: Path, commits: list[str]) -> World:
    world = World(lab, repository, set(commits[CULPRIT - 1 :]))
    # What is slow is not healthy: its verdict says what must not be done next.
    world.stops = [{"id": "isolate_before_mixed", "text": "Run the isolated scenarios first."}]
    return world


def test_it_names_the_culprit_and_skips_what_does_not_build(
    world: World, commits: list[str]
) -> None:
    search = world.search()
    assert search.answered()
    suspect, share = search.suspects()[0]
    assert suspect == commits[CULPRIT - 1]
    assert 0.95 <= share < 1
    assert search.runs() == world.runs
    assert {skip.commit for skip in search.state.skipped} <= {commits[CULPRIT]}
    case = Case.load(world.lab.root / "cases", search._case.document.id)
    assert f"{suspect[:12]} change-{CULPRIT}" in max(
        case.document.belief.items(), key=lambda i: i[1]
    )
    assert "change-11" in standing(case.document)
    page = case_page.render(telling.told(case, {}))
    assert "The culprit is" in page
    assert case_page.render_markdown(telling.told(case, {})).count("The culprit is") == 1
    told = code_steps._told(world.open())
    assert told["outcome"] == "named"
    assert told["tell"]["exit_code"] == 0


def test_a_commit_that_does_not_build_is_skipped_with_its_output(
    world: World, commits: list[str]
) -> None:
    # The culprit is the commit that does not build: then it and the next one are suspects.
    world.slow = set(commits[CULPRIT:])
    search = world.search()
    assert not search.answered()
    assert {name for name, _ in search.suspects()[:2]} == set(commits[CULPRIT : CULPRIT + 2])
    (skip,) = search.state.skipped
    assert "exit code 1" in skip.why
    kept = world.lab.root / "cases" / search._case.document.id / str(skip.file)
    assert b"code.txt" in kept.read_bytes()
    assert "No commit is as likely as 95.0 %" in search.answer()


def test_killed_in_the_middle_of_a_step_it_goes_on(world: World) -> None:
    steps = world.open()
    steps.recorded(world.control(steps.next()["run"]))
    world.experiment(world.open().next()["experiment"], most=3)
    due = world.open().next()["experiment"]
    assert "extend" in due
    search = world.search()
    assert search.answered()
    experiments = search._case.document.experiments
    assert len(experiments[0].runs) == 8
    assert search.runs() == world.runs == 1 + 8 * len(experiments)
    assert len(list((world.lab.root / "cases").glob("*/case.json"))) == 1


@pytest.mark.parametrize("place", [CULPRIT - 1, 15])
def test_a_commit_whose_runs_were_disturbed_is_tried_again(
    world: World, commits: list[str], place: int
) -> None:
    # Three disturbed runs of one place end the experiment, which has told nothing of its commit.
    world.disturbed = {commits[place]: 3}
    search = world.search()
    stopped = [step for step in search.tried() if step.stopped]
    assert [step.place for step in stopped] == [place]
    assert search.suspects()[0][0] == commits[CULPRIT - 1]
    assert search.answered()


def test_a_bad_commit_that_is_like_the_good_one_ends_the_search(world: World) -> None:
    world.slow = set()
    search = world.search()
    assert len(search.tried()) == 1
    assert "There is nothing to search for" in search.answer()
    assert code_steps._told(world.open())["tell"]["exit_code"] == 3


def test_a_good_commit_that_is_not_good_is_refused(world: World, commits: list[str]) -> None:
    world.slow.add(code_of(world.repository, "good", BINARIES).commit)
    steps = world.open()
    with pytest.raises(RefusedError, match=r"The good commit does not show .* was 0\.45"):
        steps.recorded(world.control(steps.next()["run"]))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"good": "bad", "bad": "good"}, "bad is no ancestor of good"),
        ({"good": None}, "good is missing"),
        ({"stack_build_command": None}, "needs stack_build_command"),
        ({"expect": "no_such > 1"}, "no_such"),
        ({"sure": "2"}, "between 0.5 and 1"),
        ({"code": "x"}, "leave it out"),
        ({"expct": "x"}, "did you mean 'expect'"),
    ],
)
def test_what_cannot_be_searched_is_one_error(
    world: World, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        world.open(**changes)
    assert not (world.lab.root / "cases").exists()


def test_the_case_is_plain_json(world: World) -> None:
    case = world.open().case
    document = json.loads((case.directory / "case.json").read_text())
    assert len(document["bisection"]["commits"]) == 16
    assert BINARIES not in json.dumps(document)

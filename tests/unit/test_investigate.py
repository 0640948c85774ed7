"""An investigation from a failure to its cause, without a stack."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.unit.experiment_bundles import bundle, changed
from tests.unit.test_experiment_conduct import CONTROL, VERDICT, WORKLOAD, Lab, StandIn
from tests.unit.test_experiment_conduct import lab as lab

from wktriage.bundle.bundle import Bundle
from wktriage.cli.commands.triage import parse_extra_vars
from wktriage.core.errors import UsageError
from wktriage.experiments import asking, conduct, grounds, shelf, telling
from wktriage.experiments.case import Case
from wktriage.experiments.design import Side
from wktriage.experiments.investigation import candidates, investigate, journal, plan
from wktriage.experiments.investigation.investigate import Investigate
from wktriage.judging.proposals import Part, Proposal
from wktriage.report import case_page
from wktriage.run import record

FLUSH = "WK_CLUSTER_COMMIT_COORDINATOR_FLUSH_WINDOW"
EXPECT = "achieved_rate_ratio >= 0.95"


def proposal(cause: str, share: float, kind: str, **parts: Any) -> Proposal:
    experiment = {
        "kind": kind, "by": "harness", "knob": cause, "variable": parts.get("knob", cause),
        "from": None, "to": None, "expect": EXPECT, "expected_result": "", "check": None, **parts,
    }  # fmt: skip
    return Proposal(cause, share, {"statement": f"{cause} is to blame."}, experiment)


CONCURRENCY = proposal(
    "raise_concurrency", 0.6, "workload", knob="concurrency", **{"from": 2, "to": 128}
)
USERS = proposal("more_users", 0.2, "workload", knob="users", **{"from": 1000, "to": 2000})
GATEWAY = proposal("gateway_workers", 0.1, "config", **{"from": 128, "to": 512})
NODE_BACK = proposal(
    "node_back", 0.05, "state", by="person", knob=None, expected_result="Keep wk-node2 running.",
    check="nodes_frozen == 0",
)  # fmt: skip
AWAY = proposal("shipped_setting", 0.6, "config", knob=FLUSH, **{"from": "400ms", "to": "not set"})


@dataclasses.dataclass
class World:
    """What a stand-in cluster shows: the knob that is to blame, and how long a run takes."""

    lab: Lab
    monkeypatch: pytest.MonkeyPatch
    culprit: str
    proposals: tuple[Proposal, ...]
    now: float = 1_000_000.0
    run_seconds: float = 100.0
    healthy: tuple[int, ...] = ()
    """Which runs outside of experiments are healthy, counted from 0."""
    parts: tuple[Part, ...] = ()
    inputs: Mapping[str, Any] = dataclasses.field(default_factory=lambda: CONTROL)
    ran: int = 0
    scatter: tuple[float, ...] = (0.0,)
    """How far off the runs are in which the culprit is turned, one after the other."""

    def __post_init__(self) -> None:
        self.monkeypatch.setattr(candidates, "proposals", lambda of: list(self.proposals))
        self.monkeypatch.setattr(plan, "parts", lambda of: list(self.parts))
        for module in (investigate, plan):
            self.monkeypatch.setattr(module, "judge", grounds.judge)
        self.monkeypatch.setattr(investigate.time, "time", lambda: self.now)

    def begin(self, **given: Any) -> Investigate:
        workload = {name: str(value) for name, value in WORKLOAD.items()}
        values = {
            "scenario": "custom", "mode": "clean", "duration": 60, "connect_rate": 100,
            **workload, "runs_dir": str(self.lab.root / "runs"),
            "cases_dir": str(self.lab.root / "cases"), "seed": "7", "foreign_load": "0.6",
            "node_env": dict(self.inputs["node_env"]), **given,
        }  # fmt: skip
        asked = journal.read(values, self.lab.root)
        return investigate.begin(asked, self.lab.bench)

    def step(self, under_way: Investigate) -> bool:
        """Take one step as the play would, in a process of its own; tell whether there was one."""
        case_id = under_way.case.document.id
        cases = under_way.case.directory.parent
        here = investigate.resume(case_id, cases, self.lab.bench, under_way.state.ends_at)
        due = here.next()
        if due is None:
            return False
        if due.experiment:
            self.experiment(dict(due.experiment), under_way.state.ends_at)
            return True
        name = str(due.run["bundle_id"])
        workload = {
            key: int(due.run[key]) if isinstance(usual, int) else due.run[key]
            for key, usual in WORKLOAD.items()
        }
        self.made(name, changed(self.inputs, "workload", workload), str(due.run["scenario"]))
        again = investigate.resume(case_id, cases, self.lab.bench, under_way.state.ends_at)
        again.record(name)
        return True

    def made(self, name: str, inputs: Mapping[str, Any], scenario: str) -> None:
        category = "healthy" if self.ran in self.healthy else "client_bottleneck"
        self.lab.verdicts[name] = {**VERDICT, "bundle": name, "category": category}
        self.lab.values[name] = {"achieved_rate_ratio": 0.5}
        root = bundle(self.lab.root / "runs", name, inputs).root
        (root / "verdict.json").write_text("{}")
        self.ran += 1
        self.passes(name)

    def passes(self, name: str) -> None:
        timings = self.lab.root / "runs" / ".timings" / f"{name}.json"
        timings.parent.mkdir(exist_ok=True)
        timings.write_text(json.dumps({"wall": {"total": self.run_seconds}}))
        self.now += self.run_seconds + record.BETWEEN_SECONDS

    def experiment(self, given: dict[str, Any], ends_at: float, most: int = 99) -> None:
        under_way = conduct.open_experiment(asking.read(given, self.lab.root), self.lab.bench)
        while most and (following := under_way.next()) is not None:
            if self.now + self.run_seconds > ends_at:
                return
            made, side = under_way.registration, following.planned.side
            control = Bundle.open(under_way.place_of(made.control.bundle_id))
            name = str(following.values["bundle_id"])
            good = side is Side.TREATMENT and made.variable.knob == self.culprit
            done = sum(r.side is side for r in under_way.experiment.runs)
            off = self.scatter[done % len(self.scatter)] if good else 0.0
            seen = (0.97 if good else 0.5) + done / 1000 + off
            self.lab.values[name] = {"achieved_rate_ratio": seen}
            bundle(self.lab.root / "runs", name, grounds.side_inputs(control, made.variable, side))
            under_way.record(name, following.planned.place, following.planned.attempt)
            self.passes(name)
            most -= 1
        if most:
            under_way.conclude()

    def to_end(self, under_way: Investigate) -> journal.Investigation:
        while self.step(under_way):
            pass
        return self.document(under_way)

    def document(self, under_way: Investigate) -> journal.Investigation:
        case = Case.load(under_way.case.directory.parent, under_way.case.document.id)
        document = journal.load(case)
        assert document is not None
        return document


@pytest.fixture
def world(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(lab, monkeypatch, "concurrency", (CONCURRENCY, USERS, GATEWAY, NODE_BACK))


def kinds(document: journal.Investigation) -> list[str]:
    return [step.kind for step in document.steps]


def test_a_client_limit_is_isolated_by_itself(world: World) -> None:
    under_way = world.begin()
    document = world.to_end(under_way)
    assert kinds(document) == ["triage", "recur", "experiment"]
    assert document.ended is not None
    assert document.ended.how == "isolated"
    assert "concurrency 2 -> 128" in document.ended.why
    assert document.steps[1].came_of == "client bottleneck again: it recurs"
    case = Case.load(world.lab.root / "cases", under_way.case.document.id)
    data = telling.told(case, conduct.read_places(case))
    shown = case_page.investigation_lines(data)
    assert [label for label, _ in shown][3:] == ["step 1", "step 2", "step 3"]
    assert "does it recur?: client bottleneck again: it recurs" in shown[4][1]
    assert "concurrency 2 -&gt; 128, 4 runs a side" in case_page.render(data)


def test_a_refuted_hypothesis_gives_way_to_the_next_and_is_believed_less(world: World) -> None:
    world.culprit = "users"
    under_way = world.begin(budget="3h")
    while len(world.document(under_way).steps) < 3:
        world.step(under_way)
    case = Case.load(world.lab.root / "cases", under_way.case.document.id)
    before = case.document.belief["raise_concurrency"]
    document = world.to_end(under_way)
    tried = [step.cause for step in document.steps if step.kind == "experiment"]
    assert tried == ["raise_concurrency", "more_users"]
    assert document.ended is not None
    assert document.ended.how == "isolated"
    case = Case.load(world.lab.root / "cases", under_way.case.document.id)
    assert case.document.belief["raise_concurrency"] < 0.2
    assert before <= 0.6


def test_it_changes_nothing_that_it_was_not_told_it_may(world: World) -> None:
    world.culprit = "gateway_workers"
    document = world.to_end(world.begin(budget="5h"))
    assert document.ended is not None
    assert document.ended.how == "nothing_left"
    tried = [step.cause for step in document.steps if step.kind == "experiment"]
    assert "gateway_workers" not in tried
    assert any(
        "gateway_workers" in text and "-e may_change=settings,workload,configuration" in text
        for text in document.ended.next
    )
    assert any("Keep wk-node2 running." in text for text in document.ended.next)


def test_configuration_follows_the_workload_where_it_may(world: World) -> None:
    world.culprit = "gateway_workers"
    document = world.to_end(world.begin(budget="5h", may_change="workload,configuration"))
    tried = [step.cause for step in document.steps if step.kind == "experiment"]
    assert tried == ["raise_concurrency", "more_users", "gateway_workers"]
    assert document.ended is not None
    assert document.ended.how == "isolated"


def test_a_setting_is_taken_away_before_anything_else(world: World) -> None:
    world.culprit = "flush_window"
    world.inputs = changed(CONTROL, "node_env", {FLUSH: "400ms"})
    world.proposals = (CONCURRENCY, AWAY)
    document = world.to_end(world.begin())
    assert kinds(document) == ["triage", "recur", "experiment"]
    assert document.ended is not None
    assert f"{FLUSH} = 400ms taken away" in document.ended.why


def test_mixed_traffic_is_taken_apart_and_the_part_that_fails_goes_on(world: World) -> None:
    world.parts = (
        Part("person traffic", "custom", {**WORKLOAD, "users": 900}),
        Part("group traffic", "custom", {**WORKLOAD, "users": 800}),
    )
    world.healthy = (2,)
    under_way = world.begin(budget="3h")
    document = world.to_end(under_way)
    assert kinds(document) == ["triage", "recur", "isolate", "isolate", "experiment"]
    assert document.control is not None
    assert document.control.what == "group traffic alone"
    case = Case.load(world.lab.root / "cases", under_way.case.document.id)
    assert case.registration(1).control.bundle_id == document.control.bundle


def test_its_runs_are_not_pruned(world: World) -> None:
    document = world.to_end(world.begin(budget="3m"))
    plan = shelf.plan_prune(world.lab.root / "runs", world.lab.root / "cases", keep=0)
    assert document.steps[0].bundle in [row.id for row, _ in plan.needed]


def test_a_refused_experiment_is_passed_over_with_its_reason(world: World) -> None:
    unsynced = proposal("commit_sync", 0.9, "config", **{"from": True, "to": "false"})
    world.proposals = (unsynced, CONCURRENCY)
    document = world.to_end(world.begin(may_change="configuration"))
    assert kinds(document) == ["triage", "recur", "passed"]
    assert "commits are no longer synced" in str(document.steps[2].came_of)


def test_a_small_budget_says_that_there_are_fewer_repeats(world: World) -> None:
    document = world.to_end(world.begin(budget="14m"))
    assert "2 runs a side instead of 4" in document.steps[2].what
    assert document.ended is not None
    assert document.ended.how == "budget"
    assert any("-e extend=" in text for text in document.ended.next)
    # 14 minutes are what two runs and four of an experiment take; none more was begun.
    assert document.spent <= 14 * 60


def test_a_run_that_would_not_fit_is_not_begun(world: World) -> None:
    document = world.to_end(world.begin(budget="3m"))
    assert kinds(document) == ["triage"]
    assert document.ended is not None
    assert document.ended.how == "budget"
    assert document.ended.next[0] == "the same once more: does it recur?"


def test_with_more_time_it_goes_on_where_it_ended(world: World) -> None:
    first = world.begin(budget="3m")
    world.to_end(first)
    again = world.begin(case=first.case.document.id, scenario=None, budget="1h")
    document = world.to_end(again)
    assert kinds(document) == ["triage", "recur", "experiment"]
    assert document.ended is not None
    assert document.ended.how == "isolated"


def test_killed_in_an_experiment_it_goes_on_and_does_no_run_again(world: World) -> None:
    under_way = world.begin()
    world.step(under_way)
    world.step(under_way)
    due = investigate.resume(
        under_way.case.document.id,
        world.lab.root / "cases",
        world.lab.bench,
        under_way.state.ends_at,
    ).next()
    assert due is not None
    world.experiment(dict(due.experiment), under_way.state.ends_at, most=3)
    again = world.begin()
    assert again.case.document.id == under_way.case.document.id
    assert again.state.left == pytest.approx(45 * 60 - 5 * 120, abs=1)
    document = world.to_end(again)
    assert kinds(document) == ["triage", "recur", "experiment"]
    case = Case.load(world.lab.root / "cases", under_way.case.document.id)
    assert len(case.experiment(1).runs) == 8
    assert document.ended is not None
    assert document.ended.how == "isolated"


def test_an_experiment_that_runs_out_of_time_is_left_open(world: World) -> None:
    under_way = world.begin(budget="20m")
    world.step(under_way)
    world.step(under_way)
    world.run_seconds = 300
    document = world.to_end(under_way)
    assert document.ended is not None
    assert document.ended.how == "budget"
    assert document.steps[-1].came_of is None


def test_an_undecided_experiment_gets_the_pairs_that_it_asks_for(world: World) -> None:
    world.scatter = (0.0, 0.0, 0.0, -0.42)
    document = world.to_end(world.begin(budget="20h"))
    tried = [step for step in document.steps if step.cause == "raise_concurrency"]
    assert tried[0].what == "concurrency 2 -> 128, 4 runs a side"
    assert tried[1].what.endswith("of runs of the last experiment")
    assert {step.number for step in tried} == {1}


def test_few_runs_that_were_asked_for_stay_few(world: World) -> None:
    document = world.to_end(world.begin(budget="20h", repeats="2"))
    assert [step.cause for step in document.steps if step.kind == "experiment"] == [
        "raise_concurrency",
        "more_users",
    ]
    assert document.ended is not None
    assert any("-e extend=" in text for text in document.ended.next)


def test_a_healthy_run_and_one_that_does_not_recur_end_it(world: World) -> None:
    world.healthy = (0,)
    document = world.to_end(world.begin())
    assert document.ended is not None
    assert (kinds(document), document.ended.how) == (["triage"], "healthy")
    world.ran, world.healthy = 0, (1,)
    document = world.to_end(world.begin())
    assert document.ended is not None
    assert (kinds(document), document.ended.how) == (["triage", "recur"], "not_again")


def test_it_may_begin_with_a_bundle(world: World) -> None:
    given = {"scenario", "mode", "connect_rate", "node_env", *WORKLOAD}
    under_way = world.begin(bundle="control", **dict.fromkeys(given))
    document = world.to_end(under_way)
    assert kinds(document) == ["triage", "recur", "experiment"]
    assert document.steps[0].bundle == "control"
    assert document.ended is not None
    assert document.ended.how == "isolated"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"may_change": "code"}, "for a person to say"),
        ({"may_change": "worklod"}, "did you mean 'workload'"),
        ({"budget": "soon"}, "a time such as 45m"),
        ({"scenario": None}, "nothing to investigate"),
        ({"bundle": "control"}, "is the bundle's own"),
        ({"budgt": "1h"}, "did you mean 'budget'"),
        ({"repeats": "0"}, "from 1 to 100"),
    ],
)
def test_what_cannot_be_used_is_one_error(world: World, given: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        world.begin(**given)


def test_budgets_are_read_as_they_are_typed(tmp_path: Path) -> None:
    values = parse_extra_vars(("scenario=custom", "budget=1h30m"))
    assert journal.read(values, tmp_path).document.budget == 5400
    assert isinstance(StandIn("compose", True, tmp_path), grounds.Bench)

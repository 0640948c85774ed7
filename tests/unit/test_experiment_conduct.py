"""One experiment from what was asked to its outcome, without a stack."""

from __future__ import annotations

import dataclasses
import itertools
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.unit.experiment_bundles import INPUTS, bundle, changed

from wktriage.bundle import fingerprint
from wktriage.bundle.bundle import Bundle
from wktriage.cli.experiment_steps import Step
from wktriage.core.errors import UsageError
from wktriage.core.model import Signal, SignalSet
from wktriage.core.paths import PROJECT
from wktriage.experiments import (
    asking,
    conclusions,
    conduct,
    finding,
    grounds,
    hypothesis,
    mentions,
    telling,
    variables,
)
from wktriage.experiments import registration as registrations
from wktriage.experiments.design import Side
from wktriage.experiments.grounds import Bench, RefusedError
from wktriage.experiments.outcomes import ExperimentOutcome
from wktriage.experiments.registration import TamperedError
from wktriage.judging import signals
from wktriage.judging.verdict import judge as real_judge
from wktriage.report import CaseLink, case_page, page, summary
from wktriage.request.request import Request, StackHost

WORKLOAD = {
    "users": 1000,
    "person_channels": 500,
    "group_channels": 0,
    "group_members": 10,
    "rate": "0.25/s",
    "concurrency": 2,
    "warmup": "10s",
    "verify_recv": "none",
}
CONTROL = {**INPUTS, "workload": WORKLOAD, "scenario": "custom"}
VERDICT = {
    "bundle": "control",
    "category": "client_bottleneck",
    "component": "client",
    "confidence": 0.8,
    "hypothesis": {"id": "raise_concurrency", "statement": "The limit in flight caps the rate."},
    "next_experiment": {
        "knob": "concurrency",
        "to": 128,
        "expect": "achieved_rate_ratio >= 0.95",
        "falsified_if": "not (achieved_rate_ratio >= 0.95)",
    },
    "hard_stops": [],
    "scenario": {"name": "custom", "mode": "clean"},
}
RATIOS = {Side.CONTROL: (0.50, 0.52, 0.51, 0.49), Side.TREATMENT: (0.99, 0.98, 1.0, 0.97)}


class StandIn(Bench):
    """A bench that has no stack: it takes any request as it is."""

    def check(self, values: Mapping[str, Any]) -> Request:
        return Request(
            scenario=values["scenario"], duration=values["duration"], mode=values["mode"],
            driver="compose", stack_build="auto", project="x",
            node_env=dict(values.get("node_env", {})), connect_rate=values.get("connect_rate"),
            workload={k: values[k] for k in WORKLOAD}, checkout=None, data_root="", runs_dir="",
            fail_on="never", profile_seconds=values.get("profile_seconds", 10), keep_stack=False,
            incident=None, bundle_id="x",
        )  # fmt: skip


@dataclasses.dataclass
class Lab:
    """A runs directory with a control, and what each run that is made shows."""

    root: Path
    bench: Bench
    values: dict[str, dict[str, Any]]
    verdicts: dict[str, dict[str, Any]]

    def ask(self, **given: Any) -> asking.Asked:
        values = {
            "control": str(self.root / "runs" / "control"),
            "variable": "concurrency",
            "value": "64",
            "expect": "achieved_rate_ratio >= 0.95",
            "min_effect": "10%",
            "seed": "7",
            "runs_dir": str(self.root / "runs"),
            "cases_dir": str(self.root / "cases"),
        }
        return asking.read({**values, **given}, self.root)

    def open(self, **given: Any) -> conduct.Conduct:
        return conduct.open_experiment(self.ask(**given), self.bench, "2026-11-27T10:00:00Z")

    def extend(self, case_id: str) -> conduct.Conduct:
        places = {name: str(self.root / name.split("_")[0]) for name in ("runs_dir", "cases_dir")}
        return conduct.open_experiment(
            asking.read({"extend": case_id, **places}, self.root), self.bench
        )

    def run(self, under_way: conduct.Conduct, **seen: Any) -> bool:
        """Do the run that is due, as the play would; tell whether there was one."""
        following = under_way.next()
        if following is None:
            return False
        side = following.planned.side
        made = under_way.registration
        control = Bundle.open(self.root / "runs" / "control")
        inputs = grounds.side_inputs(control, made.variable, side)
        name = str(following.values["bundle_id"])
        done = sum(r.side is side and r.excluded is None for r in under_way.experiment.runs)
        self.values[name] = {"achieved_rate_ratio": RATIOS[side][done % 4], **seen}
        bundle(self.root / "runs", name, inputs)
        under_way.record(name, following.planned.place, following.planned.attempt)
        return True


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    made = bundle(tmp_path / "runs", "control", CONTROL)
    (made.root / "verdict.json").write_text("{}")
    bench = StandIn("compose", True, tmp_path, (StackHost("localhost", "127.0.0.1", True),))
    ours = Lab(tmp_path, bench, {"control": {"achieved_rate_ratio": 0.5}}, {"control": VERDICT})

    def compute(of: Bundle) -> SignalSet:
        catalogue = signals.catalogue()
        told = SignalSet(names=catalogue)
        quiet = {
            "status_longest_gap": 1.0, "collector_window_valid": True,
            "collection_interrupted": False, "foreign_cpu_of_host": 0.1, "send_errors": 0,
            "recv_errors": 0,
        }  # fmt: skip
        for name, value in {**quiet, **ours.values[of.bundle_id]}.items():
            told.add(Signal(name, str(catalogue[name]["unit"]), value))
        return told

    numbers = itertools.count()
    monkeypatch.setattr(signals, "compute", compute)
    monkeypatch.setattr(
        conduct, "new_bundle_id", lambda name: f"20261127T100000Z-{name}-{next(numbers):04x}"
    )
    for module in (conduct, grounds):
        monkeypatch.setattr(
            module, "judge", lambda of: ours.verdicts.get(of.bundle_id, {"hard_stops": []})
        )
    return ours


def test_the_two_sides_differ_in_exactly_the_variable(lab: Lab) -> None:
    under_way = lab.open()
    control = Bundle.open(lab.root / "runs" / "control")
    one, other = (
        grounds.side_inputs(control, under_way.registration.variable, side) for side in Side
    )
    assert fingerprint.compare({"inputs": one}, {"inputs": other}) == ["workload.concurrency"]
    predicted = lab.bench.predict(
        lab.bench.check(grounds.run_values(lab.bench, {}, other, 60, 0)), CONTROL
    )
    assert fingerprint.compare({"inputs": one}, {"inputs": predicted}) == ["workload.concurrency"]


def test_supported_from_registration_to_page(lab: Lab) -> None:
    under_way = lab.open()
    while lab.run(under_way):
        assert "control" not in under_way.progress()
        assert "treatment" not in under_way.progress()
    outcome = under_way.conclude()
    assert outcome.outcome == "supported"
    assert len(under_way.experiment.runs) == 8
    data = telling.told(under_way.case, conduct.read_places(under_way.case))
    page = case_page.render(data)
    assert "it held in 4 of 4 treatment runs and in 0 of 4 control runs" in page
    # Eight points of runs and the one of the change.
    assert page.count("<circle") == 9
    assert telling.write(under_way.case, {}).name == "case.html"
    # Asked again, it says the same and judges nothing anew.
    again = lab.open()
    assert again.next() is None
    assert again.conclude() == outcome
    assert len(again.experiment.outcomes) == 1


def test_controls_of_earlier_experiments_are_the_noise_of_the_next(lab: Lab) -> None:
    measured = []
    for value in ("64", "128", "256"):
        under_way = lab.open(value=value)
        while lab.run(under_way):
            pass
        measured.append(under_way.conclude().signals[0])
    assert [signal.noise_floor is None for signal in measured] == [True, True, False]
    remarks = [signal.noise.partition("and there ")[2] for signal in measured[:2]]
    assert remarks == ["are none.", "are 4."]
    data = telling.told(under_way.case, {})
    page, text = case_page.render(data), case_page.render_markdown(data)
    for shown in (page, text):
        assert shown.count("Noise not measured") >= 2
        assert "Noise measured in 8 equal runs, each on its own stack, on 1 day." in shown
    assert "own noise (" in page
    reason = conclusions.eligible(under_way.case, {}).conditions[1].text
    assert reason.startswith("A workload experiment explains it: concurrency (experiment 1; noise")


def test_runs_of_another_length_are_no_witness_to_noise(lab: Lab) -> None:
    for value in ("64", "128"):
        under_way = lab.open(value=value)
        while lab.run(under_way):
            pass
        under_way.conclude()
    longer = lab.open(value="256", duration="120")
    while lab.run(longer):
        pass
    assert longer.conclude().signals[0].noise.endswith("and there are none.")


def test_killed_after_run_three_it_goes_on_and_ends_the_same(lab: Lab) -> None:
    for _ in range(3):
        lab.run(lab.open())
    assert len(lab.open().experiment.runs) == 3
    under_way = lab.open()
    while lab.run(under_way):
        pass
    assert len(under_way.experiment.runs) == 8
    assert under_way.conclude().outcome == "supported"


def test_what_is_under_way_shows_no_side_and_no_value(lab: Lab) -> None:
    under_way = lab.open()
    for _ in range(3):
        lab.run(under_way)
    page = case_page.render(telling.told(under_way.case, {}))
    assert "Nothing is compared before the last planned run" in page
    assert "0.99" not in page
    assert "side-treatment" not in page.split("<main>")[1]


def test_a_disturbed_run_is_shown_and_repeated(lab: Lab) -> None:
    under_way = lab.open()
    lab.run(under_way, foreign_cpu_of_host=0.9)
    first = under_way.experiment.runs[0]
    assert first.excluded is not None
    following = under_way.next()
    assert following is not None
    assert (following.planned.place, following.planned.attempt) == (0, 2)


def test_a_run_on_another_stack_is_not_taken(lab: Lab) -> None:
    under_way = lab.open()
    following = under_way.next()
    assert following is not None
    name = str(following.values["bundle_id"])
    lab.values[name] = {"achieved_rate_ratio": 0.5}
    bundle(lab.root / "runs", name, changed(CONTROL, "git_revision", "b" * 40))
    with pytest.raises(TamperedError, match="code is not as registered"):
        under_way.record(name, 0, 1)


def test_a_swapped_bundle_is_detected(lab: Lab) -> None:
    under_way = lab.open()
    while lab.run(under_way):
        pass
    name = under_way.experiment.runs[0].bundle.bundle_id
    (lab.root / "runs" / name / "window.json").write_text("{}")
    with pytest.raises(TamperedError, match=r"window\.json"):
        under_way.conclude()


def test_an_edited_registration_is_detected(lab: Lab) -> None:
    under_way = lab.open()
    path = under_way.case.directory / "experiments" / "1" / "registration.json"
    path.write_bytes(path.read_bytes().replace(b"0.95", b"0.55"))
    with pytest.raises(TamperedError, match="edited after the fact"):
        conduct.resume(under_way.case.document.id, 1, lab.ask(), lab.bench)


def test_the_proposal_of_the_verdict_as_it_stands(lab: Lab) -> None:
    given = {"variable": None, "value": None, "expect": None, "min_effect": None}
    made = lab.open(proposal="1", **given).registration
    assert (made.variable.knob, made.variable.after) == ("concurrency", 128)
    assert (made.cause, made.expected) == ("raise_concurrency", "achieved_rate_ratio >= 0.95")


def test_few_repeats_ask_for_more_and_are_extended(lab: Lab) -> None:
    under_way = lab.open(repeats="2")
    while lab.run(under_way):
        pass
    outcome = under_way.conclude()
    assert (outcome.outcome, outcome.more_pairs) == ("inconclusive", 2)
    extended = lab.extend(under_way.case.document.id)
    assert extended.experiment.repeats == 4
    while lab.run(extended):
        pass
    assert len(extended.experiment.runs) == 8
    assert extended.conclude().outcome == "supported"


def test_errors_that_went_in_half_of_the_runs_ask_for_more_and_are_extended(lab: Lab) -> None:
    lab.values["control"] = {"recv_errors": 3}
    lost = {Side.CONTROL: itertools.cycle([11, 0]), Side.TREATMENT: itertools.cycle([0])}

    def finish(under_way: conduct.Conduct) -> ExperimentOutcome:
        while (due := under_way.next()) is not None:
            lab.run(under_way, recv_errors=next(lost[due.planned.side]))
        return under_way.conclude()

    under_way = lab.open(expect="recv_errors == 0")
    outcome = finish(under_way)
    assert (outcome.outcome, outcome.more_pairs) == ("inconclusive", 12)
    case_id = under_way.case.document.id
    data = telling.told(under_way.case, {})
    shown = case_page.outcome_lines(data, 1)
    command = f"wktriage experiment -e extend={case_id}"
    assert ["next", f"{command} runs 12 more pairs of runs"] in shown
    for text in (case_page.render(data), case_page.render_markdown(data), str(shown)):
        assert "At these shares, 12 more pairs would decide." in text
    extended = lab.extend(case_id)
    assert extended.experiment.repeats == 16
    assert finish(extended).outcome == "supported"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"expect": "achieved_rate_ratio >= 0.2"}, "satisfies the expectation already"),
        ({"expect": "storage_commit_mean <= 0.005"}, "does not tell storage_commit_mean"),
        ({"stop_if": "achieved_rate_ratio < 0.9"}, "meets the stop condition already"),
        (
            {"variable": "gateway_workers", "value": "512"},
            "An experiment on concurrency, which the verdict proposes",
        ),
        (
            {"variable": "commit_sync", "value": "false", "cause": "raise_concurrency"},
            "commits are no longer synced",
        ),
        ({"variable": "rate", "value": "0.1/s"}, "A lower rate relieves any limit"),
    ],
)
def test_refused_before_anything_is_there(lab: Lab, given: dict[str, str], says: str) -> None:
    with pytest.raises(RefusedError, match=says):
        lab.open(**given)
    assert not (lab.root / "cases").exists()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"value": "2"}, "nothing would change"),
        ({"value": "many"}, "must be a whole number"),
        ({"variable": "concurency"}, "did you mean 'concurrency'"),
        ({"expect": "no_such >= 1"}, "no_such"),
        ({"control": "nowhere"}, "no such directory"),
        ({"min_effect": "much"}, "is no size"),
        ({"scenario": "custom"}, "scenario is the control's"),
        ({"expct": "x"}, "did you mean 'expect'"),
        ({"proposal": "1"}, "takes the verdict's own variable"),
        ({"expect": None, "min_effect": None}, "expect and min_effect are missing"),
    ],
)
def test_what_cannot_be_used_is_one_error(lab: Lab, given: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        lab.open(**given)


def test_an_unclassified_control_is_refused(lab: Lab) -> None:
    (lab.root / "runs" / "control" / "verdict.json").unlink()
    with pytest.raises(RefusedError, match="wktriage classify"):
        lab.open()
    (lab.root / "runs" / "control" / "verdict.json").write_text("{}")
    lab.verdicts["control"] = {**VERDICT, "category": "insufficient_evidence"}
    with pytest.raises(RefusedError, match="evidence is insufficient"):
        lab.open()


def test_configuration_may_follow_once_the_workload_is_decided(lab: Lab) -> None:
    under_way = lab.open()
    while lab.run(under_way):
        pass
    under_way.conclude()
    second = lab.open(variable="gateway_workers", value="512")
    assert second.case.document.id == under_way.case.document.id
    assert second.number == 2
    # What answers the question heads the page, whatever is tried after it.
    data = telling.told(second.case, {})
    assert (data["outcome"], data["head"]) == ("supported", 1)
    assert "Experiment 2</a>, gateway_workers: not set → 512" in case_page.render(data)


def test_taking_a_setting_away(lab: Lab) -> None:
    inputs = changed(CONTROL, "node_env", {"WK_CLUSTER_COMMIT_COORDINATOR_FLUSH_WINDOW": "400ms"})
    variable = variables.variable_of("flush_window", "", inputs)
    assert (variable.before, variable.after) == ("400ms", None)
    assert variables.applied(inputs, variable)["node_env"] == {}
    assert variables.shipped(variable) == "1ms"


def test_a_preset_with_one_value_changed_is_custom() -> None:
    smoke = {**CONTROL, "scenario": "smoke-default",
             "workload": {**WORKLOAD, "group_channels": 500, "concurrency": 128}}  # fmt: skip
    variable = variables.variable_of("concurrency", "256", smoke)
    asked = variables.asked_of(variables.applied(smoke, variable))
    assert (asked["scenario"], asked["concurrency"], asked["users"]) == ("custom", 256, 1000)
    assert variables.asked_of(smoke)["scenario"] == "smoke-default"


def test_a_proposal_for_a_person_is_no_experiment_of_ours(lab: Lab) -> None:
    proposal = {"kind": "state", "variable": "process of wk-node1", "to": "running", "knob": None}
    with pytest.raises(UsageError, match="not one setting that could be compared"):
        hypothesis.terms(
            dataclasses.replace(lab.ask(), proposal=1), {"next_experiment": proposal}, CONTROL
        )


def test_the_rule_for_foreign_load_is_registered_as_asked(lab: Lab) -> None:
    made = lab.open(foreign_load="0.6").registration
    assert made.disturbed_if[0] == "foreign_cpu_of_host > 0.70"
    assert registrations.FOREIGN_LOAD == 0.25


def test_no_run_is_begun_that_would_end_too_late(lab: Lab) -> None:
    under_way = lab.open()
    step = Step(lab.ask(), lab.bench)
    where = {"case": under_way.case.document.id, "number": 1}
    assert step.take("next", {**where, "ends_by": 1.0})["run"] == {}
    # It is not judged before its last run, and goes on when there is time again.
    assert step.take("judged", where)["outcome"] == ""
    assert step.take("next", {**where, "ends_by": 0.0})["run"]["scenario"] == "custom"


def test_a_report_links_to_its_case_only_where_the_bundle_is_ours(lab: Lab) -> None:
    under_way = lab.open()
    runs = lab.root / "runs"
    (link,) = mentions.of(runs / "control", runs)
    assert link.id == under_way.case.document.id
    assert link.href == f"../../cases/{link.id}/case.html"
    assert link.standing == "experiment 1: 0 of 8 runs"
    # Judged anywhere else, a bundle has the bytes that it always had.
    elsewhere = lab.root / "elsewhere"
    (runs / "control").rename(elsewhere)
    assert mentions.of(elsewhere, runs) == []


def test_the_report_of_a_control_links_to_its_case(incident: Path, tmp_path: Path) -> None:
    verdict = real_judge(Bundle.open(incident))
    linked = CaseLink("why", "../../cases/why/case.html", "supported", "Why is it slow?")
    text = summary.render(verdict, [linked])
    assert text.count("- case: [why](../../cases/why/case.html), supported") == 2
    assert "- case:" not in summary.render(verdict)
    shown = page.render(Bundle.open(incident), verdict, [linked])
    assert '<a href="../../cases/why/case.html">Case: Why is it slow?</a> (supported)' in shown


@pytest.fixture(scope="module")
def incident(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("incident")
    with tarfile.open(PROJECT / "incidents" / "baseline.tar.xz") as archive:
        archive.extractall(root, filter="data")
    return next(root.iterdir())


def test_places_of_bundles_are_a_hint_only(lab: Lab) -> None:
    under_way = lab.open()
    lab.run(under_way)
    places = json.loads((under_way.case.directory / "evidence" / conduct.PLACES).read_text())
    assert set(places) == {"control", under_way.experiment.runs[0].bundle.bundle_id}


def test_the_finding_is_written_once(lab: Lab) -> None:
    under_way = lab.open()
    with pytest.raises(UsageError, match="no experiment has an outcome yet"):
        conclusions.entry_of(under_way.case)
    while lab.run(under_way):
        pass
    under_way.conclude()
    checkout = lab.root / "checkout"
    checkout.mkdir()
    shown = conclusions.record(under_way.case, checkout, dry=True)
    assert shown.changed
    assert "supported" in shown.diff()
    assert not (checkout / finding.PATH).exists()
    assert conclusions.record(under_way.case, checkout).changed
    text = (checkout / finding.PATH).read_text()
    assert "`concurrency` 2 -> 64, 4 runs a side" in " ".join(text.split())
    assert not conclusions.record(under_way.case, checkout).changed
    assert (checkout / finding.PATH).read_text() == text


def test_a_case_without_its_conditions_allows_no_code(lab: Lab) -> None:
    under_way = lab.open()
    answer = conclusions.eligible(under_way.case, {})
    assert (answer.code_change_needed, answer.first_unmet) == ("no", "named_failure_mode")
    with pytest.raises(UsageError, match="needs -e wukongim_checkout"):
        conclusions.eligible(under_way.case, {"regression_test": "go test . -run X"})
    with pytest.raises(UsageError, match="did you mean 'because'"):
        conclusions.eligible(under_way.case, {"becuase": "x"})

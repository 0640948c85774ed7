from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.unit.experiment_bundles import CATALOGUE, INPUTS, bundle, changed, signals

from wktriage.core.errors import UsageError
from wktriage.experiments import compare, grounds, refusals
from wktriage.experiments.refusals import Control, Explanation, Request

VERDICT = {"bundle": "b1", "category": "client_bottleneck", "component": "client"}
FLUSH = "WK_CLUSTER_COMMIT_COORDINATOR_FLUSH_WINDOW"
SYNC = "WK_CLUSTER_COMMIT_COORDINATOR_SYNC"


def control(
    root: Path,
    inputs: Mapping[str, Any] = INPUTS,
    verdict: Mapping[str, Any] | None = VERDICT,
    found: Mapping[str, Any] | None = None,
    **more: Any,
) -> Control:
    values = {"achieved_rate_ratio": 0.2, **(found or {})}
    return Control(bundle(root, "b1", inputs, **more), verdict, signals(**values))


def request(**changes: Any) -> Request:
    parts: dict[str, Any] = {
        "knob": "concurrency",
        "kind": "workload",
        "fingerprint_input": "workload.concurrency",
        "before": 2,
        "after": 64,
        "cause": "client-concurrency",
        "expected": "achieved_rate_ratio >= 0.95",
        "treatment_inputs": changed(INPUTS, "workload.concurrency", 64),
        "observed": {"data_bytes_at_start": 0},
    }
    return Request(**{**parts, **changes})


def setting(name: str, before: Any, after: Any, **changes: Any) -> tuple[dict[str, Any], Request]:
    """Return the control's inputs and a request that turns a setting of the nodes."""
    held = changed(INPUTS, "node_env", {} if before is None else {name: before})
    parts: dict[str, Any] = {
        "knob": name.lower(),
        "kind": "config",
        "fingerprint_input": f"node_env.{name}",
        "before": before,
        "after": after,
        "treatment_inputs": changed(held, "node_env", {} if after is None else {name: after}),
    }
    return held, request(**{**parts, **changes})


def ids(held: Control, asked: Request) -> list[str]:
    return [r.id for r in refusals.refusals(held, asked, CATALOGUE)]


def test_a_sound_request_is_accepted(tmp_path: Path) -> None:
    assert ids(control(tmp_path), request()) == []


def test_every_refusal_has_reason_and_remedy(tmp_path: Path) -> None:
    held = control(tmp_path, verdict=None, baseline={"healthy": False})
    asked = request(treatment_inputs=changed(INPUTS, "profiled", "none"), kind="config")
    for refusal in refusals.refusals(held, asked, CATALOGUE):
        assert refusal.reason.endswith(".")
        assert refusal.remedy.endswith(".")
        assert str(refusal) == f"{refusal.reason} {refusal.remedy}"


LIMIT_OPEN = (Explanation("client-concurrency", "workload", "concurrency"),)
WINDOW_OPEN = (Explanation("commit-window", "config", "flush_window"),)
RATE = "workload.rate"
SLOWER = changed(INPUTS, RATE, "0.125/s")
OTHER_CODE = {
    "kind": "code", "knob": "code", "fingerprint_input": "code", "before": "a", "after": "b",
    "treatment_inputs": changed(INPUTS, "git_revision", "b" * 40),
}  # fmt: skip
EVERY: list[tuple[str, dict[str, Any], Any]] = [
    ("unclassified", {"verdict": None}, {}),
    ("unclassified", {"verdict": {**VERDICT, "category": "insufficient_evidence"}}, {}),
    ("baseline", {"baseline": {"healthy": False}}, {}),
    ("mode", {"observed": {"data_bytes_at_start": 5_000_000}}, {}),
    ("inputs", {}, {"treatment_inputs": INPUTS}),
    ("inputs", {}, {"treatment_inputs": changed(SLOWER, "workload.concurrency", 64)}),
    ("profiled", {}, {"treatment_inputs": changed(request().treatment_inputs, "profiled", "none")}),
    ("durability", {}, setting(SYNC, None, "false")[1]),
    ("durability", {}, setting("WK_CLUSTER_CHANNEL_REPLICA_N", None, "1", shipped="3")[1]),
    ("workload_first", {}, setting(FLUSH, None, "2ms", cause="x", explanations=LIMIT_OPEN)[1]),
    ("workload_first", {}, {**OTHER_CODE, "cause": "x", "explanations": LIMIT_OPEN}),
    ("workload_first", {}, {**OTHER_CODE, "cause": "x", "explanations": WINDOW_OPEN}),
    ("isolate", {}, {"isolates": ("person-hotpath", "group-fanout")}),
    ("satisfied", {"found": {"achieved_rate_ratio": 0.97}}, {}),
    ("stop", {"found": {"send_errors": 3}}, {"stop_if": "send_errors > 0"}),
    ("same_prediction", {}, {
        "knob": "rate", "before": "0.25/s", "after": "0.125/s", "fingerprint_input": RATE,
        "treatment_inputs": SLOWER,
    }),
]  # fmt: skip
"""What is refused, and for nothing else than this."""


@pytest.mark.parametrize(("refused", "held", "asked"), EVERY)
def test_each_refusal_alone_with_reason_and_remedy(
    tmp_path: Path, refused: str, held: dict[str, Any], asked: Any
) -> None:
    made = request(**asked) if isinstance(asked, dict) else asked
    (refusal,) = refusals.refusals(control(tmp_path, **held), made, CATALOGUE)
    assert refusal.id == refused
    assert refusal.reason.endswith(".")
    assert refusal.remedy.endswith(".")


def test_every_refusal_is_in_the_table_and_in_the_documentation() -> None:
    # That of accumulated data asks the stack: test_experiment_conduct.py shows it.
    shown = {refused for refused, _, _ in EVERY} | {"snapshot"}
    sources = [Path(module.__file__).read_text() for module in (refusals, grounds)]
    made = {name for text in sources for name in re.findall(r'Refusal\(\s*"(\w+)"', text)}
    page = (Path(__file__).parents[2] / "docs" / "experiments.md").read_text()
    section = page.partition("## What is refused")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", section, re.MULTILINE)
    assert made == shown
    assert sorted(listed) == sorted(made)


class TestControl:
    @pytest.mark.parametrize(
        "verdict",
        [None, {**VERDICT, "category": "insufficient_evidence"}, {**VERDICT, "bundle": "b2"}],
    )
    def test_unclassified(self, tmp_path: Path, verdict: Any) -> None:
        assert ids(control(tmp_path, verdict=verdict), request()) == ["unclassified"]

    def test_without_healthy_baseline(self, tmp_path: Path) -> None:
        assert ids(control(tmp_path, baseline={"healthy": False}), request()) == ["baseline"]

    def test_without_any_baseline(self, tmp_path: Path) -> None:
        held = control(tmp_path)
        (held.bundle.root / "references/baseline.json").unlink()
        again = Control(type(held.bundle).open(held.bundle.root), VERDICT, held.signals)
        assert ids(again, request()) == ["baseline"]

    def test_the_baseline_itself_needs_none(self, tmp_path: Path) -> None:
        inputs = changed(INPUTS, "scenario", "smoke-default")
        held = control(tmp_path, inputs, baseline={"healthy": False})
        asked = request(treatment_inputs=changed(inputs, "workload.concurrency", 64))
        assert ids(held, asked) == []


class TestInputs:
    def test_nothing_changes(self, tmp_path: Path) -> None:
        (refusal,) = refusals.refusals(
            control(tmp_path), request(treatment_inputs=INPUTS), CATALOGUE
        )
        assert refusal.id == "inputs"
        assert "whether the failure recurs" in refusal.remedy

    def test_two_change(self, tmp_path: Path) -> None:
        inputs = changed(changed(INPUTS, "workload.concurrency", 64), "workload.users", 10)
        (refusal,) = refusals.refusals(
            control(tmp_path), request(treatment_inputs=inputs), CATALOGUE
        )
        assert "workload.concurrency, workload.users" in refusal.reason

    def test_another_than_the_declared_one_changes(self, tmp_path: Path) -> None:
        inputs = changed(INPUTS, "workload.users", 10)
        (refusal,) = refusals.refusals(
            control(tmp_path), request(treatment_inputs=inputs), CATALOGUE
        )
        assert "differ in workload.users, not in concurrency alone" in refusal.reason

    def test_unknown_is_not_equal(self, tmp_path: Path) -> None:
        inputs = changed(INPUTS, "git_revision", None)
        asked = request(treatment_inputs=changed(inputs, "workload.concurrency", 64))
        (refusal,) = refusals.refusals(control(tmp_path, inputs), asked, CATALOGUE)
        assert "git_revision" in refusal.reason

    def test_a_preset_with_one_value_changed_is_one_variable(self, tmp_path: Path) -> None:
        inputs = changed(INPUTS, "scenario", "smoke-default")
        treatment = changed(changed(inputs, "scenario", "custom"), "workload.concurrency", 64)
        assert ids(control(tmp_path, inputs), request(treatment_inputs=treatment)) == []

    def test_code_is_one_variable(self, tmp_path: Path) -> None:
        treatment = changed(changed(INPUTS, "image", "other"), "git_revision", "b" * 40)
        asked = request(kind="code", knob="code", fingerprint_input="code", before="a", after="b",
                        treatment_inputs=treatment)  # fmt: skip
        assert ids(control(tmp_path), asked) == []

    def test_profiled_against_unprofiled(self, tmp_path: Path) -> None:
        treatment = changed(request().treatment_inputs, "profiled", "none")
        assert ids(control(tmp_path), request(treatment_inputs=treatment)) == ["profiled"]


class TestMode:
    def test_measured_counts_not_what_was_said(self, tmp_path: Path) -> None:
        held = control(tmp_path, observed={"data_bytes_at_start": 5_000_000})
        assert ids(held, request()) == ["mode"]

    def test_what_the_treatment_will_find_counts_too(self, tmp_path: Path) -> None:
        asked = request(observed={"data_bytes_at_start": 5_000_000})
        assert ids(control(tmp_path), asked) == ["mode"]

    def test_accumulated_on_both_sides(self, tmp_path: Path) -> None:
        data = {"data_bytes_at_start": 5_000_000}
        assert ids(control(tmp_path, observed=data), request(observed=data)) == []


class TestDurability:
    @pytest.mark.parametrize(
        ("name", "before", "after"),
        [
            (SYNC, None, "false"),
            ("WK_CLUSTER_CHANNEL_REPLICA_N", "3", "1"),
            ("WK_CLUSTER_CHANNEL_BOOTSTRAP_DEFAULT_MIN_ISR", "2", "1"),
            ("WK_CLUSTER_REPLICATION_MODE", "quorum", "async"),
        ],
    )
    def test_weakening(self, tmp_path: Path, name: str, before: Any, after: Any) -> None:
        inputs, asked = setting(name, before, after)
        assert ids(control(tmp_path, inputs), asked) == ["durability"]
        _, marked = setting(name, before, after, attribution_only=True)
        assert ids(control(tmp_path / "again", inputs), marked) == []

    @pytest.mark.parametrize(
        ("name", "before", "after"),
        [(SYNC, "false", "true"), ("WK_CLUSTER_CHANNEL_REPLICA_N", "1", "3")],
    )
    def test_strengthening(self, tmp_path: Path, name: str, before: Any, after: Any) -> None:
        inputs, asked = setting(name, before, after)
        assert ids(control(tmp_path, inputs), asked) == []

    def test_data_in_memory_is_attribution(self) -> None:
        asked = request(kind="stack", knob="data_device", before="/data", after="tmpfs")
        refusal = refusals.weakens_durability(asked)
        assert refusal is not None
        assert "memory" in refusal.reason

    def test_another_setting(self, tmp_path: Path) -> None:
        inputs, asked = setting(FLUSH, None, "2ms")
        assert ids(control(tmp_path, inputs), asked) == []


class TestOrder:
    OPEN = (Explanation("client-concurrency", "workload", "concurrency"),)

    def test_workload_before_configuration(self, tmp_path: Path) -> None:
        inputs, asked = setting(FLUSH, None, "2ms", cause="commit-window", explanations=self.OPEN)
        assert ids(control(tmp_path, inputs), asked) == ["workload_first"]

    def test_configuration_before_code(self) -> None:
        open_one = (Explanation("commit-window", "config", "flush_window"),)
        asked = request(kind="code", cause="a defect", explanations=open_one)
        refusal = refusals.workload_first(asked)
        assert refusal is not None
        assert "flush_window" in refusal.reason

    @pytest.mark.parametrize("after", [None, "1ms"])
    def test_taking_a_setting_away_comes_first(self, tmp_path: Path, after: str | None) -> None:
        inputs, asked = setting(FLUSH, "400ms", after, shipped="1ms", cause="commit-window",
                                explanations=self.OPEN, isolates=("person-hotpath",))  # fmt: skip
        assert asked.takes_away
        assert ids(control(tmp_path, inputs), asked) == []

    def test_changing_it_to_something_else_does_not(self) -> None:
        _, asked = setting(FLUSH, "400ms", "200ms", shipped="1ms")
        assert not asked.takes_away

    def test_isolated_before_mixed(self, tmp_path: Path) -> None:
        both = ("person-hotpath", "group-fanout")
        assert ids(control(tmp_path), request(isolates=both)) == ["isolate"]
        done = request(isolates=both, isolated=both)
        assert ids(control(tmp_path / "again", verdict=VERDICT), done) == []

    def test_a_dead_node_is_not_isolated_by_traffic(self, tmp_path: Path) -> None:
        verdict = {**VERDICT, "category": "send_path", "component": "node_process"}
        held = control(tmp_path, verdict=verdict)
        assert ids(held, request(isolates=("person-hotpath",))) == []


class TestExpectation:
    def test_satisfied_already(self, tmp_path: Path) -> None:
        held = control(tmp_path, found={"achieved_rate_ratio": 0.97})
        assert ids(held, request()) == ["satisfied"]

    def test_unknown_in_the_control(self, tmp_path: Path) -> None:
        held = control(tmp_path, found={"achieved_rate_ratio": None})
        (refusal,) = refusals.refusals(held, request(), CATALOGUE)
        assert "does not tell achieved_rate_ratio" in refusal.reason

    def test_none_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="expected observation"):
            refusals.refusals(control(tmp_path), request(expected="looks better"), CATALOGUE)

    def test_a_stop_condition_that_stops_the_control(self, tmp_path: Path) -> None:
        held = control(tmp_path, found={"send_errors": 3})
        assert ids(held, request(stop_if="send_errors > 0")) == ["stop"]
        assert ids(control(tmp_path / "x"), request(stop_if="send_errors > 0")) == []

    def test_half_the_rate_tells_nothing_apart(self, tmp_path: Path) -> None:
        asked = request(
            knob="rate", before="0.25/s", after="0.125/s", fingerprint_input="workload.rate",
            treatment_inputs=changed(INPUTS, "workload.rate", "0.125/s"),
        )  # fmt: skip
        assert ids(control(tmp_path), asked) == ["same_prediction"]

    def test_more_rate_is_an_experiment(self, tmp_path: Path) -> None:
        asked = request(
            knob="rate", before="0.25/s", after="1/s", fingerprint_input="workload.rate",
            treatment_inputs=changed(INPUTS, "workload.rate", "1/s"),
        )  # fmt: skip
        assert ids(control(tmp_path), asked) == []


class TestCompare:
    def test_fingerprint_first(self, tmp_path: Path) -> None:
        one = bundle(tmp_path, "b1")
        other = bundle(
            tmp_path, "b2", changed(INPUTS, "workload.concurrency", 64), observed={"ncpu": 4}
        )
        said = compare.compare(one, other)
        assert [(d.path, d.one, d.other) for d in said.inputs] == [
            ("inputs.workload.concurrency", 2, 64)
        ]
        assert [d.path for d in said.observed] == ["observed.ncpu"]
        assert said.refused == ()
        assert "decides nothing" in said.remarks[0]

    def test_several_inputs_are_said(self, tmp_path: Path) -> None:
        inputs = changed(changed(INPUTS, "workload.concurrency", 64), "workload.users", 10)
        said = compare.compare(bundle(tmp_path, "b1"), bundle(tmp_path, "b2", inputs))
        assert any("2 inputs differ" in remark for remark in said.remarks)

    @pytest.mark.parametrize(
        ("inputs", "more", "why"),
        [
            (INPUTS, {"observed": {"data_bytes_at_start": 9}}, "different evidence classes"),
            (changed(INPUTS, "mode", None), {"observed": {"data_bytes_at_start": None}}, "unknown"),
            (changed(INPUTS, "profiled", "none"), {}, "profile_seconds"),
            (changed(INPUTS, "profiled", None), {}, "profile_seconds"),
            (INPUTS, {"replay_of": "kill-node1"}, "replay"),
        ],
    )
    def test_refuses(self, tmp_path: Path, inputs: Any, more: Any, why: str) -> None:
        said = compare.compare(bundle(tmp_path, "b1"), bundle(tmp_path, "b2", inputs, **more))
        assert why in said.refused[0]
        assert said.numbers == ()

    def test_a_bundle_without_a_fingerprint(self, tmp_path: Path) -> None:
        one = bundle(tmp_path, "b1")
        (one.root / "fingerprint.json").unlink()
        with pytest.raises(UsageError, match="record it with this harness"):
            compare.compare(type(one).open(one.root), one)

    def test_numbers_of_a_recorded_run(self, incident_baseline: Path) -> None:
        made = compare.Bundle.open(incident_baseline)
        said = compare.compare(made, made)
        rate = next(n for n in said.numbers if n.signal == "sent_rate")
        assert rate.one == rate.other
        assert rate.ratio == 1.0
        assert "No known input differs" in said.remarks[1]


@pytest.fixture(scope="module")
def incident_baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tarfile

    archive = Path(__file__).resolve().parents[2] / "incidents" / "baseline.tar.xz"
    root = tmp_path_factory.mktemp("incident")
    with tarfile.open(archive) as opened:
        opened.extractall(root, filter="data")
    return next(root.iterdir())

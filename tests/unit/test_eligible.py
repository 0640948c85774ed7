"""May code be changed? A whole case, with its regression test run by Go in a real checkout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit import test_experiment_conduct as conducted
from tests.unit import test_experiment_eligibility as tested
from tests.unit.test_experiment_eligibility import COMMAND, RIGHT, TEST, commit

from wktriage.experiments import conclusions
from wktriage.experiments.case import Case

lab = conducted.lab
checkout = tested.checkout
SEMANTICS = "Quorum is untouched; a single node takes the same path as many."


@pytest.fixture
def case(lab: conducted.Lab) -> Case:
    """A case whose workload and configuration experiments are refuted."""
    server = {"category": "send_path", "component": "channel_append", "confidence": 0.8}
    lab.verdicts["control"] = {**conducted.VERDICT, **server}
    for variable in ("concurrency", "gateway_workers"):
        under_way = lab.open(variable=variable, value="512")
        while lab.run(under_way, achieved_rate_ratio=0.5):
            pass
        assert under_way.conclude().outcome == "refuted"
    return under_way.case


@pytest.mark.go
def test_all_five_conditions_with_a_real_go_test(case: Case, checkout: Path) -> None:
    commit(checkout, "fix", calc=RIGHT, calc_test=TEST)
    asked = {"wukongim_checkout": str(checkout), "tests_from": "fix", "semantics": SEMANTICS}
    right = conclusions.eligible(
        case, {**asked, "regression_test": COMMAND, "base": "base", "because": "want 4"}
    )
    assert (right.code_change_needed, right.first_unmet) == ("yes", None)
    assert all((case.directory / str(c.file)).is_file() for c in right.conditions)

    for changed, why in (
        ({"base": "fix"}, "passes on fix already"),
        ({"base": "base", "because": "want 5"}, "fails, but not with 'want 5'"),
        ({"base": "base", "regression_test": "go test ./... -run TestNone"}, "No test ran"),
    ):
        answer = conclusions.eligible(case, {**asked, "regression_test": COMMAND, **changed})
        assert (answer.code_change_needed, answer.first_unmet) == ("no", "regression_test")
        assert why in answer.reason


def test_the_base_is_the_commit_that_the_control_ran_on(case: Case, lab: conducted.Lab) -> None:
    assert conclusions.revision_of(case) == "a" * 40
    file = lab.root / "runs" / "control" / "fingerprint.json"
    fingerprint = json.loads(file.read_bytes())
    fingerprint["inputs"]["git_revision"] = "not_applicable"
    file.write_text(json.dumps(fingerprint))
    assert conclusions.revision_of(case) == "HEAD"

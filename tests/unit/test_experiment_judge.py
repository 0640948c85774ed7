from __future__ import annotations

from typing import Any

import pytest
from tests.unit.experiment_bundles import CATALOGUE, registered, signals

from wktriage.experiments import belief
from wktriage.experiments.design import Side
from wktriage.experiments.effects import Outcome
from wktriage.experiments.judge import JudgedRun, judge
from wktriage.experiments.noise import Floor
from wktriage.experiments.outcomes import ExperimentOutcome

SLOW = [0.20, 0.21, 0.19, 0.205]
FAST = [0.97, 0.98, 0.99, 0.975]


def runs(control: list[Any], treatment: list[Any], name: str = "achieved_rate_ratio",
         **others: tuple[list[Any], list[Any]]) -> list[JudgedRun]:  # fmt: skip
    made = []
    for side, values, which in ((Side.CONTROL, control, 0), (Side.TREATMENT, treatment, 1)):
        for i, value in enumerate(values):
            more = {key: pair[which][i] for key, pair in others.items()}
            made.append(JudgedRun(side, signals(**{name: value, **more})))
    return made


def judged(made: list[JudgedRun], spent: tuple[float, ...] = (), **changes: Any) -> (
    ExperimentOutcome
):  # fmt: skip
    return judge(registered(**changes), made, spent=spent, catalogue=CATALOGUE)


class TestOverall:
    def test_supported(self) -> None:
        said = judged(runs(SLOW, FAST))
        assert said.outcome is Outcome.SUPPORTED
        assert (said.expected.yes, said.expected_in_control.yes) == (4, 0)
        assert said.level == pytest.approx(2 / 70)
        assert said.more_pairs is None

    def test_refuted_when_nothing_moves(self) -> None:
        said = judged(runs(SLOW, SLOW))
        assert said.outcome is Outcome.REFUTED

    def test_refuted_when_an_effect_is_there_but_not_the_expected_one(self) -> None:
        said = judged(runs(SLOW, [0.5, 0.51, 0.49, 0.52]))
        assert said.signals[0].outcome is Outcome.SUPPORTED
        assert said.outcome is Outcome.REFUTED
        assert "not the one that was expected" in said.why

    def test_inconclusive_when_only_some_runs_show_what_was_expected(self) -> None:
        said = judged(runs(SLOW, [0.97, 0.98, 0.90, 0.975]))
        assert said.outcome is Outcome.INCONCLUSIVE
        assert "in 3 of 4" in said.why

    def test_two_a_side_ask_for_two_more(self) -> None:
        said = judged(runs(SLOW[:2], FAST[:2]))
        assert said.outcome is Outcome.INCONCLUSIVE
        assert said.more_pairs == 2
        assert said.level == 0.0

    def test_two_a_side_refute_nothing_either(self) -> None:
        said = judged(runs(SLOW[:2], SLOW[:2]))
        assert said.outcome is Outcome.INCONCLUSIVE
        assert said.more_pairs is not None
        assert said.more_pairs >= 2

    def test_no_runs_at_all(self) -> None:
        assert judged([]).outcome is Outcome.INCONCLUSIVE

    def test_unknown_is_never_support(self) -> None:
        said = judged(runs(SLOW, [None, *FAST[1:]]))
        assert said.outcome is Outcome.INCONCLUSIVE
        assert said.expected.unknown == 1

    def test_the_hosts_noise_holds_back(self) -> None:
        made = runs([0.80, 0.81, 0.79, 0.80], [0.96, 0.97, 0.955, 0.98])
        assert judge(registered(), made, catalogue=CATALOGUE).outcome is Outcome.SUPPORTED
        floors = {"achieved_rate_ratio": Floor(0.3, True, 12, 12, 3, "Measured.")}
        said = judge(registered(), made, noise=floors, catalogue=CATALOGUE)
        assert said.outcome is Outcome.INCONCLUSIVE

    def test_every_part_must_be_supported(self) -> None:
        expected = "achieved_rate_ratio >= 0.95 and send_server_latency_mean < 0.5"
        flat = [0.1, 0.101, 0.1, 0.102]
        said = judged(runs(SLOW, FAST, send_server_latency_mean=(flat, flat)), expected=expected)
        assert said.signals[0].outcome is Outcome.SUPPORTED
        assert said.signals[1].outcome is Outcome.REFUTED
        assert said.outcome is Outcome.REFUTED

    def test_a_falsification_test_of_its_own(self) -> None:
        said = judged(
            runs(SLOW, FAST, send_server_latency_mean=([0.1] * 4, [3.0] * 4)),
            falsified_if="send_server_latency_mean > 2",
        )
        assert said.outcome is Outcome.REFUTED
        assert "send_server_latency_mean > 2" in said.why

    def test_a_second_look_after_the_first_needs_more_than_four_a_side(self) -> None:
        assert judged(runs(SLOW, FAST), spent=(2 / 70,)).outcome is Outcome.INCONCLUSIVE
        made = runs([*SLOW, *SLOW[:2]], [*FAST, *FAST[:2]])
        assert judged(made, spent=(2 / 70,)).outcome is Outcome.SUPPORTED


class TestErrors:
    EXPECTED = "recv_errors <= 0"

    def test_a_fact_is_counted_in_runs(self) -> None:
        said = judged(runs([13, 15, 2, 7], [0, 0, 0, 0], "recv_errors"), expected=self.EXPECTED)
        assert said.outcome is Outcome.SUPPORTED
        assert said.signals == ()
        assert said.facts[0].what == "recv_errors <= 0"

    def test_fewer_errors_are_still_errors(self) -> None:
        made = runs([1300, 1500, 2000, 700], [1, 1, 1, 1], "recv_errors")
        assert judged(made, expected=self.EXPECTED).outcome is Outcome.REFUTED

    def test_one_clean_run_of_four_is_inconclusive(self) -> None:
        made = runs([13, 15, 2, 7], [0, 1, 1, 1], "recv_errors")
        assert judged(made, expected=self.EXPECTED).outcome is Outcome.INCONCLUSIVE

    def test_errors_that_went_in_half_of_the_runs_ask_for_more_pairs(self) -> None:
        seen = judged(runs([11, 0, 4, 0], [0] * 4, "recv_errors"), expected=self.EXPECTED)
        assert (seen.outcome, seen.more_pairs) == (Outcome.INCONCLUSIVE, 12)
        assert "12 more pairs would decide" in seen.why
        assert seen.errors[0].more_pairs is None

    def test_the_pairs_that_were_asked_for_decide(self) -> None:
        made = runs([11, 0] * 8, [0] * 16, "recv_errors")
        assert judged(made, spent=(2 / 70,), expected=self.EXPECTED).outcome is Outcome.SUPPORTED

    def test_one_part_that_no_number_decides_asks_for_none(self) -> None:
        expected = f"achieved_rate_ratio >= 0.95 and {self.EXPECTED}"
        seen = judged(runs(SLOW[:2], FAST[:2], recv_errors=([9, 9], [0, 1])), expected=expected)
        assert (seen.outcome, seen.more_pairs) == (Outcome.INCONCLUSIVE, None)

    def test_new_errors_are_said_beside_any_outcome(self) -> None:
        said = judged(runs(SLOW, FAST, send_errors=([0] * 4, [0, 0, 1, 0])))
        assert said.outcome is Outcome.SUPPORTED
        assert [e.what for e in said.errors] == ["send_errors"]
        assert said.errors[0].appeared

    def test_a_share_of_errors_is_no_counter(self) -> None:
        shares = [1.0] * 4, [0.0] * 4
        made = runs([13, 15, 2, 7], [0] * 4, "recv_errors", recv_share_of_errors=shares)
        seen = judged(made, expected=self.EXPECTED)
        assert [error.what for error in seen.errors] == ["recv_errors"]

    def test_a_silent_counter_is_not_listed(self) -> None:
        assert judged(runs(SLOW, FAST)).errors == ()


class TestBelief:
    def test_a_refuted_hypothesis_lowers_its_own(self) -> None:
        before = belief.start({"client": 0.6, "disk": 0.3})
        after = belief.update(before, "client", Outcome.REFUTED)
        assert after["client"] < 0.1
        assert after["disk"] > before["disk"]
        assert sum(after.values()) == pytest.approx(1, abs=1e-5)

    def test_a_supported_one_raises_it(self) -> None:
        before = belief.start({"client": 0.6, "disk": 0.3})
        assert belief.update(before, "client", Outcome.SUPPORTED)["client"] > 0.9

    def test_inconclusive_moves_nothing(self) -> None:
        before = belief.start({"client": 0.6, "disk": 0.3})
        after = belief.update(before, "client", Outcome.INCONCLUSIVE)
        assert after == pytest.approx(before, abs=1e-5)

    def test_a_new_cause_has_a_chance_and_none_is_ever_gone(self) -> None:
        held = belief.update(belief.start({"client": 1.0}), "disk", Outcome.REFUTED)
        for _ in range(20):
            held = belief.update(held, "disk", Outcome.REFUTED)
        assert 0 < held["disk"] < 0.01
        for _ in range(20):
            held = belief.update(held, "disk", Outcome.SUPPORTED)
        assert held["disk"] > 0.9

from __future__ import annotations

import itertools
import math
import random
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wktriage.core.errors import UsageError
from wktriage.experiments import looks, noise, power, ranks, statistics
from wktriage.experiments.effects import Direction, MinEffect, Outcome
from wktriage.experiments.statistics import compare_counter, compare_signal

TEN = MinEffect(0.10, True)
FIVE = MinEffect(0.05, True)
VALUES = st.floats(min_value=0.1, max_value=1000, allow_nan=False)
SIDES = st.lists(VALUES, min_size=2, max_size=4)


def brute_p(control: list[float], treatment: list[float]) -> float:
    """Two-sided p of the rank sum, by all splits written out."""
    pooled = control + treatment
    rank = {v: (sorted(pooled).index(v) + 1 + len(pooled) - sorted(pooled)[::-1].index(v)) / 2
            for v in pooled}  # fmt: skip
    mean = (len(pooled) + 1) / 2

    def distance(side: tuple[float, ...]) -> float:
        return abs(sum(rank[v] for v in side) / len(side) - mean)

    seen = distance(tuple(control))
    splits = list(itertools.combinations(range(len(pooled)), len(control)))
    far = sum(distance(tuple(pooled[i] for i in split)) >= seen - 1e-9 for split in splits)
    return far / len(splits)


class TestRanks:
    @given(SIDES, SIDES)
    def test_p_is_that_of_all_splits(self, control: list[float], treatment: list[float]) -> None:
        assert ranks.p_value(control, treatment) == pytest.approx(brute_p(control, treatment))

    @given(SIDES, SIDES)
    def test_p_does_not_care_which_side_is_which(self, one: list[float], two: list[float]) -> None:
        assert ranks.p_value(one, two) == pytest.approx(ranks.p_value(two, one))

    @pytest.mark.parametrize(("repeats", "least"), [(2, 2 / 6), (3, 2 / 20), (4, 2 / 70)])
    def test_the_smallest_p_of_few_runs(self, repeats: int, least: float) -> None:
        low = [float(i) for i in range(repeats)]
        assert ranks.p_value(low, [v + 100 for v in low]) == pytest.approx(least)

    def test_many_runs_are_exact_too(self) -> None:
        low = [float(i) for i in range(12)]
        p = ranks.p_value(low, [v + 100 for v in low])
        assert p == pytest.approx(2 / math.comb(24, 12), rel=1e-6)

    def test_many_tied_runs_have_a_p(self) -> None:
        assert ranks.p_value([1.0] * 10, [1.0] * 10) == 1.0

    @given(SIDES, SIDES)
    def test_shift_is_the_median_difference(self, one: list[float], two: list[float]) -> None:
        wanted = median(b - a for a in one for b in two)
        assert ranks.shift(one, two) == pytest.approx(wanted)
        assert ranks.shift(two, one) == pytest.approx(-wanted)

    @given(
        st.lists(VALUES, min_size=4, max_size=7),
        st.lists(VALUES, min_size=4, max_size=7),
        st.floats(min_value=-50, max_value=50),
    )
    def test_interval_is_symmetric_and_moves_with_the_shift(
        self, one: list[float], two: list[float], moved: float
    ) -> None:
        straight, turned = ranks.interval(one, two, 0.05), ranks.interval(two, one, 0.05)
        assert (straight.low, straight.high) == pytest.approx((-turned.high, -turned.low))
        later = ranks.interval(one, [v + moved for v in two], 0.05)
        assert later.low == pytest.approx(straight.low + moved, abs=1e-6)
        assert straight.low <= ranks.shift(one, two) <= straight.high

    @given(st.lists(st.integers(1, 10**6), min_size=8, max_size=12, unique=True), st.data())
    def test_interval_is_the_inverted_test(self, numbers: list[int], data: st.DataObject) -> None:
        cut = data.draw(st.integers(4, len(numbers) - 4))
        # Halves on one side and not on the other: no shift that is tried is itself a difference.
        control, treatment = [float(n) for n in numbers[:cut]], [n + 0.5 for n in numbers[cut:]]
        found = ranks.interval(control, treatment, 0.05)
        for shift in data.draw(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=5)):
            accepted = ranks.p_value(control, [v - shift for v in treatment]) > 0.05
            assert accepted == (found.low < shift < found.high)

    def test_interval_covers_as_often_as_it_says(self) -> None:
        draw = random.Random(1)
        hits, tries = 0, 4000
        for _ in range(tries):
            control = [draw.lognormvariate(0, 1) for _ in range(5)]
            treatment = [draw.lognormvariate(0, 1) + 2.0 for _ in range(5)]
            found = ranks.interval(control, treatment, 0.05)
            hits += found.low <= 2.0 <= found.high
        assert found.level == pytest.approx(8 / 252)
        # Three standard errors around the exact coverage.
        assert abs(hits / tries - (1 - 8 / 252)) < 3 * math.sqrt(0.0317 * 0.968 / tries)

    def test_fewest_repeats(self) -> None:
        assert looks.fewest_repeats(0.05) == 4
        assert looks.fewest_repeats(0.1) == 3
        assert looks.fewest_repeats(0.01) == 5

    @given(st.integers(0, 12), st.integers(0, 12), st.sampled_from([0.01, 0.033, 0.05, 0.1]))
    def test_level_is_never_above_alpha(self, one: int, two: int, alpha: float) -> None:
        trimmed, level = ranks.trim(one, two, alpha)
        assert level <= alpha
        assert (trimmed < 0) == (2 / math.comb(one + two, one) > alpha)


class TestLooks:
    def test_the_planned_look_at_four_a_side_can_decide(self) -> None:
        assert looks.budget(0.05, []) >= 2 / 70

    @given(st.integers(1, 30), st.sampled_from([0.01, 0.05, 0.1]))
    def test_all_looks_together_stay_below_alpha(self, count: int, alpha: float) -> None:
        spent: list[float] = []
        for _ in range(count):
            spent.append(looks.budget(alpha, spent))
        assert sum(spent) <= alpha + 1e-12
        assert all(s > 0 for s in spent)

    def test_a_look_that_could_decide_nothing_spends_nothing(self) -> None:
        assert looks.budget(0.05, [0.0]) == looks.budget(0.05, [])


FLOOR = noise.Floor(0.2, True, 12, 12, 3, "Noise measured in 12 equal runs.")


class TestSignals:
    def test_supported_beyond_min_effect(self) -> None:
        said = compare_signal(
            "r", [100, 101, 99, 100.5], [120, 121, 119, 122], Direction.INCREASE, TEN
        )
        assert said.outcome is Outcome.SUPPORTED
        assert said.low is not None
        assert said.low > 0.10
        assert said.level == pytest.approx(2 / 70)
        assert "Noise not measured" in said.why

    def test_refuted_when_nothing_moves(self) -> None:
        said = compare_signal(
            "r", [100, 101, 99, 100.5], [100, 100.2, 99.5, 101], Direction.INCREASE, TEN
        )
        assert said.outcome is Outcome.REFUTED
        assert said.more_pairs is None

    def test_refuted_when_it_goes_the_other_way(self) -> None:
        said = compare_signal("r", [100, 101, 99, 100.5], [80, 81, 79, 82], Direction.INCREASE, TEN)
        assert said.outcome is Outcome.REFUTED
        assert "other way" in said.why

    def test_two_a_side_decide_nothing_and_say_how_many_would(self) -> None:
        said = compare_signal("r", [100, 101], [150, 152], Direction.INCREASE, TEN)
        assert said.outcome is Outcome.INCONCLUSIVE
        assert said.low is None
        assert said.high is None
        assert "0.33" in said.why
        assert "at least 4 runs a side" in said.why
        assert said.more_pairs == 2

    def test_noise_floor_holds_back_what_min_effect_would_let_pass(self) -> None:
        sides = [100, 101, 99, 100.5], [115, 116, 114, 115.5]
        assert compare_signal("r", *sides, Direction.INCREASE, TEN).outcome is Outcome.SUPPORTED
        said = compare_signal("r", *sides, Direction.INCREASE, TEN, noise=FLOOR)
        assert said.outcome is Outcome.INCONCLUSIVE
        assert "the host's own noise (20.0 %)" in said.why

    @pytest.mark.parametrize("moved", [120, 115, 100])
    def test_noise_that_was_not_measured_is_said_with_any_outcome(self, moved: float) -> None:
        sides = [100, 101, 99, 100.5], [moved, moved + 12, moved - 1, moved]
        unknown = noise.floor([], "r", 4, relative=True)
        outcome = compare_signal("r", *sides, Direction.INCREASE, TEN, noise=unknown)
        assert (
            "Noise not measured: it takes 8 equal runs on stacks of their own, and there are none."
            in outcome.why
        )
        measured = compare_signal("r", *sides, Direction.INCREASE, TEN, noise=FLOOR)
        assert "not measured" not in measured.why

    def test_decrease(self) -> None:
        said = compare_signal(
            "t", [2.0, 2.1, 2.05, 1.95], [1.0, 1.1, 1.05, 0.95], Direction.DECREASE, TEN
        )
        assert said.outcome is Outcome.SUPPORTED
        assert said.shift == pytest.approx(-0.49, abs=0.02)

    def test_either_way(self) -> None:
        same = [100, 101, 99, 100.5]
        for moved in ([130, 131, 129, 130.5], [70, 71, 69, 70.5]):
            said = compare_signal("t", same, moved, Direction.EITHER, TEN)
            assert said.outcome is Outcome.SUPPORTED
        assert compare_signal("t", same, same, Direction.EITHER, TEN).outcome is Outcome.REFUTED

    def test_absolute_min_effect_is_in_the_unit_of_the_signal(self) -> None:
        said = compare_signal(
            "ratio", [0.2, 0.21, 0.19, 0.2], [0.97, 0.98, 0.99, 0.96], Direction.INCREASE,
            MinEffect(0.5, False),
        )  # fmt: skip
        assert said.outcome is Outcome.SUPPORTED
        assert said.shift == pytest.approx(0.775, abs=0.01)

    def test_zero_in_the_control_has_no_relative_effect(self) -> None:
        said = compare_signal("x", [0, 0, 0, 0], [1, 2, 1, 2], Direction.INCREASE, TEN)
        assert said.outcome is Outcome.INCONCLUSIVE
        assert "min_effect in the signal's unit" in said.why

    def test_a_zero_among_the_values_is_judged_by_differences(self) -> None:
        said = compare_signal("x", [100, 101, 99, 100], [0, 1, 2, 1], Direction.DECREASE, TEN)
        assert said.outcome is Outcome.SUPPORTED
        assert said.shift == pytest.approx(-0.99, abs=0.01)

    def test_nothing_falls_by_more_than_all_of_it(self) -> None:
        control = [0.54, 0.52, 0.55, 0.53]
        outcome = compare_signal("e", control, [0.0, 0.0, 0.0, 0.0], Direction.DECREASE, TEN)
        assert outcome.outcome is Outcome.SUPPORTED
        assert outcome.low == -1.0
        assert "-100.0 % to" in outcome.why

    def test_runs_that_do_not_tell_are_counted_as_missing(self) -> None:
        said = compare_signal("x", [1.0, None, math.nan, 1.1], [1.0, 1.0, 1.0, 1.0],
                              Direction.INCREASE, TEN)  # fmt: skip
        assert said.missing == 2
        assert len(said.control) == 2

    def test_too_few_runs_to_see_a_spread(self) -> None:
        said = compare_signal("x", [1.0], [2.0], Direction.INCREASE, TEN)
        assert said.outcome is Outcome.INCONCLUSIVE
        assert said.more_pairs == 3

    @given(st.lists(VALUES, min_size=4, max_size=6), st.lists(VALUES, min_size=4, max_size=6))
    @settings(deadline=None)
    def test_only_one_of_two_opposite_directions_is_supported(
        self, one: list[float], two: list[float]
    ) -> None:
        up = compare_signal("x", one, two, Direction.INCREASE, FIVE, forecast=False)
        down = compare_signal("x", one, two, Direction.DECREASE, FIVE, forecast=False)
        assert {up.outcome, down.outcome} != {Outcome.SUPPORTED}
        if up.outcome is Outcome.SUPPORTED:
            assert down.outcome is Outcome.REFUTED

    @given(st.lists(VALUES, min_size=4, max_size=5), st.lists(VALUES, min_size=4, max_size=5),
           st.floats(0.01, 100))  # fmt: skip
    @settings(deadline=None)
    def test_the_unit_of_a_signal_changes_nothing(
        self, one: list[float], two: list[float], factor: float
    ) -> None:
        plain = compare_signal("x", one, two, Direction.INCREASE, FIVE, forecast=False)
        larger = [v * factor for v in one], [v * factor for v in two]
        scaled = compare_signal("x", *larger, Direction.INCREASE, FIVE, forecast=False)
        assert plain.low == pytest.approx(scaled.low, abs=1e-9)

    def test_a_second_look_spends_what_is_left(self) -> None:
        sides = [100, 101, 99, 100.5], [120, 121, 119, 122]
        said = compare_signal("r", *sides, Direction.INCREASE, TEN, spent=[2 / 70])
        assert said.outcome is Outcome.INCONCLUSIVE
        assert said.level == 0.0


class TestPower:
    def test_a_clear_effect_needs_no_more_than_the_fewest(self) -> None:
        pairs = power.more_pairs(
            [0.0, 0.01], [1.0, 1.01], 2 / 70, lambda low, high: (low > 0.1) | (high < 0.1)
        )
        assert pairs == 2

    def test_more_noise_needs_more_pairs(self) -> None:
        def decided(low: np.ndarray, high: np.ndarray) -> np.ndarray:
            return (low > 0.05) | (high < 0.05)

        few = power.more_pairs([0.0, 0.02, 0.01, -0.02], [0.1, 0.12, 0.09, 0.1], 0.03, decided)
        many = power.more_pairs([0.0, 0.1, 0.03, -0.09], [0.15, 0.2, 0.08, 0.1], 0.03, decided)
        assert few is not None
        assert many is not None
        assert few < many

    def test_an_effect_as_large_as_the_threshold_is_never_decided(self) -> None:
        pairs = power.more_pairs(
            [0.0, 0.1, -0.1, 0.0], [0.1, 0.0, 0.2, 0.1], 0.03,
            lambda low, high: (low > 0.1) | (high < 0.1),
        )  # fmt: skip
        assert pairs is None

    def test_one_run_says_nothing_of_the_spread(self) -> None:
        with pytest.raises(ValueError, match="two runs"):
            power.more_pairs([1.0], [2.0, 3.0], 0.05, lambda low, _high: low > 0)


class TestCounters:
    def test_errors_that_went_are_supported(self) -> None:
        said = compare_counter("recv_errors", [13, 15, 2, 7], [0, 0, 0, 0])
        assert said.outcome is Outcome.SUPPORTED
        assert said.went
        assert "in 4 of 4 control runs (37 in all) and in 0 of 4" in said.text

    def test_errors_that_stayed_are_refuted_however_much_fewer(self) -> None:
        said = compare_counter("recv_errors", [1000, 1500, 2000, 700], [1, 1, 1, 1])
        assert said.outcome is Outcome.REFUTED

    def test_one_error_where_there_was_none_is_said(self) -> None:
        said = compare_counter("send_errors", [0, 0, 0, 0], [0, 0, 1, 0])
        assert said.appeared
        assert "classify" in said.text

    def test_two_a_side_decide_nothing(self) -> None:
        assert compare_counter("e", [3, 3], [0, 0]).outcome is Outcome.INCONCLUSIVE
        assert compare_counter("e", [3, 3], [3, 3]).outcome is Outcome.INCONCLUSIVE

    def test_what_went_in_half_of_the_runs_says_how_many_more_would_decide(self) -> None:
        outcome = compare_counter("recv_errors", [11, 0, 4, 0], [0, 0, 0, 0])
        assert outcome.outcome is Outcome.INCONCLUSIVE
        assert outcome.more_pairs == 12
        assert outcome.text.endswith("At these shares, 12 more pairs would decide.")

    def test_the_pairs_that_are_asked_for_decide_in_80_of_100_cases_and_fewer_do_not(self) -> None:
        draw = random.Random(5)
        decided = {}
        for pairs in (11, 12):
            outcomes = [
                compare_counter(
                    "e", [1, 0, 1, 0, *(draw.random() < 0.5 for _ in range(pairs))],
                    [0] * (4 + pairs), spent=[2 / 70], forecast=False,
                ).outcome
                for _ in range(2000)
            ]  # fmt: skip
            decided[pairs] = outcomes.count(Outcome.SUPPORTED) / len(outcomes)
        assert decided[12] == pytest.approx(0.806, abs=0.03)
        assert decided[11] == pytest.approx(0.726, abs=0.03)

    def test_two_a_side_ask_for_the_two_that_are_missing(self) -> None:
        assert compare_counter("e", [3, 3], [0, 0]).more_pairs == 2
        assert compare_counter("e", [3, 3], [3, 3]).more_pairs == 2
        assert compare_counter("e", [], []).more_pairs == 4

    @pytest.mark.parametrize(
        ("control", "treatment", "why"),
        [
            ([0] * 4, [0] * 4, "36 more pairs would not decide either"),
            ([1] * 4, [1, 0, 0, 0], "has to be as expected, and 1 of 4 was not"),
        ],
    )
    def test_where_no_number_decides_it_is_said(
        self, control: list[int], treatment: list[int], why: str
    ) -> None:
        outcome = compare_counter("e", control, treatment)
        assert outcome.more_pairs is None
        assert why in outcome.text

    def test_what_is_decided_asks_for_no_more(self) -> None:
        assert compare_counter("e", [1] * 4, [0] * 4).more_pairs is None

    @given(st.lists(st.integers(0, 9), max_size=6), st.lists(st.integers(0, 9), max_size=6))
    def test_supported_only_when_every_treatment_run_is_free(
        self, control: list[int], treatment: list[int]
    ) -> None:
        said = compare_counter("e", control, treatment, forecast=False)
        if said.outcome is Outcome.SUPPORTED:
            assert not any(treatment)
            assert any(control)


class TestPercentiles:
    @pytest.mark.parametrize(("percentile", "samples"), [(0.5, 5), (0.95, 59), (0.99, 299)])
    def test_wilks(self, percentile: float, samples: int) -> None:
        assert statistics.fewest_samples(percentile) == samples
        assert statistics.percentile_supported(samples, percentile)
        assert not statistics.percentile_supported(samples - 1, percentile)


class TestNoise:
    def runs(self, values: list[float], days: int = 3) -> list[noise.NoiseRun]:
        return [
            noise.NoiseRun(f"b{i}", f"stack{i}", f"2026-11-{10 + i % days}", {"rate": v})
            for i, v in enumerate(values)
        ]

    def test_too_few_instances_have_no_floor(self) -> None:
        assert noise.floor(self.runs([1.0] * 7), "rate", 4, relative=True).size is None
        same = [noise.NoiseRun(f"b{i}", "one", "2026-11-10", {"rate": 1.0}) for i in range(20)]
        told = noise.floor(same, "rate", 4, relative=True)
        assert told.size is None
        assert told.remark.endswith("and there is 1.")

    def test_floor_grows_with_the_spread(self) -> None:
        draw = random.Random(3)
        calm = self.runs([draw.lognormvariate(0, 0.01) for _ in range(24)])
        wild = self.runs([draw.lognormvariate(0, 0.10) for _ in range(24)])
        low = noise.floor(calm, "rate", 4, relative=True).size
        high = noise.floor(wild, "rate", 4, relative=True).size
        assert low is not None
        assert high is not None
        # About 1.4 standard deviations at 4 a side.
        assert 0.007 < low < 0.025
        assert 0.07 < high < 0.25

    def test_one_day_is_said(self) -> None:
        told = noise.floor(self.runs([1.0] * 8, days=1), "rate", 4, relative=True)
        assert "day to day" in told.remark

    def test_zero_has_no_relative_noise(self) -> None:
        assert noise.floor(self.runs([0.0] * 8), "rate", 4, relative=True).size is None
        assert noise.floor(self.runs([0.0] * 8), "rate", 4, relative=False).size == 0.0

    def test_key_is_that_of_the_inputs_whatever_their_order(self) -> None:
        assert noise.key_of({"a": 1, "b": 2}) == noise.key_of({"b": 2, "a": 1})
        assert noise.key_of({"a": 1}) != noise.key_of({"a": 2})


class TestHonesty:
    """The rule as a whole on synthetic runs: each of its own stack, lognormal between them."""

    def share(self, sigma: float, factor: float, tries: int = 400) -> float:
        draw = random.Random(11)
        pool = TestNoise().runs([draw.lognormvariate(0, sigma) for _ in range(40)])
        floor = noise.floor(pool, "rate", 4, relative=True)
        hits = 0
        for _ in range(tries):
            control = [draw.lognormvariate(0, sigma) for _ in range(4)]
            treatment = [factor * draw.lognormvariate(0, sigma) for _ in range(4)]
            said = compare_signal(
                "rate", control, treatment, Direction.EITHER, FIVE, noise=floor,
                forecast=False,
            )  # fmt: skip
            hits += said.outcome is Outcome.SUPPORTED
        return hits / tries

    @pytest.mark.parametrize("sigma", [0.005, 0.03, 0.15])
    def test_equal_sides_are_hardly_ever_supported(self, sigma: float) -> None:
        assert self.share(sigma, 1.0) <= 0.05

    def test_a_planted_ten_percent_is_found(self) -> None:
        assert self.share(0.012, 1.10) >= 0.8


class TestMinEffect:
    def test_reads_shares_and_numbers(self) -> None:
        assert MinEffect.parse("10%") == MinEffect(0.1, True)
        assert MinEffect.parse(" 0.05 ") == MinEffect(0.05, False)
        assert str(MinEffect.parse("10%")) == "10 %"

    @pytest.mark.parametrize("text", ["", "a lot", "-5%", "100%", "10 apples", "nan"])
    def test_refuses_the_rest(self, text: str) -> None:
        with pytest.raises(UsageError, match="min_effect"):
            MinEffect.parse(text)

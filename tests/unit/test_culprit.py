"""Bisection with steps that may err: how sure it says to be is how often it is right."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from tests.unit.experiment_bundles import CATALOGUE, registered, signals

from wktriage.experiments import culprit
from wktriage.experiments.culprit import Step
from wktriage.experiments.design import Side
from wktriage.experiments.effects import MinEffect, Outcome
from wktriage.experiments.judge import JudgedRun, judge

Oracle = Callable[[int], tuple[bool | None, float]]


def search(
    commits: int, oracle: Oracle, error: float, sure: float = 0.95
) -> tuple[int, float, int]:
    """Bisect; return the named commit, how sure, and how many steps it took."""
    steps: list[Step] = []
    tried: Counter[int] = Counter()
    undecided: set[int] = set()
    while True:
        likely = culprit.chances(commits, steps)
        best = max(range(commits), key=likely.__getitem__)
        places = [
            place
            for place in range(commits - 1)
            if tried[place] < culprit.MOST_TRIES and place not in undecided
        ]
        place = culprit.next_place(likely, error, places)
        if likely[best] >= sure or place is None:
            return best, likely[best], len(steps)
        tried[place] += 1
        shows, risk = oracle(place)
        if shows is None:
            undecided.add(place)
        else:
            steps.append(Step(place, shows, risk))


def test_steps_that_never_err_are_a_plain_bisection() -> None:
    for commit in range(16):
        named, sure, steps = search(16, lambda at, c=commit: (at >= c, 1e-9), 1e-9)
        assert (named, steps) == (commit, 4)
        assert sure > 0.999


def test_bayes_rule_by_hand() -> None:
    # Two commits, one step on the first that errs in one of ten: 9 to 1.
    assert culprit.chances(2, [Step(0, True, 0.1)]) == pytest.approx([0.9, 0.1])
    # A contradiction undoes it.
    assert culprit.chances(2, [Step(0, True, 0.1), Step(0, False, 0.1)]) == [0.5, 0.5]
    assert culprit.chances(3, []) == pytest.approx([1 / 3] * 3)


def test_a_commit_that_cannot_be_tried_leaves_two_suspects() -> None:
    steps = [Step(3, True, 0.01), Step(1, False, 0.01)]
    likely = culprit.chances(4, steps)
    assert likely[2] == pytest.approx(likely[3])
    assert 0.49 < likely[2] < 0.5
    # Only the commit between the two would tell them apart.
    assert culprit.next_place(likely, 0.01, [0, 1]) is None
    assert culprit.next_place(likely, 0.01, [0, 1, 2]) == 2


@pytest.mark.parametrize("error", [0.015, 0.05, 0.12])
def test_the_stated_probability_is_how_often_it_is_right(error: float) -> None:
    """1500 searches with outcomes that err as they say: stated and seen agree within noise."""
    draws = random.Random(20261126)
    stated, right, steps = 0.0, 0, 0
    searches = 1500
    for _ in range(searches):
        commits = draws.randint(2, 40)
        guilty = draws.randrange(commits)
        named, sure, took = search(
            commits, lambda at, c=guilty: ((at >= c) != (draws.random() < error), error), error
        )
        stated += sure
        right += named == guilty
        steps += took
    # The standard error of a share of about 0.97 in 1500 is 0.0045.
    assert abs(stated - right) / searches < 0.014
    assert steps / searches < 12


@pytest.mark.parametrize("scatter", [0.02, 0.06])
def test_with_real_experiments_it_is_never_surer_than_right(scatter: float) -> None:
    """Outcomes of the judge itself on noisy runs, four a side: a slow commit loses 25 %."""
    draws = random.Random(7)
    made = registered(
        expected="not (achieved_rate_ratio >= 0.85)", min_effect=MinEffect(0.05, True)
    )

    def run(side: Side, slow: bool) -> JudgedRun:
        value = (0.72 if slow else 0.96) * draws.lognormvariate(0, scatter)
        return JudgedRun(side, signals(achieved_rate_ratio=value))

    stated, right, searches = 0.0, 0, 40
    for _ in range(searches):
        guilty = draws.randrange(16)

        def oracle(at: int, guilty: int = guilty) -> tuple[bool | None, float]:
            runs = [run(Side.CONTROL, False) for _ in range(4)]
            runs += [run(Side.TREATMENT, at >= guilty) for _ in range(4)]
            said = judge(made, runs, catalogue=CATALOGUE)
            decided = {Outcome.SUPPORTED: True, Outcome.REFUTED: False}.get(said.outcome)
            return decided, said.level / 2

        named, sure, _ = search(16, oracle, 0.025)
        stated += sure
        right += named == guilty
    assert right / searches >= stated / searches - 0.05
    assert right / searches >= 0.8

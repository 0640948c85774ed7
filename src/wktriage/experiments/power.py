"""How many more pairs of runs would decide, if they are like those seen so far.

Conditional power: the runs seen stay, more like them are added, and the whole is judged as it would
be. The answer is the smallest number of pairs that decides in at least 80 of 100 cases. Measured
values are drawn from normal distributions with the shift and the pooled spread seen (on the scale
of the comparison). Of what is counted in runs, each more run shows it with the share of its side,
and all binomial counts are summed, so that this number is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from wktriage.experiments import ranks

POWER = 0.8
DRAWS = 400
CANDIDATES = (*range(1, 13), 14, 16, 20, 24, 28, 32, 36)

Decided = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]
"""Tells for the lower and upper ends of many intervals which of them decide."""


def more_pairs(
    control: Sequence[float], treatment: Sequence[float], alpha: float, decided: Decided
) -> int | None:
    """Return how many more pairs would decide at ``alpha``; None when 36 would not.

    Needs two runs a side: one says nothing of the spread. Raises ValueError for fewer.
    """
    if min(len(control), len(treatment)) < 2:
        raise ValueError("two runs a side are needed to see a spread")
    left, right = np.asarray(control), np.asarray(treatment)
    freedom = left.size + right.size - 2
    spread = math.sqrt(
        (((left - left.mean()) ** 2).sum() + ((right - right.mean()) ** 2).sum()) / freedom
    )
    centre = float(np.median(left))
    moved = centre + ranks.shift(control, treatment)
    for pairs in CANDIDATES:
        random = np.random.default_rng(pairs)
        more_left = random.normal(centre, spread, (DRAWS, pairs))
        more_right = random.normal(moved, spread, (DRAWS, pairs))
        low, high = _ends(_beside(left, more_left), _beside(right, more_right), alpha)
        if float(np.mean(decided(low, high))) >= POWER:
            return int(pairs)
    return None


Counts = tuple[int, int]
"""Of one side: the runs that show something, and all runs."""


def more_counted_pairs(
    control: Counts, treatment: Counts, decided: Callable[[Counts, Counts], bool]
) -> int | None:
    """Return how many more pairs would decide what is counted in runs; None when 36 would not.

    With x of n control runs and y of m treatment runs it is the smallest k at which the sum of
    B(i; k, x/n) B(j; k, y/m) over all i and j for which x + i of n + k and y + j of m + k decide
    reaches 0.8 (B is the binomial probability). Raises ValueError for a side without runs.
    """
    if not control[1] or not treatment[1]:
        raise ValueError("a run a side is needed to see a share")
    for pairs in CANDIDATES:
        chance = sum(
            first * second
            for more, first in _binomial(pairs, control)
            for also, second in _binomial(pairs, treatment)
            if decided(_more(control, more, pairs), _more(treatment, also, pairs))
        )
        if chance >= POWER:
            return int(pairs)
    return None


def _binomial(runs: int, seen: Counts) -> list[tuple[int, float]]:
    """Return each possible count in so many runs with its probability, at the share seen."""
    chances = stats.binom.pmf(np.arange(runs + 1), runs, seen[0] / seen[1])
    return [(count, float(chance)) for count, chance in enumerate(chances) if chance > 0]


def _more(seen: Counts, showing: int, runs: int) -> Counts:
    return seen[0] + showing, seen[1] + runs


def _beside(seen: NDArray[np.float64], more: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.hstack([np.tile(seen, (more.shape[0], 1)), more])


def _ends(
    left: NDArray[np.float64], right: NDArray[np.float64], alpha: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    trimmed, _ = ranks.trim(left.shape[1], right.shape[1], alpha)
    if trimmed < 0:
        endless = np.full(left.shape[0], math.inf)
        return -endless, endless
    pairs = (right[:, :, None] - left[:, None, :]).reshape(left.shape[0], -1)
    pairs.sort(axis=1)
    return pairs[:, trimmed], pairs[:, -1 - trimmed]

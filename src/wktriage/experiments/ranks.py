"""Exact rank statistics of two small samples: test, Hodges-Lehmann shift, interval.

The null distribution is scipy's exact one of the Mann-Whitney U statistic. The interval is the
inversion of that test (Hollander, Wolfe & Chicken, *Nonparametric Statistical Methods*, ch. 4): its
ends are order statistics of all pairwise differences. Values that are tied make the interval wider
than it needs to be, never narrower.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

PERMUTATIONS = 20_000
"""Up to this many ways to split the runs, all of them are counted: to 8 a side."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval of a shift. ``level`` is the error that it really risks, at most alpha.

    The ends are infinite when there are too few runs for any finite interval.
    """

    low: float
    high: float
    level: float


def shift(control: Sequence[float], treatment: Sequence[float]) -> float:
    """Return the Hodges-Lehmann shift from control to treatment: the median pairwise difference."""
    return float(np.median(differences(control, treatment)))


def differences(control: Sequence[float], treatment: Sequence[float]) -> NDArray[np.float64]:
    """Return all differences treatment - control, sorted."""
    left = np.asarray(control, dtype=np.float64)
    right = np.asarray(treatment, dtype=np.float64)
    return np.sort(np.subtract.outer(right, left), axis=None)


def p_value(control: Sequence[float], treatment: Sequence[float]) -> float:
    """Return the two-sided p of "no shift", by permutation of the runs over the two sides.

    All splits are counted where there are at most PERMUTATIONS; beyond that it is scipy's exact
    U test, or PERMUTATIONS drawn splits with a fixed seed when values are tied.
    """
    pooled = [*control, *treatment]
    few = math.comb(len(pooled), len(control)) <= PERMUTATIONS
    if not few and len(set(pooled)) == len(pooled):
        return float(stats.mannwhitneyu(treatment, control, method="exact").pvalue)
    ranks = stats.rankdata(pooled)
    done = stats.permutation_test(
        (ranks[: len(control)], ranks[len(control) :]),
        # Far from its mean either way is far: symmetric, so that ties cannot make it one-sided.
        lambda one, _other, axis: np.abs(np.mean(one, axis=axis) - (len(pooled) + 1) / 2),
        vectorized=True,
        n_resamples=math.inf if few else PERMUTATIONS,
        alternative="greater",
        random_state=0,
    )
    return float(done.pvalue)


def interval(control: Sequence[float], treatment: Sequence[float], alpha: float) -> Interval:
    """Return the exact interval of the shift that errs in at most ``alpha`` of experiments."""
    trimmed, level = trim(len(control), len(treatment), alpha)
    if trimmed < 0:
        return Interval(-math.inf, math.inf, 0.0)
    ordered = differences(control, treatment)
    return Interval(float(ordered[trimmed]), float(ordered[-1 - trimmed]), level)


@cache
def trim(controls: int, treatments: int, alpha: float) -> tuple[int, float]:
    """Return how many pairwise differences each end of the interval leaves out, and its level.

    -1 when so few runs allow no interval: even the most extreme order of the runs comes about by
    chance more often than ``alpha``.
    """
    if not controls or not treatments:
        return -1, 0.0
    allowed = bisect_right(
        range(controls * treatments // 2 + 1),
        alpha,
        key=lambda statistic: _two_sided(controls, treatments, statistic),
    )
    return allowed - 1, _two_sided(controls, treatments, allowed - 1) if allowed else 0.0


@cache
def _two_sided(controls: int, treatments: int, statistic: int) -> float:
    """Return P(U <= statistic or as far on the other side) under "no shift"."""
    # scipy has no public null distribution: two samples that have exactly this U are asked instead.
    above_all, above_some = divmod(statistic, controls)
    right = [controls + 1.0 + i for i in range(above_all)]
    right += [above_some - 0.5] if above_some else []
    right += [-1.0 - i for i in range(treatments - len(right))]
    left = [float(i) for i in range(controls)]
    return float(stats.mannwhitneyu(right, left, method="exact").pvalue)

"""Looking more than once: how much of alpha each look may spend.

The planned look may spend two thirds of alpha, each later one (an extension) half of what is left.
A look spends the level that its exact test really attains. The sum never passes alpha, so that by
Bonferroni's inequality (Boole's) the risk of a wrong *supported* over all looks stays below it,
whatever they have to do with each other and however many there are. Spending by a rule fixed
beforehand is Lan & DeMets 1983 (Biometrika 70); O'Brien & Fleming's bounds would spend less at
first, which four runs a side cannot afford: the smallest p they can reach is 2/70 = 0.029.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

PLANNED_SHARE = 2 / 3


def budget(alpha: float, spent: Sequence[float]) -> float:
    """Return what the next look may spend, given the levels that earlier looks have spent.

    A look at so few runs that it could decide nothing has spent nothing, and does not count.
    """
    if not any(spent):
        return alpha * PLANNED_SHARE
    return max(0.0, alpha - sum(spent)) / 2


@cache
def fewest_repeats(alpha: float) -> int:
    """Return the runs a side below which nothing can be decided at ``alpha``."""
    repeats = 1
    while 2 / math.comb(2 * repeats, repeats) > alpha:
        repeats += 1
    return repeats

"""Which commit did it? Bisection where a step may err: each commit has a probability.

Of the commits ``c1 … cn`` after the good one, oldest first, one is the culprit: all before it are
like the good one, it and all after it are like the bad one. Before the first step each is equally
likely. A step is an experiment on ``ci`` against the good commit. If it errs with probability *e*,
Bayes' rule multiplies the chance of ``ck``

* by ``1 - e`` where the outcome agrees with ``ck`` being the culprit (*shows it* and k <= i, or
  *does not* and k > i), and by ``e`` where it does not; then all are divided by their sum.

``e`` is half of the level that the experiment's look attained: its interval misses the true effect
on that one side at most so often. An outcome that decides nothing moves nothing. The next step is
on the commit of whose outcome most is expected (in bits): near the median of the chances, and again
on a commit that was tried, as long as that tells more than trying another one.
(Probabilistic bisection: Horstein 1963; Waeber, Frazier and Henderson 2013.)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import msgspec

SURE = 0.95
"""As likely the named commit has to be for the search to end."""

LEAST_GAIN = 0.1
"""Bits: a step that tells less costs eight runs and moves next to nothing."""

MOST_TRIES = 3
"""A commit is tried so often at most: an error that comes back is no chance error."""


class Skipped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A commit that could not be tried, why, and the file of evidence in the case (if any)."""

    commit: str
    why: str
    file: str | None = None


class Bisection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A search as a case keeps it; what was found stands in the case's experiments.

    ``commits`` are those after the good one along first parents, oldest first, the bad one last,
    ``subjects`` the first lines of their messages. ``builder`` marks the build command, ``control``
    is the bundle of the good commit's run. ``sure`` is the probability that ends the search.
    """

    good: str
    bad: str
    expect: str
    min_effect: str
    builder: str
    commits: tuple[str, ...]
    subjects: tuple[str, ...]
    sure: float = SURE
    control: str | None = None
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class Step:
    """A decided step: the place of its commit, whether it shows the fault, and how it may err."""

    place: int
    shows: bool
    error: float


def chances(commits: int, steps: Sequence[Step]) -> list[float]:
    """Return how likely each of so many commits is the culprit, after these steps."""
    logs = [0.0] * commits
    for step in steps:
        error = min(max(step.error, 1e-9), 0.5)
        for culprit in range(commits):
            agrees = (culprit <= step.place) == step.shows
            logs[culprit] += math.log1p(-error) if agrees else math.log(error)
    top = max(logs)
    weights = [math.exp(value - top) for value in logs]
    total = sum(weights)
    return [weight / total for weight in weights]


def next_place(likely: Sequence[float], error: float, places: Collection[int]) -> int | None:
    """Return where a step tells most, out of ``places``; None where none tells enough.

    ``error`` is how a step is expected to err.
    """
    below = list(itertools.accumulate(likely))
    gains = [(_gain(below[place], error), -place) for place in places]
    best = max(gains, default=None)
    return None if best is None or best[0] < LEAST_GAIN else -best[1]


def _gain(shows: float, error: float) -> float:
    """Return the bits that a step tells of the culprit, ``shows`` being the chance of its yes."""
    answered = shows * (1 - error) + (1 - shows) * error
    return _entropy(answered) - _entropy(error)


def _entropy(share: float) -> float:
    return -sum(p * math.log2(p) for p in (share, 1 - share) if 0 < p < 1)

"""How sure a verdict is: a probability, from few figures, calibrated on mechanisms it has not seen.

``p = sigmoid(BASE - sum of weight * figure)``, with these figures, each from 0 to 1:

- *unlisted*: 1 when all is known and no cause that is known fits.
- *little*: how little of a message's time the cause holds up, where that is known (1: nothing).
- *of_run*: 1 where the cause is one of the whole run, so that no node stands out from its peers.
- *missing*: the share of the rules and causes decided before or with this one that are unknown.
- *damage*: the share of the sources that are there but could not be used.

Base and the FITTED weights come from ``python -m bench.calibration``, which reports how they do
leaving one mechanism out. The SET ones cannot be fitted, as hardly a labelled run is damaged: so
much damage as leaves half of the evidence halves the odds of being right, or more. Where nothing
was decided, it is LOWEST.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from wktriage.core.categories import CATEGORIES
from wktriage.core.model import Tri
from wktriage.judging.causes import UNLISTED
from wktriage.judging.decision import Decision
from wktriage.judging.symptom import CAPACITY

BASE = 3.91
FITTED = {"unlisted": 1.39, "little": 0.38, "of_run": 1.6}
SET = {"missing": 2.0, "damage": 3.0}
LOWEST = 0.05


def figures(decision: Decision, damage: float) -> dict[str, float]:
    """Return what confidence is made of, by name; ``damage`` is a share from 0 to 1."""
    place = CATEGORIES.index(decision.category)
    winner = decision.winner
    candidate = winner.candidate if winner is not None else None
    before = [o for o in decision.outcomes if CATEGORIES.index(o.rule.category) <= place]
    unknown = sum(o.tri is Tri.UNKNOWN for o in before)
    made = {
        "unlisted": 0.0,
        "little": 0.0,
        "of_run": 0.0,
        "missing": unknown / len(before) if before else 0.0,
        "damage": min(1.0, damage),
    }
    if candidate is None:
        return made
    made["unlisted"] = float(candidate.cause.element == UNLISTED)
    made["of_run"] = float(not candidate.abnormal.nodes)
    # What waits for a node waits at others, whose ledger tells nothing of it.
    alike = not candidate.abnormal.nodes and not candidate.abnormal.everywhere
    if decision.symptom.kind == CAPACITY and alike and candidate.share is not None:
        made["little"] = 1 - candidate.share
    return made


def probability(base: float, weights: Mapping[str, float], made: Mapping[str, float]) -> float:
    """Return the probability that a verdict with such figures is right."""
    return 1 / (1 + math.exp(-(base - sum(weights[name] * made[name] for name in weights))))


def of_verdict(decision: Decision, damage: float = 0.0) -> float:
    """Return the confidence (0 to 1, two decimals) of a category that holds."""
    if decision.winner is None:
        return LOWEST
    return round(max(LOWEST, probability(BASE, FITTED | SET, figures(decision, damage))), 2)

"""How sure a verdict is: a probability, from few figures, calibrated on mechanisms it has not seen.

``p = sigmoid(BASE - RIVALS * rivals - MISSING * missing - DAMAGE * damage - UNLISTED * unlisted)``

- *rivals*: other causes that hold too and that nothing explains (1 for three or more).
- *missing*: the share of the rules and causes decided before or with this one that are unknown.
- *damage*: the share of the sources that are there but could not be used.
- *unlisted*: 1 when all is known and no cause that is known fits.

The five parameters are fitted by ``python -m wktriage.evaluation.calibration`` and reported there
leaving one mechanism out. Where nothing was decided, it is LOWEST.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from wktriage.core.categories import CATEGORIES, CAUSES
from wktriage.core.model import Tri
from wktriage.judging.causes import UNLISTED as FALLBACK
from wktriage.judging.decision import Decision

BASE = 3.0
RIVALS = 1.0
MISSING = 3.0
DAMAGE = 3.0
UNLISTED = 1.5
LOWEST = 0.05
_MANY = 3


@dataclass(frozen=True)
class Features:
    """What confidence is made of, each from 0 to 1."""

    rivals: float
    missing: float
    damage: float
    unlisted: float

    def as_list(self) -> list[float]:
        """Return the figures in the order of the parameters."""
        return [self.rivals, self.missing, self.damage, self.unlisted]


def features(decision: Decision, damage: float) -> Features:
    """Return the figures of a verdict; ``damage`` is a share from 0 to 1."""
    place = CATEGORIES.index(decision.category)
    winner = decision.winner
    causes = [o for o in decision.outcomes if o.rule.category in CAUSES]
    # Healthy is what is left when nothing else holds, and no rival of a failure.
    holding = {
        o.candidate.cause.element for o in causes if o.candidate is not None and o.tri is Tri.YES
    }
    own = winner.candidate.cause.element if winner and winner.candidate else None
    rivals = len(holding - {own}) if decision.category in CAUSES else 0
    before = [o for o in decision.outcomes if CATEGORIES.index(o.rule.category) <= place]
    unknown = sum(o.tri is Tri.UNKNOWN for o in before)
    return Features(
        rivals=min(rivals, _MANY) / _MANY,
        missing=unknown / len(before) if before else 0.0,
        damage=min(1.0, damage),
        unlisted=float(own == FALLBACK),
    )


def of_verdict(decision: Decision, damage: float = 0.0) -> float:
    """Return the confidence (0 to 1, two decimals) of a category that holds."""
    if decision.winner is None:
        return LOWEST
    weights = (RIVALS, MISSING, DAMAGE, UNLISTED)
    figures = features(decision, damage).as_list()
    score = BASE - sum(w * f for w, f in zip(weights, figures, strict=True))
    return round(max(LOWEST, 1 / (1 + math.exp(-score))), 2)

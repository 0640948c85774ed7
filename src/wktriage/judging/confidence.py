"""How sure a verdict is: weighted evidence in log-odds, shrunk for gaps, capped by support.

1. ``raw = sigmoid(PRIOR + strongest deciding weight + half of the other deciding weights +
   supporting weights - opposing weights - rivalry)``. Deciding rules overlap in what they look at,
   so further ones count half; rivalry is a charge for each later category that holds too.
2. Missing evidence pulls towards FLOOR, the chance of a category picked blindly: ``FLOOR + (raw -
   FLOOR) * (1 - GAP_MAX * share)``, where share is the part of the category's weight whose rules
   are unknown, or of the bundle's sources that are damaged, whichever is larger.
3. The cap is a rule of succession: ``(right + STRENGTH_COUNT * strength) / (fired +
   STRENGTH_COUNT + 1)``. ``fired`` and ``right`` count recorded incidents in which the rule decided
   the verdict; its a-priori strength counts as STRENGTH_COUNT incidents more, and one failure is
   always assumed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from wktriage.core.declarations import Declared
from wktriage.core.model import Tri
from wktriage.core.yaml_files import load_typed
from wktriage.judging.rules import DIRECTORY, Outcome

PRIOR = 0.0
FLOOR = 1 / 12
GAP_MAX = 0.5
RIVALRY = 0.25
RIVALRY_MAX = 0.75
STRENGTH_COUNT = 6
LOWEST = 0.05


class Count(Declared, frozen=True):
    """In how many recorded incidents a rule decided the verdict, and how often rightly so."""

    fired: Annotated[int, Meta(ge=0)]
    right: Annotated[int, Meta(ge=0)]

    def __post_init__(self) -> None:
        if self.right > self.fired:
            raise ValueError("right must not exceed fired")


class SupportFile(Declared, frozen=True):
    """Incidents in which each rule decided the verdict: rules/support.yml."""

    schema_version: Literal[1]
    support: dict[str, Count]


@cache
def support(directory: Path = DIRECTORY) -> dict[str, tuple[int, int]]:
    """Return (fired, right) by rule id from support.yml; rules not in it were never tried."""
    path = directory / "support.yml"
    if not path.is_file():
        return {}
    counts = load_typed(path, SupportFile).support
    return {rule: (count.fired, count.right) for rule, count in counts.items()}


def cap(rule_id: str, strength: float, seen: dict[str, tuple[int, int]] | None = None) -> float:
    """Return the highest confidence that incidents and mechanism together support."""
    fired, right = (support() if seen is None else seen).get(rule_id, (0, 0))
    return (right + STRENGTH_COUNT * strength) / (fired + STRENGTH_COUNT + 1)


def of_verdict(outcomes: Sequence[Outcome], rivals: int, damage: float = 0.0) -> float:
    """Return the confidence (0 to 1, two decimals) of a category that holds.

    ``outcomes`` are all rules of that category, ``rivals`` the number of later categories that
    hold as well, ``damage`` the share (0 to 1) of the sources that are there but unreadable.
    """
    deciding = sorted(
        (o for o in outcomes if o.rule.role == "decides" and o.tri is Tri.YES),
        key=lambda o: (-o.rule.weight, o.rule.id),
    )
    if not deciding:
        return LOWEST
    score = PRIOR + deciding[0].rule.weight + 0.5 * sum(o.rule.weight for o in deciding[1:])
    for outcome in outcomes:
        if outcome.tri is Tri.YES and outcome.rule.role == "supports":
            score += outcome.rule.weight
        elif outcome.tri is Tri.YES and outcome.rule.role == "against":
            score -= outcome.rule.weight
    score -= min(RIVALRY * rivals, RIVALRY_MAX)
    raw = 1 / (1 + math.exp(-score))
    moving = [o for o in outcomes if o.rule.role != "decides"]
    total = deciding[0].rule.weight + sum(o.rule.weight for o in moving)
    gap = sum(o.rule.weight for o in moving if o.tri is Tri.UNKNOWN) / total
    shrunk = FLOOR + (raw - FLOOR) * (1 - GAP_MAX * max(gap, min(damage, 1.0)))
    highest = max(cap(o.rule.id, o.rule.strength) for o in deciding)
    return round(max(LOWEST, min(shrunk, highest)), 2)

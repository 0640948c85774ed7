"""Which category holds: every rule evaluated, the first category in order wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wktriage.core.categories import ABSTAIN, CATEGORIES
from wktriage.core.model import SignalSet, Tri
from wktriage.judging import rules, signals
from wktriage.judging.predicates import kleene_or
from wktriage.judging.rules import Outcome


@dataclass(frozen=True)
class Decision:
    """Which category holds, and what the rules of each say."""

    category: str
    outcomes: tuple[Outcome, ...]
    holds: Mapping[str, Tri]

    def of(self, category: str) -> list[Outcome]:
        """Return the outcomes of one category's rules."""
        return [o for o in self.outcomes if o.rule.category == category]

    def fired(self, category: str, role: str = "decides") -> list[Outcome]:
        """Return the rules of that role that fired, heaviest first."""
        outcomes = [o for o in self.of(category) if o.rule.role == role and o.tri is Tri.YES]
        return sorted(outcomes, key=lambda o: (-o.rule.weight, o.rule.id))

    def also_holding(self) -> list[str]:
        """Return the other categories that hold, in order."""
        return [c for c in CATEGORIES if c != self.category and self.holds[c] is Tri.YES]


def decide(signal_set: SignalSet, success: Mapping[str, Any]) -> Decision:
    """Evaluate every rule; the first category that holds wins, none holding is abstaining."""
    loaded = rules.load(signals.catalogue(), success)
    outcomes = tuple(rules.evaluate(rule, signal_set) for rule in loaded)
    holds = {
        category: kleene_or(
            [o.tri for o in outcomes if o.rule.category == category and o.rule.role == "decides"]
        )
        for category in CATEGORIES
    }
    winner = next((c for c in CATEGORIES if holds[c] is Tri.YES), ABSTAIN)
    return Decision(winner, outcomes, holds)

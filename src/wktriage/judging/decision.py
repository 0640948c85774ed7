"""Which category holds: is the run valid, what was felt, and what did it.

The gates (rules/) come first: whether the evidence is worth anything, whether the stack ever ran,
and whether only old data fail. Then the symptom is measured at the client, and the causes that
have a path to it are ranked (see causes.py). The first category in order that holds wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wktriage.core.categories import ABSTAIN, CATEGORIES
from wktriage.core.model import SignalSet, Tri
from wktriage.judging import causes, ledger, rules, signals, symptom
from wktriage.judging.causes import Abnormal, Candidate
from wktriage.judging.ledger import Ledger
from wktriage.judging.predicates import kleene_or
from wktriage.judging.rules import Outcome
from wktriage.judging.symptom import Symptom


@dataclass(frozen=True)
class Decision:
    """Which category holds, with symptom, ledger, and what each gate and each cause says.

    ``outcomes`` are in the order in which they decide: categories in order, and in each the best
    first. ``abnormal`` are all elements, whether or not anybody felt them.
    """

    category: str
    outcomes: tuple[Outcome, ...]
    holds: Mapping[str, Tri]
    symptom: Symptom
    ledger: Ledger
    abnormal: tuple[Abnormal, ...]

    def of(self, category: str) -> list[Outcome]:
        """Return the outcomes of one category's rules and causes."""
        return [o for o in self.outcomes if o.rule.category == category]

    def fired(self, category: str) -> list[Outcome]:
        """Return the rules and causes of a category that hold, best first."""
        return [o for o in self.of(category) if o.tri is Tri.YES]

    def also_holding(self) -> list[str]:
        """Return the other categories that hold, in order."""
        return [c for c in CATEGORIES if c != self.category and self.holds[c] is Tri.YES]

    def element(self, name: str) -> Abnormal | None:
        """Return an element by its name."""
        return next((a for a in self.abnormal if a.cause.element == name), None)

    @property
    def winner(self) -> Outcome | None:
        """The rule or cause that decided, None where nothing did."""
        return next(iter(self.fired(self.category)), None)

    @property
    def unfelt(self) -> list[Abnormal]:
        """The abnormal elements that have no part in the verdict: remarks."""
        return [a for a in self.abnormal if a.tri is Tri.YES and a.cause.element != causes.UNLISTED]


def decide(signal_set: SignalSet, success: Mapping[str, Any]) -> Decision:
    """Judge a run by its signals; no category that holds is abstaining."""
    catalogue = signals.catalogue()
    loaded = causes.load(catalogue)
    felt = symptom.of(signal_set, success)
    account = ledger.of(signal_set)
    states = {name: causes.abnormal(cause, signal_set) for name, cause in loaded.items()}
    gates = [rules.evaluate(rule, signal_set) for rule in rules.load(catalogue, success)]
    found = [_outcome(c, felt) for c in causes.candidates(felt, account, signal_set, states)]
    every = [*gates, *found]
    outcomes = tuple(o for category in CATEGORIES for o in every if o.rule.category == category)
    holds = {
        category: kleene_or([o.tri for o in outcomes if o.rule.category == category])
        for category in CATEGORIES
    }
    winner = next((c for c in CATEGORIES if holds[c] is Tri.YES), ABSTAIN)
    return Decision(winner, outcomes, holds, felt, account, tuple(states.values()))


def _outcome(candidate: Candidate, felt: Symptom) -> Outcome:
    """Return a candidate in the form that gates and causes share."""
    file, state = candidate.cause.file, candidate.abnormal
    rule = rules.Rule(
        id=f"{candidate.category}.{file.element}",
        category=candidate.category,
        component=candidate.component,
        when=candidate.cause.when,
        needs=(),
        nodes=None,
        message=file.message,
        hypotheses=file.hypotheses,
        title=file.title,
    )
    return Outcome(
        rule,
        candidate.tri,
        state.evaluation,
        state.nodes if candidate.tri is Tri.YES else (),
        felt.missing if candidate.tri is Tri.UNKNOWN else (),
        everywhere=state.everywhere,
        candidate=candidate,
    )

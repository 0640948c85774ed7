"""Which category holds: is the run valid, what was felt, and what did it.

The gates (rules/) come first: whether the evidence is worth anything, whether the stack ever ran,
and whether only old data fail. Then the symptom is measured at the client, and the causes that
have a path to it are ranked (see causes.py). The first category in order that holds wins.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from wktriage.core.categories import ABSTAIN, CATEGORIES, COMPONENTS, HEALTHY
from wktriage.core.model import SignalSet, Tri
from wktriage.judging import candidates, causes, ledger, oddities, rules, signals, symptom
from wktriage.judging.candidates import Abnormal, Candidate
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

    def upstream(self) -> Abnormal | None:
        """Return the most upstream abnormal element, whether or not a symptom could be felt."""
        seen = [a for a in self.unfelt if a.cause.file.category]
        held = {name for a in seen for name in a.cause.file.holds_up.elements}
        return next((a for a in seen if a.cause.element not in held), None)

    @property
    def winner(self) -> Outcome | None:
        """The rule or cause that decided, None where nothing did."""
        return next(iter(self.fired(self.category)), None)

    @property
    def reach(self) -> frozenset[str]:
        """The components from which there is a path to the symptom; empty where none was felt.

        Those of the cause, of what it explains and of what could hold it up, and of the stages that
        take a tenth of a message's time or more. Deliveries have no stage: failed receives lead to
        them. A stack that never ran, or fails on old data only, may be held up from anywhere.
        """
        winner = self.winner
        if winner is None or self.category in (ABSTAIN, HEALTHY):
            return frozenset()
        if winner.candidate is None:
            return frozenset(COMPONENTS)
        element = winner.candidate.cause.element
        explained = {
            o.rule.component
            for o in self.outcomes
            if o.candidate is not None and o.candidate.explained_by == element
        }
        upstream = {
            state.cause.file.component
            for state in self.abnormal
            if element in state.cause.file.holds_up.elements
        }
        stages = {
            ledger.COMPONENTS[stage]
            for stage in ledger.STAGES
            if (self.ledger.cluster.share(stage) or 0) >= ledger.PART
        }
        receives = self.symptom.missed[symptom.FAILED_RECEIVES] is Tri.YES
        deliveries = {"delivery", "presence", "connections"} if receives else set()
        return frozenset({winner.rule.component} | explained | upstream | stages | deliveries)

    @property
    def by_load(self) -> bool:
        """Whether load or contention is what is wrong, as far as a cause tells it."""
        candidate = self.winner.candidate if self.winner is not None else None
        return candidate is None or candidate.cause.file.by_load

    @property
    def unfelt(self) -> list[Abnormal]:
        """The abnormal elements that have no part in the verdict: remarks."""
        return [a for a in self.abnormal if a.tri is Tri.YES and a.cause.element != causes.UNLISTED]


def decide(
    signal_set: SignalSet,
    success: Mapping[str, Any],
    left_out: Collection[str] = (),
    baseline: Mapping[str, Any] | None = None,
) -> Decision:
    """Judge a run by its signals; no category that holds is abstaining.

    ``left_out`` are elements that are taken for unknown to us: how the rest does without them.
    ``baseline`` holds the shares of a message's time by stage that the run's own baseline had.
    """
    catalogue = signals.catalogue()
    loaded = {n: c for n, c in causes.load(catalogue).items() if n not in left_out}
    felt = symptom.of(signal_set, success)
    account = ledger.of(signal_set, baseline)
    states = {name: candidates.abnormal(cause, signal_set) for name, cause in loaded.items()}
    unlisted = states.get(causes.UNLISTED)
    if unlisted is not None and unlisted.tri is Tri.YES:
        odd = oddities.node(oddities.oddities(signal_set))
        states[causes.UNLISTED] = replace(unlisted, nodes=(odd,) if odd is not None else ())
    gates = [rules.evaluate(rule, signal_set) for rule in rules.load(catalogue, success)]
    suspects = [_outcome(c, felt) for c in candidates.candidates(felt, account, signal_set, states)]
    every = [*gates, *suspects]
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

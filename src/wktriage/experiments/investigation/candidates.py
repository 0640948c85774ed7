"""What an investigation could try next, in its order, and what only a person could."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from wktriage.bundle.bundle import Bundle
from wktriage.experiments.hypothesis import MIN_EFFECT
from wktriage.experiments.investigation.journal import CONFIGURATION, MAY_CHANGE, SETTINGS, WORKLOAD
from wktriage.experiments.registration import Variable
from wktriage.experiments.variables import NOT_SET
from wktriage.judging.proposals import Proposal, proposals
from wktriage.request import knobs

PERSON = "person"
LEAST = 0.03
"""A cause that is believed less (as a share) is not tried; refuting others raises it again."""

_ORDER = (*MAY_CHANGE, PERSON)


@dataclass(frozen=True)
class Candidate:
    """One cause with the change that would show it.

    ``kind`` is one of MAY_CHANGE, or PERSON where no knob makes the change. ``change`` is the
    change in words, ``asked`` what an experiment is asked with.
    """

    cause: str
    kind: str
    change: str
    share: float
    asked: Mapping[str, Any] = field(default_factory=dict)
    check: str | None = None

    def told(self, may_change: Collection[str]) -> str:
        """Return it as something to do next, with what it takes."""
        if self.kind == PERSON:
            return f"{self.change} The next run shows it by {self.check}."
        if self.kind in may_change:
            return self.change
        allowed = [name for name in MAY_CHANGE if name in may_change or name == self.kind]
        return f"{self.change}, which needs -e may_change={','.join(allowed)}"


def of(bundle: Bundle, belief: Mapping[str, float], tried: Collection[str]) -> list[Candidate]:
    """Return what is left to try for a failed run: in the order of MAY_CHANGE, likeliest first.

    ``belief`` is by cause, as the case has it now; ``tried`` are the causes that had their turn.
    """
    made = [_candidate(p, belief) for p in proposals(bundle) if p.cause not in tried]
    left = [candidate for candidate in made if candidate is not None]
    # Two hypotheses may ask for the very same change, which tells nothing new.
    first: dict[str, Candidate] = {}
    for candidate in sorted(left, key=lambda c: (_ORDER.index(c.kind), -c.share)):
        first.setdefault(candidate.change, candidate)
    return list(first.values())


def shares(bundle: Bundle) -> dict[str, float]:
    """Return how far a failed run's verdict believes in each cause, before any experiment."""
    return {p.cause: p.share for p in proposals(bundle) if _kind(p) is not None}


def longer_window(verdict: Mapping[str, Any]) -> int | None:
    """Return the window in seconds that a run needs to be classified; None when it is not that."""
    name = str((verdict.get("hypothesis") or {}).get("id"))
    plan = knobs.hypotheses()[name].experiment if name in knobs.hypotheses() else None
    return plan.duration if isinstance(plan, knobs.StateChange) else None


def change_of(variable: Variable) -> str:
    """Return a change in words."""
    setting = variable.fingerprint_input.removeprefix("node_env.")
    name = setting if variable.kind == "config" else variable.knob
    return _change(name, variable.before, variable.after)


def _kind(proposal: Proposal) -> str | None:
    experiment = proposal.experiment
    if experiment["by"] == PERSON:
        return PERSON
    if experiment["knob"] is None or experiment["expect"] is None:
        return None
    if experiment["kind"] == "workload":
        return WORKLOAD
    return SETTINGS if experiment["to"] == NOT_SET else CONFIGURATION


def _candidate(proposal: Proposal, belief: Mapping[str, float]) -> Candidate | None:
    experiment, kind = proposal.experiment, _kind(proposal)
    share = belief.get(proposal.cause, proposal.share)
    if kind is None or share < LEAST:
        return None
    if kind == PERSON:
        to_do = str(experiment["expected_result"])
        return Candidate(proposal.cause, kind, to_do, share, check=experiment["check"])
    asked = {
        "variable": experiment["knob"],
        "value": "" if kind == SETTINGS else str(experiment["to"]),
        "expect": experiment["expect"],
        "min_effect": MIN_EFFECT,
        "cause": proposal.cause,
        "statement": proposal.hypothesis["statement"],
    }
    after = None if kind == SETTINGS else experiment["to"]
    change = _change(str(experiment["variable"]), experiment["from"], after)
    return Candidate(proposal.cause, kind, change, share, asked)


def _change(name: str, before: object, after: object) -> str:
    if after is None:
        return f"{name} = {before} taken away"
    was = NOT_SET if before is None else before
    return f"{name} {was} -> {after}"

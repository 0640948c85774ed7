"""The other categories: how close each came, and why it lost."""

from __future__ import annotations

from typing import Any

from wktriage.core.categories import ABSTAIN, CATEGORIES, HEALTHY
from wktriage.core.model import SignalSet, Tri
from wktriage.judging.candidates import Candidate
from wktriage.judging.causes import UNLISTED
from wktriage.judging.conditions import explain, obstacle
from wktriage.judging.decision import Decision
from wktriage.judging.ledger import PART
from wktriage.judging.rules import Outcome
from wktriage.judging.symptom import CAPACITY, FAILED_RECEIVES, FAILED_SENDS
from wktriage.judging.unknown import in_question, missing_signals
from wktriage.judging.wording import join, show

KEPT = 3
FELT = {
    FAILED_SENDS: "failed sends",
    FAILED_RECEIVES: "failed receives",
    CAPACITY: "sends that are slow or missing",
}
"""What accounts for most of a symptom, in words."""

_ABOUT = {"send_path": FAILED_SENDS, "delivery_path": FAILED_RECEIVES}
NAMED = 4
"""Missing signals that are named for an alternative that cannot be decided."""


def alternatives(decision: Decision, signal_set: SignalSet, sure: float) -> list[dict[str, Any]]:
    """Return the best competitors, why each lost, and its share of what is left.

    ``sure`` is the confidence (0 to 1) of the category that won.
    """
    scored = []
    for category in CATEGORIES:
        if category == decision.category:
            continue
        close, nearest = closeness(category, decision)
        scored.append((close, category, nearest))
    scored.sort(key=lambda item: (-item[0], CATEGORIES.index(item[1])))
    total = sum(close for close, _, _ in scored) or 1.0
    return [
        {
            "category": category,
            "confidence": round((1 - sure) * close / total, 2),
            "why_not": _why_not(category, decision, nearest, signal_set),
        }
        for close, category, nearest in scored[:KEPT]
    ]


def closeness(category: str, decision: Decision) -> tuple[float, Outcome]:
    """Return how close a category came (0 to 1) and the rule of it that came closest."""
    # What the winner would be with another symptom is no rival of it.
    won = decision.winner.candidate if decision.winner is not None else None
    rivals = [
        o
        for o in decision.of(category)
        if won is None or o.candidate is None or o.candidate.cause is not won.cause
    ]
    nearest = max(rivals or decision.of(category), key=_met)
    if decision.holds[category] is Tri.YES:
        return 1.0, nearest
    if decision.holds[category] is Tri.UNKNOWN:
        # That evidence may be worthless is always possible, and says nothing of the cause.
        return 0.05 if category == ABSTAIN else 0.3, nearest
    return 0.3 * _met(nearest), nearest


def _met(outcome: Outcome) -> float:
    """Return how much of it is seen (0 to 1): all of it for an abnormal element."""
    candidate, leaves = outcome.candidate, outcome.evaluation.leaves
    if candidate is not None and candidate.abnormal.tri is Tri.YES:
        return 0.5 if candidate.cause.element == UNLISTED else 1.0
    return sum(leaf.result is Tri.YES for leaf in leaves) / len(leaves) if leaves else 0.0


def _why_not(category: str, decision: Decision, nearest: Outcome, signal_set: SignalSet) -> str:
    if decision.holds[category] is Tri.YES and nearest.candidate is not None:
        return lost(nearest.candidate, decision)
    if decision.holds[category] is Tri.YES:
        return f"It holds as well, but {_words(decision.category)} is decided before it."
    if decision.holds[category] is Tri.UNKNOWN:
        unknown = [o for o in decision.of(category) if o.tri is Tri.UNKNOWN]
        evidence = [in_question(name) for name in missing_signals(unknown)[:NAMED]]
        return f"It cannot be decided without more evidence: {join(evidence)}."
    candidate = nearest.candidate
    if candidate is not None and candidate.abnormal.tri is Tri.YES:
        return lost(candidate, decision)
    missing = obstacle(nearest.rule.when, signal_set)
    if missing is None:
        return "None of its rules holds."
    return explain(_clause(category, decision, nearest), missing)


def lost(candidate: Candidate, decision: Decision, *, named: bool = True) -> str:
    """Return why an abnormal element is not the cause, in words.

    ``named`` is whether the text names the element: not where its name stands beside.
    """
    about = f" ({candidate.cause.file.title})" if named else ""
    seen = f"What is seen of it{about}"
    if candidate.explained_by:
        other = decision.element(candidate.explained_by)
        why = other.cause.file.title if other else "another cause"
        return f"{seen} is explained by {why}."
    winner = decision.winner
    if candidate.late:
        return f"{seen} began only after the symptom."
    if candidate.tri is Tri.YES and winner is not None:
        return f"It holds as well{about}, but {_beaten(candidate, winner)}."
    felt = FELT.get(decision.symptom.kind)
    if set(candidate.cause.file.category) == {"unfelt"}:
        return f"{seen} would be a cause only where the criteria cannot show a symptom."
    if candidate.share is not None and candidate.share < PART and not candidate.abnormal.nodes:
        share = show(candidate.share, "share")
        return f"{seen} holds up only {share} of a message's time."
    if felt is None:
        return f"Nobody felt what is seen of it{about}."
    kind = FELT[_ABOUT.get(candidate.category, CAPACITY)]
    if kind != felt:
        return f"It is about {kind}, and most of the symptom is {felt}."
    return f"{seen} does not cause {felt}, which are most of the symptom."


def _beaten(candidate: Candidate, winner: Outcome) -> str:
    """Return why another cause that holds was taken for the cause, in words."""
    best, title = winner.candidate, winner.rule.title
    if winner.rule.category == "client_bottleneck" != candidate.category:
        return f"{title} is the limit whatever the servers do, and comes before blame of them"
    if winner.rule.category != candidate.category:
        return f"{title} is of a class that is decided first ({_words(winner.rule.category)})"
    shares = (best.share if best is not None else None, candidate.share)
    if shares[0] is not None and shares[1] is not None and shares[0] > shares[1]:
        more, less = (show(share, "share") for share in shares)
        return f"{title} holds up more of a message's time ({more} against {less})"
    return f"{title} lies further beyond its limit"


def _words(category: str) -> str:
    return category.replace("_", " ")


def _clause(category: str, decision: Decision, nearest: Outcome) -> str:
    """Return what would hold if the category did, to be followed by what that would need."""
    if category == HEALTHY:
        return "the run would be healthy"
    if category == ABSTAIN:
        return f"{nearest.rule.title} would make the evidence insufficient"
    verb = "make the run fail" if decision.category == HEALTHY else "explain it"
    return f"{nearest.rule.title} would {verb}"

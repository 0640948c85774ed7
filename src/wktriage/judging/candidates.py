"""Candidates: abnormal elements with a path to the symptom, and which of them is the cause.

An element (a resource, a process, a link, a setting, the load) is abnormal when one of its signs
holds: at its own limit, unlike its peers, or unlike the baseline. An abnormal element with a path
to the symptom is a candidate. Which of several it is, is found in four steps that a person can
follow by hand:

1. *Upstream*: a candidate that another abnormal element holds up is explained by that one.
2. *Onset*: one that was not there yet when the users felt it is none, unless all are so.
3. *Share*: then the one whose stages take the largest share of a message's time.
4. *Contrast*: of equals, the one whose sign lies furthest beyond its limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wktriage.core.model import SignalSet, Tri
from wktriage.judging import predicates
from wktriage.judging.causes import UNLISTED, Cause, Kind
from wktriage.judging.ledger import COMPONENTS, PART, Ledger
from wktriage.judging.predicates import Evaluation, Leaf, kleene_and, kleene_or
from wktriage.judging.symptom import CAPACITY, FAILED_RECEIVES, FAILED_SENDS, Symptom

KNOWN = "known"
"""Explains an unlisted mechanism: a cause that is known holds."""

CLEAREST = 1e6
"""How often beyond its limit a sign may lie: what is divided by next to nothing is no figure."""

SENDS_FAIL_TOO = 0.05
"""Share of failed sends from which on sends fail too where receives dominate."""


@dataclass(frozen=True)
class Abnormal:
    """Whether an element is abnormal, against what, and where.

    ``nodes`` are those that show it, empty where it is one of the whole run; ``everywhere`` says
    that all of several nodes do. ``contrast`` is how often beyond its limit the clearest sign lies.
    """

    cause: Cause
    tri: Tri
    evaluation: Evaluation
    nodes: tuple[str, ...] = ()
    everywhere: bool = False
    against: str = ""
    contrast: float = 1.0


@dataclass(frozen=True)
class Candidate:
    """An abnormal element as the cause of a symptom in one category.

    ``late`` says that it began after the symptom, as far as the moments of both are known.
    """

    abnormal: Abnormal
    category: str
    component: str
    tri: Tri
    share: float | None = None
    explained_by: str = ""
    late: bool = False

    @property
    def cause(self) -> Cause:
        """The element's file."""
        return self.abnormal.cause

    @property
    def rank(self) -> tuple[Any, ...]:
        """Sorts candidates, best first: see the head of this module."""
        share = -1.0 if self.share is None else round(self.share, 1)
        return (
            self.cause.element == UNLISTED,
            -share,
            -round(self.abnormal.contrast, 1),
            self.cause.element,
        )


def abnormal(cause: Cause, signal_set: SignalSet) -> Abnormal:
    """Return whether an element is abnormal.

    The first sign that holds names the nodes; every one that holds of them may be the clearest.
    """
    parts: list[Evaluation] = []
    best: Abnormal | None = None
    for sign, predicate in cause.signs:
        evaluation = (
            predicates.any_node(predicate, signal_set)
            if sign.where == "node"
            else predicate.evaluate(signal_set)
        )
        parts.append(evaluation)
        if evaluation.tri is Tri.YES and best is not None:
            clearer = _contrast(evaluation, best.nodes) if sign.where == "node" else 1.0
            best = replace(best, contrast=max(best.contrast, clearer))
        elif evaluation.tri is Tri.YES:
            nodes = evaluation.nodes if sign.where == "node" else ()
            # What is true of every node singles out none.
            everywhere = len(signal_set.nodes) > 1 and len(nodes) == len(signal_set.nodes)
            best = Abnormal(
                cause,
                Tri.YES,
                evaluation,
                () if everywhere else nodes,
                everywhere,
                sign.against,
                _contrast(evaluation, nodes),
            )
    if best is not None:
        return best
    tri = kleene_or([part.tri for part in parts])
    undecided = () if tri is Tri.NO else tuple(n for part in parts for n in part.undecided)
    leaves = tuple(leaf for part in parts for leaf in part.leaves)
    return Abnormal(cause, tri, Evaluation(tri, leaves, (), tuple(dict.fromkeys(undecided))))


def _contrast(evaluation: Evaluation, nodes: Sequence[str]) -> float:
    """Return how often beyond its limit the clearest comparison lies (1: at it)."""
    return max((_beyond(leaf) for leaf in evaluation.leaves if _speaks(leaf, nodes)), default=1.0)


def _speaks(leaf: Leaf, nodes: Sequence[str]) -> bool:
    return leaf.result is Tri.YES and (leaf.node is None or not nodes or leaf.node in nodes)


def _beyond(leaf: Leaf) -> float:
    value, limit = leaf.value, leaf.threshold
    if isinstance(value, bool) or isinstance(limit, bool):
        return 1.0
    if not isinstance(value, int | float) or not isinstance(limit, int | float) or limit <= 0:
        return 1.0
    if leaf.op in (">", ">="):
        return min(value / limit, CLEAREST)
    return min(limit / value, CLEAREST) if leaf.op in ("<", "<=") and value > 0 else 1.0


def candidates(
    symptom: Symptom, ledger: Ledger, signal_set: SignalSet, states: Mapping[str, Abnormal]
) -> list[Candidate]:
    """Return every cause as a candidate of each of its categories, best first in each.

    ``states`` say by element whether it is abnormal.
    ``tri`` is whether it is the cause: NO where it is not abnormal, has no path to the symptom, or
    is explained by another.
    """
    made = [
        candidate
        for state in states.values()
        for candidate in _of_cause(state.cause, state, symptom, ledger, signal_set)
    ]
    felt = {c.cause.element: c.abnormal for c in made if c.tri is Tri.YES}
    made = [_explained(candidate, felt) for candidate in made]
    holding = [c for c in made if c.tri is Tri.YES and c.cause.element != UNLISTED]
    if not all(c.late for c in holding):
        # What began after the symptom did not cause it, where something else could have.
        made = [replace(c, tri=Tri.NO) if c.late and c.tri is Tri.YES else c for c in made]
    if any(c.tri is Tri.YES and c.cause.element != UNLISTED for c in made):
        # What a cause that is known explains needs no other.
        made = [
            replace(c, tri=Tri.NO, explained_by=KNOWN)
            if c.cause.element == UNLISTED and c.tri is Tri.YES
            else c
            for c in made
        ]
    return sorted(made, key=lambda c: c.rank)


def _of_cause(
    cause: Cause, state: Abnormal, symptom: Symptom, ledger: Ledger, signal_set: SignalSet
) -> list[Candidate]:
    needs = Tri.YES if cause.needs is None else cause.needs.evaluate(signal_set).tri
    share = ledger.held_up(cause.file.holds_up.stages, state.nodes)
    felt: dict[tuple[str, str], list[Tri]] = {}
    stage = ledger.largest() if cause.element == UNLISTED else None
    for kind, category in cause.file.category.items():
        key = (category, cause.file.component)
        if cause.element == UNLISTED and kind == FAILED_RECEIVES:
            key = (category, "delivery")
        elif stage is not None and kind == CAPACITY:
            key = (category, COMPONENTS[stage])
        if state.everywhere and cause.file.everywhere is not None and kind == CAPACITY:
            key = (cause.file.everywhere.capacity, cause.file.everywhere.component)
        felt.setdefault(key, []).append(_felt(kind, cause, symptom, signal_set))
    own: dict[Any, str] = dict(cause.file.category)
    for (category, _), tris in felt.items():
        # Whichever of the two it is, it is the same to this cause.
        if own.get(FAILED_SENDS) == own.get(FAILED_RECEIVES) == category and "both" not in own:
            tris.append(symptom.failures)
    path = _path(state, share, signal_set)
    late = _late(state, symptom, signal_set)
    return [
        Candidate(
            state,
            category,
            component,
            kleene_and([kleene_or(tris), state.tri, needs, path]),
            share,
            late=late,
        )
        for (category, component), tris in felt.items()
    ]


def _late(state: Abnormal, symptom: Symptom, signal_set: SignalSet) -> bool:
    """Tell whether all that shows an element was not there yet when the users felt the symptom."""
    felt = [s.since for n in symptom.signs if (s := signal_set.get(n)) is not None and s.since]
    shown = [leaf.since_not_before for leaf in state.evaluation.leaves if leaf.result is Tri.YES]
    # ISO times in UTC with equal precision sort as text.
    return bool(felt) and bool(shown) and all(m is not None and m > min(felt) for m in shown)


def _path(state: Abnormal, share: float | None, signal_set: SignalSet) -> Tri:
    """Tell whether an abnormal element has a path to the symptom by its own account.

    One of the whole run that holds up hardly any of a message's time has none, unless it counts
    failures itself. What waits for one node waits at the others: for nodes the share tells nothing.
    """
    if share is None or share >= PART or state.nodes or state.everywhere:
        return Tri.YES
    counted = any(
        leaf.result is Tri.YES and _unit(leaf.signal, signal_set) == "count"
        for leaf in state.evaluation.leaves
    )
    return Tri.of(counted or state.tri is not Tri.YES)


def _unit(name: str, signal_set: SignalSet) -> str:
    signal = signal_set.get(name)
    return signal.unit if signal is not None else ""


def _felt(kind: Kind, cause: Cause, symptom: Symptom, signal_set: SignalSet) -> Tri:
    """Tell whether the symptom is of a kind."""
    if kind == "unfelt":
        return ~kleene_or(list(symptom.missed.values()))
    if kind not in ("both", FAILED_RECEIVES):
        return symptom.dominant[kind]
    receives = symptom.dominant[FAILED_RECEIVES]
    if "both" not in cause.file.category:
        return receives
    ratio = signal_set.value("send_error_ratio")
    too = Tri.of(ratio >= SENDS_FAIL_TOO if isinstance(ratio, int | float) else None)
    return kleene_and([receives, too if kind == "both" else ~too])


def _explained(candidate: Candidate, felt: Mapping[str, Abnormal]) -> Candidate:
    """Return the candidate, or NO with the most upstream element that holds it up.

    ``felt`` are the abnormal elements that have a path to the symptom.
    """
    if candidate.tri is not Tri.YES:
        return candidate
    holding = _holding(candidate.abnormal, felt)
    if not holding:
        return candidate
    first = next((name for name in holding if not _holding(felt[name], felt)), holding[0])
    return replace(candidate, tri=Tri.NO, explained_by=first)


def _holding(state: Abnormal, felt: Mapping[str, Abnormal]) -> list[str]:
    """Return the elements that hold one up: on the same nodes, where both are of nodes."""
    here = set(state.nodes)
    return [
        name
        for name, other in felt.items()
        if state.cause.element in other.cause.file.holds_up.elements
        and (not here or not other.nodes or here & set(other.nodes))
    ]

"""The resource table: every element with utilisation, saturation and errors, abnormal or not.

Abnormal means at its own limit, unlike its peers, or unlike the baseline; the signs of each element
are in its file in causes/. Brendan Gregg's USE method asks the same three of every resource.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wktriage.core.model import SignalSet, Tri, Value
from wktriage.judging.alternatives import lost
from wktriage.judging.candidates import Abnormal
from wktriage.judging.causes import UNLISTED, Cause
from wktriage.judging.decision import Decision
from wktriage.judging.predicates import Leaf
from wktriage.judging.rules import Outcome
from wktriage.judging.settings import Setting

CITATIONS = 3
"""Citations of one figure: of its nodes first."""

_STATES = {Tri.YES: "abnormal", Tri.NO: "normal", Tri.UNKNOWN: "unknown"}


def table(decision: Decision, signal_set: SignalSet) -> list[dict[str, Any]]:
    """Return a row for each element that is measured: its state, against what, and its figures."""
    return [
        _row(state, signal_set) for state in decision.abnormal if state.cause.element != UNLISTED
    ]


def _row(state: Abnormal, signal_set: SignalSet) -> dict[str, Any]:
    file = state.cause.file
    return {
        "element": file.element,
        "title": file.title,
        "state": _STATES[state.tri],
        "against": state.against,
        "where": "node" if any(sign.where == "node" for sign in file.signs) else "run",
        "nodes": list(state.nodes),
        "everywhere": state.everywhere,
        "signs": sorted({leaf.signal for leaf in state.evaluation.leaves if _tells(leaf, state)}),
        "measured": {
            what: _figures(name, signal_set) for what, name in _measured(state.cause).items()
        },
    }


def _tells(leaf: Leaf, state: Abnormal) -> bool:
    """Tell whether a comparison is one by which an element shows that it is abnormal."""
    return state.tri is Tri.YES and leaf.result is Tri.YES


def _measured(cause: Cause) -> Mapping[str, str]:
    """Return the names of the element's signals by utilisation, saturation and errors."""
    measured = cause.file.measured
    named = {
        "utilisation": measured.utilisation,
        "saturation": measured.saturation,
        "errors": measured.errors,
    }
    return {what: name for what, name in named.items() if name is not None}


def _figures(name: str, signal_set: SignalSet) -> dict[str, Any]:
    by_node = signal_set.per_node(name)
    nodes: dict[str, Value] = {n: s.value for n, s in by_node.items()}
    whole = signal_set.get(name)
    cited = [*(by_node[n].citations[:1] for n in by_node), whole.citations[:1] if whole else ()]
    citations = dict.fromkeys(c for citations in cited for c in citations)
    return {
        "signal": name,
        "value": whole.value if whole is not None else None,
        "nodes": nodes,
        "citations": [c.as_dict() for c in list(citations)[:CITATIONS]],
    }


def candidates(decision: Decision, suspect: Setting | None = None) -> list[dict[str, Any]]:
    """Return the causes that were looked at: the winner first, then those seen, and why they lost.

    ``suspect`` is a setting that is not the shipped one and has a path to the symptom: it stands
    before all, as what made the cause so.

    Elements that are not abnormal are no candidates; an element appears once, in the category in
    which it came furthest.
    """
    winner = decision.winner
    rows: dict[str, dict[str, Any]] = {}
    ordered = sorted(
        (o for o in decision.outcomes if o.candidate is not None),
        key=lambda o: (o is not winner, o.tri is not Tri.YES, o.tri is not Tri.UNKNOWN, _aside(o)),
    )
    for outcome in ordered:
        candidate = outcome.candidate
        if candidate is None or candidate.abnormal.tri is not Tri.YES:
            continue
        element = candidate.cause.element
        if element == UNLISTED and outcome is not winner:
            continue
        known = rows.get(element)
        if known is not None and (known["explained_by"] or not candidate.explained_by):
            continue
        won = outcome is winner
        rows[element] = {
            "element": element,
            "title": outcome.rule.title,
            "category": candidate.category,
            "component": candidate.component,
            "result": "cause" if won else "lost",
            "nodes": list(candidate.abnormal.nodes),
            "share": candidate.share,
            "contrast": round(candidate.abnormal.contrast, 2),
            "explained_by": candidate.explained_by,
            "why_lost": "" if won else lost(candidate, decision, named=False),
            "explains": _explains(element, decision),
        }
    before = [_of_setting(suspect, winner)] if suspect is not None and winner is not None else []
    return [*before, *rows.values()]


def _aside(outcome: Outcome) -> bool:
    """Tell whether nothing explains why an element is abnormal: those come last."""
    return outcome.candidate is None or not outcome.candidate.explained_by


def _of_setting(suspect: Setting, winner: Outcome) -> dict[str, Any]:
    candidate = winner.candidate
    return {
        "element": suspect.name,
        "title": suspect.text,
        "category": winner.rule.category,
        "component": winner.rule.component,
        "result": "suspect",
        "nodes": [],
        "share": candidate.share if candidate is not None else None,
        "contrast": 1.0,
        "explained_by": "",
        "why_lost": "",
        "explains": [] if candidate is None else [candidate.cause.element],
    }


def _explains(element: str, decision: Decision) -> list[str]:
    names = [
        o.candidate.cause.element
        for o in decision.outcomes
        if o.candidate is not None and o.candidate.explained_by == element
    ]
    return list(dict.fromkeys(names))

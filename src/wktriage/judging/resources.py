"""The resource table: every element with utilisation, saturation and errors, abnormal or not.

Abnormal means at its own limit, unlike its peers, or unlike the baseline; the signs of each element
are in its file in causes/. Brendan Gregg's USE method asks the same three of every resource.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wktriage.core.model import SignalSet, Tri, Value
from wktriage.judging.alternatives import lost
from wktriage.judging.causes import UNLISTED, Abnormal, Cause
from wktriage.judging.decision import Decision

_STATES = {Tri.YES: "abnormal", Tri.NO: "normal", Tri.UNKNOWN: "unknown"}
_RESULTS = {Tri.YES: "cause", Tri.NO: "lost", Tri.UNKNOWN: "unknown"}


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
        "measured": {
            what: _figures(name, signal_set) for what, name in _measured(state.cause).items()
        },
    }


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
    nodes: dict[str, Value] = {n: s.value for n, s in signal_set.per_node(name).items()}
    return {"signal": name, "value": signal_set.value(name), "nodes": nodes}


def candidates(decision: Decision) -> list[dict[str, Any]]:
    """Return the causes that were looked at: the winner first, then those seen, and why they lost.

    Elements that are not abnormal are no candidates; an element appears once, in the category in
    which it came furthest.
    """
    winner = decision.winner
    rows: dict[str, dict[str, Any]] = {}
    ordered = sorted(
        (o for o in decision.outcomes if o.candidate is not None),
        key=lambda o: (o is not winner, o.tri is not Tri.YES, o.tri is not Tri.UNKNOWN),
    )
    for outcome in ordered:
        candidate = outcome.candidate
        if candidate is None or candidate.abnormal.tri is not Tri.YES:
            continue
        element = candidate.cause.element
        known = rows.get(element)
        if known is not None and (known["explained_by"] or not candidate.explained_by):
            continue
        won = outcome is winner
        rows[element] = {
            "element": element,
            "title": outcome.rule.title,
            "category": candidate.category,
            "component": candidate.component,
            "result": "cause" if won else _RESULTS[Tri.NO],
            "nodes": list(candidate.abnormal.nodes),
            "share": candidate.share,
            "contrast": round(candidate.abnormal.contrast, 2),
            "explained_by": candidate.explained_by,
            "why_lost": "" if won else lost(candidate, decision),
            "explains": _explains(element, decision),
        }
    return list(rows.values())


def _explains(element: str, decision: Decision) -> list[str]:
    names = [
        o.candidate.cause.element
        for o in decision.outcomes
        if o.candidate is not None and o.candidate.explained_by == element
    ]
    return list(dict.fromkeys(names))

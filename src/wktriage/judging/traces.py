"""Every signal and every rule of a verdict, for machines and for those who want to see it all."""

from __future__ import annotations

from typing import Any

from wktriage.core.model import SignalSet, Tri
from wktriage.judging import signals
from wktriage.judging.rules import Outcome

_RESULTS = {Tri.YES: "fired", Tri.NO: "not_fired", Tri.UNKNOWN: "unknown"}


def signal_table(signal_set: SignalSet) -> dict[str, Any]:
    """Return every signal of the catalogue by name: unit, value, and the values by node."""
    entries: dict[str, Any] = {}
    for name, meta in signals.catalogue().items():
        whole = signal_set.get(name)
        entry: dict[str, Any] = {"unit": meta["unit"], "value": whole.value if whole else None}
        if whole is not None and whole.since:
            entry["since"] = whole.since
        if whole is not None and whole.value is None and whole.why_unknown:
            entry["why_unknown"] = whole.why_unknown
        nodes = {n: s.value for n, s in signal_set.per_node(name).items()}
        if nodes:
            entry["nodes"] = nodes
        entries[name] = entry
    return entries


def rule_trace(outcome: Outcome) -> dict[str, Any]:
    """Return a rule's result with every comparison that was made for it."""
    trace: dict[tuple[Any, ...], dict[str, Any]] = {}
    for leaf in outcome.evaluation.leaves:
        key = (leaf.signal, leaf.node, leaf.op, str(leaf.threshold))
        if key in trace or leaf.op == "known":
            continue
        trace[key] = {
            "signal": leaf.signal,
            "node": leaf.node,
            "op": leaf.op,
            "threshold": leaf.threshold,
            "value": leaf.value,
            "result": leaf.result.value,
            # What was not looked at in the end needs no place in the evidence.
            "citations": [c.as_dict() for c in leaf.citations[:1]]
            if outcome.tri is Tri.YES or leaf.result is Tri.NO
            else [],
        }
        if leaf.result is Tri.UNKNOWN and leaf.why_unknown:
            trace[key]["why_unknown"] = leaf.why_unknown
    return {
        "id": outcome.rule.id,
        "category": outcome.rule.category,
        "result": _RESULTS[outcome.tri],
        "nodes": list(outcome.nodes),
        "missing": list(outcome.missing),
        "trace": list(trace.values()),
    }

"""Conditions in words: what a rule would have needed, and what a run must meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from wktriage.core.model import SignalSet, Tri, Value
from wktriage.judging import signals
from wktriage.judging.predicates import Predicate
from wktriage.judging.wording import show

_NEGATED = {">": "<=", ">=": "<", "<": ">=", "<=": ">", "==": "!=", "!=": "=="}
_WORDS = {
    ">": "more than",
    ">=": "at least",
    "<": "less than",
    "<=": "at most",
    "==": "exactly",
    "!=": "other than",
}


@dataclass(frozen=True)
class Obstacle:
    """The comparison for which a predicate does not hold. ``op`` is what would have been needed.

    ``other`` is the signal compared with, if it is one. ``everywhere`` says that no node met it,
    so that ``value`` is the one of the node that came closest. ``only`` is False where something
    else would have done as well.
    """

    signal: str
    op: str
    threshold: Value
    value: Value
    other: str | None = None
    node: str | None = None
    everywhere: bool = False
    only: bool = True


def obstacle(predicate: Predicate, signal_set: SignalSet) -> Obstacle | None:
    """Return why a predicate is NO: the first comparison that keeps it so. None when it is not."""
    if predicate.evaluate(signal_set).tri is not Tri.NO:
        return None
    return _obstacle(predicate, signal_set, None, Tri.YES)


def _obstacle(
    predicate: Predicate, signal_set: SignalSet, node: str | None, needed: Tri
) -> Obstacle | None:
    """Return the comparison that keeps the predicate from being what is needed of it."""
    form = predicate.form
    if form in ("signal", "known"):
        return _comparison(predicate, signal_set, node, needed)
    if form == "not":
        return _obstacle(predicate.children[0], signal_set, node, ~needed)
    if form == "seen":
        child = predicate.children[0]
        if child.on_node(signal_set, node) is Tri.UNKNOWN:
            return Obstacle(next(child.signals()), "known", None, None)
        return _obstacle(child, signal_set, node, needed)
    if form in ("any_node", "all_nodes"):
        return _node_obstacle(predicate, signal_set, needed)
    failing = [c for c in predicate.children if c.on_node(signal_set, node) is ~needed]
    # What is looked at last is what is asked for: guards such as {known: x} come before it.
    ordered = failing if needed is Tri.YES else failing[::-1]
    if not ordered:
        return None
    first = _obstacle(ordered[0], signal_set, node, needed)
    alternatives = (form == "any") == (needed is Tri.YES) and len(predicate.children) > 1
    return replace(first, only=False) if first is not None and alternatives else first


def _node_obstacle(predicate: Predicate, signal_set: SignalSet, needed: Tri) -> Obstacle | None:
    child = predicate.children[0]
    failing = [n for n in signal_set.nodes if child.on_node(signal_set, n) is ~needed]
    obstacles = [o for n in failing if (o := _obstacle(child, signal_set, n, needed)) is not None]
    if not obstacles:
        return None
    first = obstacles[0]
    if (predicate.form == "any_node") != (needed is Tri.YES):
        return first
    # No node met it: the one that came closest says most.
    alike = [
        o
        for o in obstacles
        if (o.signal, o.op, o.threshold) == (first.signal, first.op, first.threshold)
    ]
    numbers = [o for o in alike if isinstance(o.value, int | float)]
    if numbers:
        best = max if first.op in (">", ">=") else min
        first = best(numbers, key=lambda o: float(o.value or 0))
    return replace(first, node=None, everywhere=True)


def _comparison(
    predicate: Predicate, signal_set: SignalSet, node: str | None, needed: Tri
) -> Obstacle:
    scope = signals.catalogue()[predicate.name]["scope"]
    at = None if scope == "cluster" else node
    signal = signal_set.get(predicate.name, at)
    value = signal.value if signal is not None else None
    if predicate.form == "known":
        return Obstacle(predicate.name, "known" if needed is Tri.YES else "unknown", None, value)
    op = predicate.op if needed is Tri.YES else _NEGATED[predicate.op]
    threshold = predicate.value
    if predicate.other is not None:
        other = signal_set.get(
            predicate.other,
            None if signals.catalogue()[predicate.other]["scope"] == "cluster" else node,
        )
        threshold = other.value if other is not None else None
    return Obstacle(predicate.name, op, threshold, value, predicate.other, at)


def explain(clause: str, missing: Obstacle) -> str:
    """Return what would have been needed for a clause to hold, and what was seen instead.

    ``A slow store would explain it`` becomes ``A slow store would explain it only with failed
    sends; there were none.``
    """
    entry = signals.catalogue()[missing.signal]
    name, unit = str(entry["title"]), str(entry["unit"])
    if missing.op in ("known", "unknown"):
        recorded = "recorded" if missing.op == "known" else "not recorded"
        needed, seen = (
            f"if the {name} were {recorded}",
            "it is not" if (missing.op == "known") else f"it is {show(missing.value, unit)}",
        )
    elif unit == "bool":
        needed, seen = _of_bool(name, missing)
    elif unit == "count":
        needed, seen = _of_count(name, missing)
    else:
        needed, seen = _of_measure(name, unit, missing)
    only = "only " if missing.only else ""
    return f"{clause[:1].upper()}{clause[1:]} {only}{needed}; {seen}."


def _of_bool(name: str, missing: Obstacle) -> tuple[str, str]:
    needed = (missing.threshold is True) == (missing.op == "==")
    where = f" on {missing.node}" if missing.node else ""
    return (
        (f"with {name}", f"there was none{where}")
        if needed
        else (
            f"without {name}",
            f"there was one{where}" if not where else f"{missing.node} was one",
        )
    )


def _of_count(name: str, missing: Obstacle) -> tuple[str, str]:
    number, value = missing.threshold, missing.value
    most = " at most" if missing.everywhere and missing.op in (">", ">=") and value else ""
    where = f" on {missing.node}" if missing.node else ""
    seen = (
        "there were none"
        if not value
        else (f"there was{most} {show(value)}" if value == 1 else f"there were{most} {show(value)}")
    )
    seen += where
    if missing.other is not None:
        other = signals.catalogue()[missing.other]["title"]
        return f"with {_WORDS[missing.op]} {show(number)} {name} (the number of {other})", seen
    if number == 0:
        return (f"with {name}" if missing.op in (">", "!=") else f"without {name}"), seen
    words = (
        f"{show(number)} or more"
        if missing.op == ">="
        else (f"{_WORDS[missing.op]} {show(number)}")
    )
    return f"with {words} {name}", seen


def _of_measure(name: str, unit: str, missing: Obstacle) -> tuple[str, str]:
    seen = f"it is {show(missing.value, unit)}"
    if missing.everywhere:
        seen += " at most" if missing.op in (">", ">=") else " at least"
    elif missing.node:
        seen += f" on {missing.node}"
    limit = show(missing.threshold, unit)
    if missing.other is not None:
        limit += f", the {signals.catalogue()[missing.other]['title']}"
    words = "" if unit == "string" and missing.op == "==" else f"{_WORDS[missing.op]} "
    return f"if the {name} were {words}{limit}", seen


def criteria(success: Mapping[str, Any]) -> list[str]:
    """Return the comparisons of a success predicate in words."""
    if "signal" in success:
        return [_criterion(success)]
    texts = []
    for form in ("all", "any"):
        for child in success.get(form, []):
            texts += criteria(child)
    if "not" in success:
        texts += [f"not: {text}" for text in criteria(success["not"])]
    return texts


def _criterion(leaf: Mapping[str, Any]) -> str:
    entry = signals.catalogue()[str(leaf["signal"])]
    name, unit, op = entry["title"], str(entry["unit"]), str(leaf["op"])
    if "other_signal" in leaf:
        limit = f"the {signals.catalogue()[str(leaf['other_signal'])]['title']}"
    elif unit == "bool":
        return name if (leaf["value"] is True) == (op == "==") else f"not {name}"
    elif unit == "count" and leaf["value"] == 0 and op in ("==", "<="):
        return f"no {name}"
    else:
        limit = show(leaf["value"], unit)
    return f"{name}: {_WORDS[op]} {limit}"

"""Predicate trees over signals in Kleene's three-valued logic.

The same trees say when a rule fires, when a run is a success, what an experiment expects and when
it stops. Grammar (YAML or JSON)::

    {all: [P, …]}  {any: [P, …]}  {not: P}
    {signal: name, op: ">|>=|<|<=|==|!=", value: X}        or other_signal: name instead of value
    {known: name}  {seen: P}
    {any_node: P}  {all_nodes: P}

Inside a node quantifier a signal of scope node or both means this node's. Missing evidence is
UNKNOWN and stays so under ``not``; only ``known`` and ``seen`` turn it into yes or no. ``seen``
is for evidence that many bundles lack by design (probes, throttling, events): what was not seen
counts as no. A criterion never stands in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from wktriage.core.errors import UsageError
from wktriage.core.model import Citation, Signal, SignalSet, Tri, Value
from wktriage.core.suggestions import did_you_mean

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
_FORMS = ("all", "any", "not", "seen", "signal", "known", "any_node", "all_nodes")
_KEYS = {
    "all": {"all"},
    "any": {"any"},
    "not": {"not"},
    "seen": {"seen"},
    "signal": {"signal", "op", "value", "other_signal"},
    "known": {"known"},
    "any_node": {"any_node"},
    "all_nodes": {"all_nodes"},
}
_DEPTH = 40

Catalogue = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Leaf:
    """One comparison as it was evaluated. ``threshold`` is a value or ``signal <name>``."""

    signal: str
    node: str | None
    op: str
    threshold: Value
    value: Value
    result: Tri
    citations: tuple[Citation, ...] = ()
    since: str | None = None
    since_not_before: str | None = None
    why_unknown: str | None = None


@dataclass(frozen=True)
class Evaluation:
    """Outcome of a predicate: its truth, the leaves looked at, and the nodes it holds for.

    ``undecided`` names the signals that keep it unknown, and is empty when it is not.
    """

    tri: Tri
    leaves: tuple[Leaf, ...] = ()
    nodes: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()


@dataclass(frozen=True)
class Predicate:
    """A checked predicate tree. Make one with :func:`parse`."""

    form: str
    children: tuple[Predicate, ...] = ()
    name: str = ""
    op: str = "=="
    value: Value = None
    other: str | None = None
    scope: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def evaluate(self, signals: SignalSet) -> Evaluation:
        """Evaluate over a bundle's signals."""
        return _evaluate(self, signals, None)

    def on_node(self, signals: SignalSet, node: str | None) -> Tri:
        """Evaluate as inside a quantifier, for that node (None: as outside of one)."""
        return _evaluate(self, signals, node).tri

    def signals(self) -> Iterator[str]:
        """Yield the names of all signals in the tree."""
        if self.name:
            yield self.name
        if self.other:
            yield self.other
        for child in self.children:
            yield from child.signals()


# -- parsing ------------------------------------------------------------------------------------


def parse(raw: Any, where: str, catalogue: Catalogue) -> Predicate:
    """Return the predicate that ``raw`` (parsed YAML) describes.

    ``where`` (file and place) begins every error. Raises UsageError for an unknown form, signal,
    operator or key, and for a node's signal outside a node quantifier.
    """
    scope = {name: str(entry["scope"]) for name, entry in catalogue.items()}
    return _parse(raw, where, scope, in_node=False, depth=0)


def parse_node(raw: Any, where: str, catalogue: Catalogue) -> Predicate:
    """Like :func:`parse`, for a predicate about one node (see :meth:`Predicate.on_node`)."""
    scope = {name: str(entry["scope"]) for name, entry in catalogue.items()}
    return _parse(raw, where, scope, in_node=True, depth=0)


def _parse(
    raw: Any, where: str, scope: Mapping[str, str], *, in_node: bool, depth: int
) -> Predicate:
    if depth > _DEPTH:
        raise UsageError(f"{where}: nested deeper than {_DEPTH}")
    if not isinstance(raw, Mapping):
        raise UsageError(f"{where}: expected a mapping such as {{signal: …}}, found {raw!r:.80}")
    forms = [f for f in _FORMS if f in raw]
    if len(forms) != 1:
        raise UsageError(f"{where}: needs exactly one of {', '.join(_FORMS)}, has {list(raw)!r}")
    form = forms[0]
    extra = set(map(str, raw)) - _KEYS[form]
    if extra:
        raise UsageError(f"{where}: {', '.join(sorted(extra))} cannot stand beside {form}")
    if form in ("all", "any"):
        items = raw[form]
        if not isinstance(items, list) or not items:
            raise UsageError(f"{where}/{form}: needs a non-empty list")
        children = tuple(
            _parse(item, f"{where}/{form}/{i}", scope, in_node=in_node, depth=depth + 1)
            for i, item in enumerate(items)
        )
        return Predicate(form, children, scope=scope)
    if form in ("not", "seen"):
        child = _parse(raw[form], f"{where}/{form}", scope, in_node=in_node, depth=depth + 1)
        return Predicate(form, (child,), scope=scope)
    if form in ("any_node", "all_nodes"):
        if in_node:
            raise UsageError(f"{where}: {form} inside a node quantifier")
        child = _parse(raw[form], f"{where}/{form}", scope, in_node=True, depth=depth + 1)
        return Predicate(form, (child,), scope=scope)
    name = _signal(raw[form], f"{where}/{form}", scope, in_node=in_node)
    if form == "known":
        return Predicate(form, name=name, scope=scope)
    if ("value" in raw) == ("other_signal" in raw):
        raise UsageError(f"{where}: needs either value or other_signal")
    if "other_signal" in raw:
        other = _signal(raw["other_signal"], f"{where}/other_signal", scope, in_node=in_node)
        return Predicate(form, name=name, op=_operator(raw, where), other=other, scope=scope)
    value = raw["value"]
    if not isinstance(value, (int, float, bool, str)):
        raise UsageError(f"{where}/value: needs a number, text, true or false")
    return Predicate(form, name=name, op=_operator(raw, where), value=value, scope=scope)


def _operator(raw: Mapping[str, Any], where: str) -> str:
    op = raw.get("op")
    if op not in OPERATORS:
        raise UsageError(f"{where}/op: {op!r} is none of {' '.join(OPERATORS)}")
    return str(op)


def _signal(name: Any, where: str, scope: Mapping[str, str], *, in_node: bool) -> str:
    if not isinstance(name, str) or name not in scope:
        hint = did_you_mean(name, scope)
        raise UsageError(f"{where}: no signal {name!r} in the catalogue{hint}")
    if scope[name] == "node" and not in_node:
        raise UsageError(f"{where}: {name} is a node's signal: use any_node, all_nodes, …")
    return name


# -- evaluation ---------------------------------------------------------------------------------


def kleene_and(values: list[Tri]) -> Tri:
    """Return NO when one is NO, YES when all are YES, else UNKNOWN."""
    if Tri.NO in values:
        return Tri.NO
    return Tri.UNKNOWN if Tri.UNKNOWN in values else Tri.YES


def kleene_or(values: list[Tri]) -> Tri:
    """Return YES when one is YES, NO when all are NO, else UNKNOWN."""
    return ~kleene_and([~v for v in values])


def _evaluate(p: Predicate, signals: SignalSet, node: str | None) -> Evaluation:
    if p.form in ("any_node", "all_nodes"):
        return _quantifier(p, signals)
    if p.form == "signal":
        leaf = _compare(p, signals, node)
        undecided = (p.name,) if leaf.result is Tri.UNKNOWN else ()
        return Evaluation(leaf.result, (leaf,), undecided=undecided)
    if p.form == "known":
        signal = _lookup(p, p.name, signals, node)
        known = signal is not None and signal.value is not None
        leaf = _leaf(p.name, node, "known", True, signal, Tri.of(known))
        return Evaluation(leaf.result, (leaf,))
    parts = [_evaluate(child, signals, node) for child in p.children]
    leaves = tuple(leaf for part in parts for leaf in part.leaves)
    if p.form == "not":
        # Nodes for which the inner predicate holds are not those for which its negation does.
        return Evaluation(~parts[0].tri, leaves, undecided=parts[0].undecided)
    if p.form == "seen":
        return Evaluation(Tri.of(parts[0].tri is Tri.YES), leaves, parts[0].nodes)
    tris = [part.tri for part in parts]
    tri = kleene_and(tris) if p.form == "all" else kleene_or(tris)
    names = dict.fromkeys(n for part in parts if part.tri is Tri.YES for n in part.nodes)
    return Evaluation(tri, leaves, tuple(names), _undecided(tri, parts))


def any_node(predicate: Predicate, signals: SignalSet) -> Evaluation:
    """Evaluate a predicate about one node (see :func:`parse_node`) as inside ``any_node``."""
    return _quantifier(Predicate("any_node", (predicate,), scope=predicate.scope), signals)


def _undecided(tri: Tri, parts: Iterable[Evaluation]) -> tuple[str, ...]:
    if tri is not Tri.UNKNOWN:
        return ()
    return tuple(dict.fromkeys(name for part in parts for name in part.undecided))


def _quantifier(p: Predicate, signals: SignalSet) -> Evaluation:
    child = p.children[0]
    parts = {node: _evaluate(child, signals, node) for node in signals.nodes}
    leaves = tuple(leaf for part in parts.values() for leaf in part.leaves)
    tris = [part.tri for part in parts.values()]
    if not tris:
        return Evaluation(Tri.UNKNOWN)
    tri = kleene_or(tris) if p.form == "any_node" else kleene_and(tris)
    names = tuple(n for n, e in parts.items() if e.tri is Tri.YES)
    return Evaluation(tri, leaves, names, _undecided(tri, parts.values()))


def _lookup(p: Predicate, name: str, signals: SignalSet, node: str | None) -> Signal | None:
    return signals.get(name, None if p.scope.get(name) == "cluster" else node)


def _compare(p: Predicate, signals: SignalSet, node: str | None) -> Leaf:
    signal = _lookup(p, p.name, signals, node)
    if p.other is None:
        return _leaf(p.name, node, p.op, p.value, signal, _test(p.op, signal, p.value))
    other = _lookup(p, p.other, signals, node)
    right = other.value if other is not None else None
    return _leaf(p.name, node, p.op, f"signal {p.other}", signal, _test(p.op, signal, right))


def _test(op: str, signal: Signal | None, right: Value) -> Tri:
    left = signal.value if signal is not None else None
    if left is None or right is None:
        return Tri.UNKNOWN
    if isinstance(left, str) != isinstance(right, str):
        return Tri.UNKNOWN
    if isinstance(left, bool) != isinstance(right, bool):
        return Tri.UNKNOWN
    if any(isinstance(v, float) and math.isnan(v) for v in (left, right)):
        return Tri.UNKNOWN
    return Tri.of(OPERATORS[op](left, right))


def _leaf(
    name: str, node: str | None, op: str, threshold: Value, signal: Signal | None, result: Tri
) -> Leaf:
    if signal is None:
        return Leaf(name, node, op, threshold, None, result, why_unknown="not computed")
    return Leaf(
        signal=name,
        node=signal.node,
        op=op,
        threshold=threshold,
        value=signal.value,
        result=result,
        citations=signal.citations,
        since=signal.since,
        since_not_before=signal.since_not_before,
        why_unknown=signal.why_unknown,
    )

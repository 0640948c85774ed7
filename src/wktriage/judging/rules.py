"""Gates: data that says whether a run can be judged at all, loaded, checked and evaluated.

One file a category in ``rules/``, for the categories that no cause decides; the first rule of a
file that holds gives the reason. ``facts.yml`` there names predicates that they share. What failed
under the load is found from ``causes/``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from wktriage.core.categories import CATEGORIES, CAUSES, CategoryName, ComponentName
from wktriage.core.declarations import Declared, PredicateTree, Purpose, shown
from wktriage.core.errors import UsageError
from wktriage.core.model import SignalSet, Tri
from wktriage.core.paths import PROJECT
from wktriage.core.suggestions import did_you_mean
from wktriage.core.yaml_files import load_typed
from wktriage.judging import causes, predicates
from wktriage.judging.candidates import Candidate
from wktriage.judging.predicates import Catalogue, Evaluation, Predicate
from wktriage.request import knobs

DIRECTORY = PROJECT / "rules"
GATES = tuple(category for category in CATEGORIES if category not in CAUSES)
"""The categories that gates decide."""

SUCCESS = "success"
"""The fact that stands for the success criteria of the scenario being judged."""


class RuleEntry(Declared, frozen=True):
    """One rule as its file states it; see :class:`Rule`."""

    id: Annotated[str, Meta(pattern=r"^[a-z_]+\.[a-z_]+$")]
    title: Annotated[str, Meta(min_length=5)]
    component: ComponentName
    when: PredicateTree
    message: Purpose
    hypotheses: Annotated[tuple[str, ...], Meta(min_length=1)]
    needs: tuple[str, ...] = ()
    nodes: Annotated[tuple[PredicateTree, ...], Meta(min_length=1)] | None = None


class RuleFile(Declared, frozen=True):
    """The rules of one category: rules/<category>.yml."""

    schema_version: Literal[1]
    category: CategoryName
    rules: Annotated[tuple[RuleEntry, ...], Meta(min_length=1)]


class Fact(Declared, frozen=True):
    """A named predicate that rules share; one of scope node stands inside a node quantifier."""

    scope: Literal["cluster", "node"]
    is_: PredicateTree = msgspec.field(name="is")


class FactFile(Declared, frozen=True):
    """rules/facts.yml."""

    schema_version: Literal[1]
    facts: dict[Annotated[str, Meta(pattern="^[a-z_]+$")], Fact]


@dataclass(frozen=True)
class Rule:
    """One gate, or one cause in one of its categories.

    ``title`` is a noun phrase for what it would mean. ``nodes`` are predicates about one node,
    strongest evidence first: the first that holds for some node names the rule's nodes. Without
    any, those of its own quantifiers are named.
    """

    id: str
    category: str
    component: str
    when: Predicate
    needs: tuple[str, ...]
    nodes: tuple[Predicate, ...] | None
    message: str
    hypotheses: tuple[str, ...]
    title: str


@dataclass(frozen=True)
class Outcome:
    """A rule evaluated on a bundle's signals.

    ``missing`` are the needs that are unknown. ``everywhere`` says that the rule holds for every
    node of several, so that it names none. ``candidate`` is the cause it stands for: a gate has
    none.
    """

    rule: Rule
    tri: Tri
    evaluation: Evaluation
    nodes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    everywhere: bool = False
    candidate: Candidate | None = None


def load(
    catalogue: Catalogue, success: Mapping[str, Any], directory: Path = DIRECTORY
) -> list[Rule]:
    """Return the gates in category order, with ``success`` as the success criteria.

    Raises UsageError naming file and place for anything that is not right, with a suggestion for an
    unknown signal, fact, element or hypothesis.
    """
    facts = load_facts(directory) | {SUCCESS: success}
    loaded: list[Rule] = []
    seen: set[str] = set()
    for category in GATES:
        path = directory / f"{category}.yml"
        file = load_typed(path, RuleFile)
        if file.category != category:
            raise UsageError(f"{shown(path)}: at /category: must be {category}")
        for position, entry in enumerate(file.rules):
            where = f"{shown(path)}: at /rules/{position}"
            if entry.id in seen:
                raise UsageError(f"{where}/id: there is a rule {entry.id} already")
            seen.add(entry.id)
            loaded.append(_rule(entry, category, where, facts, catalogue))
    return loaded


def load_facts(directory: Path = DIRECTORY) -> dict[str, dict[str, Any]]:
    """Return the predicate trees of facts.yml by name. Raises UsageError with file and place."""
    file = load_typed(directory / "facts.yml", FactFile)
    return {name: fact.is_ for name, fact in file.facts.items()}


def _rule(
    entry: RuleEntry,
    category: str,
    where: str,
    facts: Mapping[str, Mapping[str, Any]],
    catalogue: Catalogue,
) -> Rule:
    nodes = None
    if entry.nodes is not None:
        nodes = tuple(
            predicates.parse_node(
                _whole(raw, facts, f"{where}/nodes/{i}", in_node=True),
                f"{where}/nodes/{i}",
                catalogue,
            )
            for i, raw in enumerate(entry.nodes)
        )
    _check_names(entry.needs, catalogue, f"{where}/needs", "signal")
    _check_names(entry.hypotheses, knobs.hypotheses(), f"{where}/hypotheses", "hypothesis")
    return Rule(
        id=entry.id,
        category=category,
        component=entry.component,
        when=predicates.parse(
            _whole(entry.when, facts, f"{where}/when"), f"{where}/when", catalogue
        ),
        needs=entry.needs,
        nodes=nodes,
        message=entry.message,
        hypotheses=entry.hypotheses,
        title=entry.title,
    )


def _check_names(names: Sequence[str], known: Iterable[str], where: str, what: str) -> None:
    for position, name in enumerate(names):
        if name not in known:
            raise UsageError(f"{where}/{position}: no {what} {name!r}{did_you_mean(name, known)}")


def _whole(
    raw: Any, facts: Mapping[str, Mapping[str, Any]], where: str, *, in_node: bool = False
) -> Any:
    """Return the tree with what its facts and its elements stand for."""
    return causes.expand(_expand(raw, facts, where), causes.files(), where, in_node=in_node)


def _expand(raw: Any, facts: Mapping[str, Any], where: str, trail: tuple[str, ...] = ()) -> Any:
    """Return the tree with each {fact: name} replaced by what the fact says."""
    if isinstance(raw, list):
        return [_expand(item, facts, where, trail) for item in raw]
    if not isinstance(raw, Mapping):
        return raw
    if "fact" not in raw:
        return {key: _expand(value, facts, where, trail) for key, value in raw.items()}
    name = raw["fact"]
    if set(raw) != {"fact"}:
        raise UsageError(f"{where}: nothing can stand beside fact")
    if name not in facts:
        raise UsageError(f"{where}/fact: no fact {name!r}{did_you_mean(name, facts)}")
    if name in trail:
        raise UsageError(f"{where}: fact {name} refers to itself")
    return _expand(facts[name], facts, where, (*trail, name))


def evaluate(rule: Rule, signals: SignalSet) -> Outcome:
    """Evaluate a rule. One that would fire while something it needs is unknown is unknown."""
    evaluation = rule.when.evaluate(signals)
    missing = tuple(name for name in rule.needs if not _known(name, signals))
    tri = Tri.UNKNOWN if evaluation.tri is Tri.YES and missing else evaluation.tri
    nodes = _nodes_of(rule, evaluation, signals) if tri is Tri.YES else ()
    # What is true of every node singles out none.
    everywhere = len(signals.nodes) > 1 and len(nodes) == len(signals.nodes)
    return Outcome(rule, tri, evaluation, () if everywhere else nodes, missing, everywhere)


def _known(name: str, signals: SignalSet) -> bool:
    whole = signals.get(name)
    if whole is not None and whole.value is not None:
        return True
    return any(s.value is not None for s in signals.per_node(name).values())


def _nodes_of(rule: Rule, evaluation: Evaluation, signals: SignalSet) -> tuple[str, ...]:
    if rule.nodes is None:
        return evaluation.nodes
    for predicate in rule.nodes:
        nodes = tuple(n for n in signals.nodes if predicate.on_node(signals, n) is Tri.YES)
        if nodes:
            return nodes
    return ()

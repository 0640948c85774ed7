"""Rules: data that maps signals to categories, loaded, checked and evaluated.

One file a category in ``rules/``; ``facts.yml`` there names predicates that rules share. A rule's
``role`` is ``decides`` (the category holds when one of these fires), ``supports`` or ``against``
(they move confidence only).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wktriage.core import schemas
from wktriage.core.errors import UsageError
from wktriage.core.model import SignalSet, Tri
from wktriage.core.paths import PROJECT
from wktriage.core.yaml_files import read_mapping
from wktriage.judging import predicates
from wktriage.judging.categories import CATEGORIES
from wktriage.judging.predicates import Catalogue, Evaluation, Predicate

DIRECTORY = PROJECT / "rules"

COMPONENTS = (
    "none",
    "client",
    "gateway",
    "channel_append",
    "storage_commit",
    "replication",
    "slot_raft",
    "controller",
    "transport",
    "delivery",
    "presence",
    "connections",
    "node_process",
    "host",
    "stack",
    "history",
)
SUCCESS = "success"
"""The fact that stands for the success criteria of the scenario being judged."""


@dataclass(frozen=True)
class Rule:
    """One rule. ``weight`` is in log-odds, ``strength`` the reliability of its mechanism a priori.

    ``title`` (deciding rules) is a noun phrase for what the rule would mean.

    ``nodes`` are predicates about one node, strongest evidence first: the first that holds for
    some node names the rule's nodes. Without any, those of its own quantifiers are named.
    """

    id: str
    category: str
    role: str
    weight: float
    strength: float
    component: str
    when: Predicate
    needs: tuple[str, ...]
    nodes: tuple[Predicate, ...] | None
    message: str
    hypotheses: tuple[str, ...]
    title: str = ""


@dataclass(frozen=True)
class Outcome:
    """A rule evaluated on a bundle's signals.

    ``missing`` are the needs that are unknown. ``everywhere`` says that the rule holds for every
    node of several, so that it names none.
    """

    rule: Rule
    tri: Tri
    evaluation: Evaluation
    nodes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    everywhere: bool = False


def load(
    catalogue: Catalogue,
    success: Mapping[str, Any],
    directory: Path = DIRECTORY,
    *,
    validate: bool = False,
) -> list[Rule]:
    """Return all rules in category order, with ``success`` as the success criteria.

    ``validate`` also checks every file against its JSON schema. Raises UsageError naming file and
    place for anything that is not right.
    """
    facts = _facts(directory, validate=validate) | {SUCCESS: {"scope": "cluster", "is": success}}
    loaded: list[Rule] = []
    seen: set[str] = set()
    for category in CATEGORIES:
        path = directory / f"{category}.yml"
        raw = read_mapping(path)
        if validate:
            _check("rule", raw, path.name)
        if raw.get("category") != category:
            raise UsageError(f"{path.name}/category: must be {category}")
        for i, entry in enumerate(raw["rules"]):
            rule = _rule(entry, category, f"{path.name}/rules/{i}", facts, catalogue)
            if rule.id in seen:
                raise UsageError(f"{path.name}/rules/{i}/id: {rule.id} is there already")
            seen.add(rule.id)
            loaded.append(rule)
    return loaded


def _rule(
    entry: Mapping[str, Any],
    category: str,
    where: str,
    facts: Mapping[str, Any],
    catalogue: Catalogue,
) -> Rule:
    try:
        where = f"{where} ({entry['id']})"
        nodes = None
        if "nodes" in entry:
            nodes = tuple(
                predicates.parse_node(
                    _expand(raw, facts, f"{where}/nodes/{i}"), f"{where}/nodes/{i}", catalogue
                )
                for i, raw in enumerate(entry["nodes"])
            )
        rule = Rule(
            id=entry["id"],
            category=category,
            role=entry["role"],
            weight=float(entry["weight"]),
            strength=float(entry.get("strength", 0.5)),
            component=entry["component"],
            when=predicates.parse(
                _expand(entry["when"], facts, f"{where}/when"), f"{where}/when", catalogue
            ),
            needs=tuple(entry.get("needs", ())),
            nodes=nodes,
            message=entry["message"],
            hypotheses=tuple(entry.get("hypotheses", ())),
            title=entry.get("title", ""),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise UsageError(f"{where}: not a usable rule: {exc!r}") from exc
    for name in rule.needs:
        if name not in catalogue:
            raise UsageError(f"{where}/needs: no signal {name!r} in the catalogue")
    if rule.component not in COMPONENTS:
        raise UsageError(f"{where}/component: {rule.component!r} is no component")
    return rule


def _facts(directory: Path, *, validate: bool) -> dict[str, Any]:
    path = directory / "facts.yml"
    raw = read_mapping(path)
    if validate:
        _check("facts", raw, path.name)
    return dict(raw["facts"])


def _expand(raw: Any, facts: Mapping[str, Any], where: str, trail: tuple[str, ...] = ()) -> Any:
    """Return the tree with each {fact: name} replaced by what the fact says."""
    if isinstance(raw, list):
        return [_expand(item, facts, where, trail) for item in raw]
    if not isinstance(raw, Mapping):
        return raw
    if "fact" not in raw:
        return {key: _expand(value, facts, where, trail) for key, value in raw.items()}
    name = raw["fact"]
    if set(raw) != {"fact"} or name not in facts:
        raise UsageError(f"{where}: no fact {name!r} in facts.yml")
    if name in trail:
        raise UsageError(f"{where}: fact {name} refers to itself")
    return _expand(facts[name]["is"], facts, where, (*trail, name))


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


def _check(name: str, document: Any, where: str) -> None:
    try:
        schemas.validate(name, document)
    except schemas.SchemaError as exc:
        raise UsageError(f"{where}: {exc}") from exc

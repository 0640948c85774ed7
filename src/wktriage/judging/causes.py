"""Causes: what may be at fault, how it shows, and what it holds up, as one file each in causes/.

An element (a resource, a process, a link, a setting, the load) is abnormal when one of its signs
holds: at its own limit, unlike its peers, or unlike the baseline. An abnormal element with a path
to the symptom is a candidate. Which of several it is, is found in three steps that a person can
follow by hand:

1. *Upstream*: a candidate that another abnormal element holds up is explained by that one.
2. *Share*: of those left, the one whose stages take the largest share of a message's time.
3. *Contrast*: of equals, the one whose sign lies furthest beyond its limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from wktriage.core.categories import CAUSES, CategoryName, ComponentName
from wktriage.core.declarations import Declared, PredicateTree, Purpose, shown
from wktriage.core.errors import UsageError
from wktriage.core.model import SignalSet, Tri
from wktriage.core.paths import PROJECT
from wktriage.core.suggestions import did_you_mean
from wktriage.core.yaml_files import load_typed
from wktriage.judging import predicates
from wktriage.judging.ledger import COMPONENTS, PART, Ledger, StageName
from wktriage.judging.predicates import (
    Catalogue,
    Evaluation,
    Leaf,
    Predicate,
    kleene_and,
    kleene_or,
)
from wktriage.judging.symptom import CAPACITY, FAILED_RECEIVES, FAILED_SENDS, Symptom
from wktriage.request import knobs

DIRECTORY = PROJECT / "causes"
UNLISTED = "unlisted"
"""Stands for what no file names: stage, node and resource are still said."""

Kind = Literal["failed_sends", "failed_receives", "both", "capacity", "unfelt"]
"""Symptoms that a cause may have. ``both``: receives dominate, and many sends fail too (when a
cause does not say what it is then, it is ``failed_receives``). ``unfelt``: the criteria cannot show
it, since nothing verifies receives or the counters were not published yet."""

SENDS_FAIL_TOO = 0.05
"""Share of failed sends from which on sends fail too where receives dominate."""


class Sign(Declared, frozen=True):
    """One way in which an element shows that it is at fault; one ``where: node`` names nodes."""

    against: Literal["limit", "peers", "baseline"]
    where: Literal["node", "run"]
    when: PredicateTree


class Measured(Declared, frozen=True):
    """The signals by which the element is seen: utilisation, saturation, errors (USE)."""

    utilisation: str | None = None
    saturation: str | None = None
    errors: str | None = None


class HoldsUp(Declared, frozen=True):
    """What waits while the element is at fault: stages of a message's way, and other elements."""

    stages: tuple[StageName, ...] = ()
    elements: tuple[str, ...] = ()


class Everywhere(Declared, frozen=True):
    """What it is instead when every node shows the sign."""

    capacity: CategoryName
    component: ComponentName


class CauseFile(Declared, frozen=True):
    """One element: causes/<element>.yml."""

    schema_version: Literal[1]
    element: Annotated[str, Meta(pattern="^[a-z_]+$")]
    title: Annotated[str, Meta(min_length=5)]
    component: ComponentName
    signs: Annotated[tuple[Sign, ...], Meta(min_length=1)]
    category: dict[Kind, CategoryName]
    message: Purpose
    measured: Measured = Measured()
    needs: PredicateTree | None = None
    everywhere: Everywhere | None = None
    holds_up: HoldsUp = HoldsUp()
    hypotheses: tuple[str, ...] = ()
    regression_test: str | None = None
    by_load: bool = False
    """Whether load or contention is what is wrong: isolated scenarios come before mixed ones."""

    def __post_init__(self) -> None:
        if self.category and None in (self.hypotheses or None, self.regression_test):
            raise ValueError("a cause that has a category needs hypotheses and regression_test")
        if wrong := set(self.category.values()) - CAUSES:
            raise ValueError(f"{', '.join(sorted(wrong))} cannot be a cause's category")


@dataclass(frozen=True)
class Cause:
    """An element with its predicates parsed. ``signs`` are those of the file, strongest first."""

    file: CauseFile
    signs: tuple[tuple[Sign, Predicate], ...]
    needs: Predicate | None

    @property
    def element(self) -> str:
        """The name of the element."""
        return self.file.element

    @cached_property
    def when(self) -> Predicate:
        """One predicate for all signs."""
        return Predicate(
            "any",
            tuple(
                Predicate("any_node", (p,), scope=p.scope) if s.where == "node" else p
                for s, p in self.signs
            ),
        )


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
    """An abnormal element as the cause of a symptom in one category."""

    abnormal: Abnormal
    category: str
    component: str
    tri: Tri
    share: float | None = None
    explained_by: str = ""

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


# -- loading --------------------------------------------------------------------------------------


def load(catalogue: Catalogue, directory: Path = DIRECTORY) -> Mapping[str, Cause]:
    """Return all causes by element.

    Raises UsageError naming file and place for anything that is not right: an unknown signal,
    element or hypothesis, and elements that hold each other up in a circle.
    """
    return _load(directory) if catalogue is _catalogue() else read(directory, catalogue)


@cache
def _load(directory: Path) -> Mapping[str, Cause]:
    return read(directory, _catalogue())


def _catalogue() -> Catalogue:
    from wktriage.judging import signals

    return signals.catalogue()


@cache
def files(directory: Path = DIRECTORY) -> Mapping[str, CauseFile]:
    """Return the cause files by element, as they are. Raises UsageError for a broken one."""
    return {path.stem: load_typed(path, CauseFile) for path in sorted(directory.glob("*.yml"))}


def read(directory: Path, catalogue: Catalogue) -> dict[str, Cause]:
    """Return all causes by element, checked and parsed anew. Raises UsageError as load does."""
    known = files(directory)
    for name, file in known.items():
        where = shown(directory / f"{name}.yml")
        if file.element != name:
            raise UsageError(f"{where}: at /element: must be {name}, as the file is called")
        _check(file.holds_up.elements, known, f"{where}: at /holds_up/elements", "element")
        _check(file.hypotheses, knobs.hypotheses(), f"{where}: at /hypotheses", "hypothesis")
        seen = (file.measured.utilisation, file.measured.saturation, file.measured.errors)
        _check(filter(None, seen), catalogue, f"{where}: at /measured", "signal")
    _check_circles(known, directory)
    return {name: _parsed(file, known, directory, catalogue) for name, file in known.items()}


def _check(names: Iterable[str], known: Iterable[str], where: str, what: str) -> None:
    for name in names:
        if name not in known:
            raise UsageError(f"{where}: no {what} {name!r}{did_you_mean(name, known)}")


def _check_circles(known: Mapping[str, CauseFile], directory: Path) -> None:
    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            circle = " > ".join((*trail[trail.index(name) :], name))
            raise UsageError(f"{shown(directory)}: elements hold each other up: {circle}")
        for other in known[name].holds_up.elements:
            visit(other, (*trail, name))

    for name in known:
        visit(name, ())


def _parsed(
    file: CauseFile, known: Mapping[str, CauseFile], directory: Path, catalogue: Catalogue
) -> Cause:
    where = shown(directory / f"{file.element}.yml")
    signs = []
    for position, sign in enumerate(file.signs):
        place = f"{where}: at /signs/{position}/when"
        tree = expand(sign.when, known, place, in_node=sign.where == "node")
        if sign.where == "node":
            signs.append((sign, predicates.parse_node(tree, place, catalogue)))
        else:
            signs.append((sign, predicates.parse(tree, place, catalogue)))
    needs = None
    if file.needs is not None:
        place = f"{where}: at /needs"
        needs = predicates.parse(expand(file.needs, known, place), place, catalogue)
    return Cause(file, tuple(signs), needs)


def expand(
    raw: Any,
    known: Mapping[str, CauseFile],
    where: str,
    *,
    in_node: bool = False,
    trail: tuple[str, ...] = (),
) -> Any:
    """Return the tree with each ``{abnormal: element}`` replaced by that element's signs.

    Inside a node quantifier only the signs of nodes are meant. Raises UsageError for an unknown
    element and for one that refers to itself.
    """
    if isinstance(raw, list):
        return [expand(item, known, where, in_node=in_node, trail=trail) for item in raw]
    if not isinstance(raw, Mapping):
        return raw
    if "abnormal" not in raw:
        inside = in_node or bool({"any_node", "all_nodes"} & set(raw))
        return {
            key: expand(value, known, where, in_node=inside, trail=trail)
            for key, value in raw.items()
        }
    name = raw["abnormal"]
    if name not in known:
        raise UsageError(f"{where}: no element {name!r}{did_you_mean(str(name), known)}")
    if name in trail:
        raise UsageError(f"{where}: element {name} refers to itself")
    parts = []
    for sign in known[name].signs:
        if in_node and sign.where == "run":
            continue
        tree = expand(sign.when, known, where, in_node=sign.where == "node", trail=(*trail, name))
        parts.append({"any_node": tree} if sign.where == "node" and not in_node else tree)
    if not parts:
        raise UsageError(f"{where}: no sign of {name} is one of a node")
    return {"any": parts}


# -- judging --------------------------------------------------------------------------------------


def abnormal(cause: Cause, signal_set: SignalSet) -> Abnormal:
    """Return whether an element is abnormal. The first sign that holds names the nodes."""
    parts: list[Evaluation] = []
    best: Abnormal | None = None
    for sign, predicate in cause.signs:
        evaluation = (
            predicates.any_node(predicate, signal_set)
            if sign.where == "node"
            else predicate.evaluate(signal_set)
        )
        parts.append(evaluation)
        if evaluation.tri is Tri.YES and best is None:
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
        return value / limit
    return limit / value if leaf.op in ("<", "<=") and value > 0 else 1.0


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
    held = {c.category for c in made if c.tri is Tri.YES and c.cause.element != UNLISTED}
    made = [
        replace(c, tri=Tri.NO, explained_by="a cause that is known")
        if c.cause.element == UNLISTED and c.tri is Tri.YES and c.category in held
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
    return [
        Candidate(
            state, category, component, kleene_and([kleene_or(tris), state.tri, needs, path]), share
        )
        for (category, component), tris in felt.items()
    ]


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

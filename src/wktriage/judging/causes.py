"""Causes: what may be at fault, how it shows, and what it holds up, as one file each in causes/."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from wktriage.core.categories import CAUSES, CategoryName, ComponentName
from wktriage.core.declarations import Declared, PredicateTree, Purpose, shown
from wktriage.core.errors import UsageError
from wktriage.core.paths import PROJECT
from wktriage.core.suggestions import did_you_mean
from wktriage.core.yaml_files import load_typed
from wktriage.judging import predicates
from wktriage.judging.ledger import StageName
from wktriage.judging.predicates import Catalogue, Predicate
from wktriage.request import knobs

DIRECTORY = PROJECT / "causes"
UNLISTED = "unlisted"
"""Stands for what no file names: stage, node and resource are still said."""

Kind = Literal["failed_sends", "failed_receives", "both", "capacity", "unfelt"]
"""Symptoms that a cause may have. ``both``: receives dominate, and many sends fail too (when a
cause does not say what it is then, it is ``failed_receives``). ``unfelt``: the criteria cannot show
it, since nothing verifies receives or the counters were not published yet."""


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
    known_from: Purpose
    """By what the mechanism and its numbers are known: incidents, findings, runs by hand, a
    criterion, a limit of the kernel or of the server's source."""
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

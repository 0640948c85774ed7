"""Expectations: what a typed predicate says will be seen, and which signals it says will move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wktriage.core.errors import UsageError
from wktriage.experiments.effects import Direction
from wktriage.judging.predicates import Catalogue, Predicate
from wktriage.judging.typed_predicates import parse, tree

__all__ = ["Effect", "effects", "has_number", "negation", "parse", "text_of", "tree"]

_DIRECTIONS = {
    ">": Direction.INCREASE,
    ">=": Direction.INCREASE,
    "<": Direction.DECREASE,
    "<=": Direction.DECREASE,
}
_OPPOSITE = {
    Direction.INCREASE: Direction.DECREASE,
    Direction.DECREASE: Direction.INCREASE,
}


@dataclass(frozen=True)
class Effect:
    """One signal that an expectation says will move, which way, and the number it names."""

    signal: str
    direction: Direction
    threshold: float


def negation(text: str) -> str:
    """Return the text that says the opposite."""
    return f"not ({text})"


def has_number(predicate: Predicate) -> bool:
    """Tell whether a comparison of a signal with a number is in the predicate."""
    number = isinstance(predicate.value, int | float) and not isinstance(predicate.value, bool)
    if predicate.form in ("signal", "count_nodes") and number:
        return True
    return any(has_number(child) for child in predicate.children)


def text_of(predicate: Predicate) -> str:
    """Return a predicate as it would be typed."""
    if predicate.form == "signal":
        right = predicate.other
        if right is None:
            value = predicate.value
            right = str(value).lower() if isinstance(value, bool) else str(value)
        return f"{predicate.name} {predicate.op} {right}"
    if predicate.form == "known":
        return f"known({predicate.name})"
    inner = [text_of(child) for child in predicate.children]
    if predicate.form in ("all", "any"):
        word = " and " if predicate.form == "all" else " or "
        return f"({word.join(inner)})"
    if predicate.form == "not":
        return f"not ({inner[0]})"
    return f"{predicate.form}({inner[0]})"


def effects(predicate: Predicate, catalogue: Catalogue, what: str) -> tuple[Effect, ...]:
    """Return the effects that an expectation says: each is compared, control against treatment.

    Counters, equalities, facts and what is said of single nodes are no effects: of these it is
    counted in how many runs they hold. Raises UsageError for an "or": an effect of which only one
    part need be there cannot be refuted part by part.
    """
    return tuple(dict.fromkeys(_effects(predicate, catalogue, what, negated=False)))


def _effects(
    predicate: Predicate, catalogue: Catalogue, what: str, *, negated: bool
) -> Iterator[Effect]:
    form = predicate.form
    if form == ("all" if negated else "any"):
        raise UsageError(
            f"{what}: no 'or' (nor 'not' before an 'and') here; register one experiment for each"
        )
    if form == "signal":
        direction = _DIRECTIONS.get(predicate.op)
        value = predicate.value
        unit = catalogue[predicate.name].get("unit")
        if direction is None or unit == "count" or isinstance(value, bool | str | None):
            return
        yield Effect(predicate.name, _OPPOSITE[direction] if negated else direction, float(value))
    elif form in ("all", "any", "not"):
        for child in predicate.children:
            yield from _effects(child, catalogue, what, negated=negated ^ (form == "not"))

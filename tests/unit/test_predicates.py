from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wktriage.core.errors import UnknownSignalError, UsageError
from wktriage.core.model import Signal, SignalSet, Tri
from wktriage.judging import predicates

CATALOGUE = {
    "a": {"scope": "cluster"},
    "b": {"scope": "cluster"},
    "n": {"scope": "node"},
    "both": {"scope": "both"},
}
NODES = ("wk-node1", "wk-node2", "wk-node3")


def signals(values: dict[str, Any], per_node: dict[str, list[Any]] | None = None) -> SignalSet:
    found = SignalSet(names=CATALOGUE, nodes=NODES)
    for name, value in values.items():
        found.add(Signal(name, "count", value))
    for name, row in (per_node or {}).items():
        for node, value in zip(NODES, row, strict=True):
            found.add(Signal(name, "count", value, node=node))
    return found


def tri(raw: Any, found: SignalSet) -> Tri:
    return predicates.parse(raw, "test", CATALOGUE).evaluate(found).tri


LEAVES = st.one_of(
    st.builds(
        lambda s, op, v: {"signal": s, "op": op, "value": v},
        st.sampled_from(["a", "b", "both"]),
        st.sampled_from(list(predicates.OPERATORS)),
        st.integers(0, 3),
    ),
    st.builds(
        lambda form, op, v: {form: {"signal": "n", "op": op, "value": v}},
        st.sampled_from(["any_node", "all_nodes"]),
        st.sampled_from(list(predicates.OPERATORS)),
        st.integers(0, 3),
    ),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda items: {"all": items}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda items: {"any": items}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda item: {"not": item}, inner),
    ),
    max_leaves=8,
)
MAYBE = st.one_of(st.none(), st.integers(0, 3))
WORLD = st.tuples(MAYBE, MAYBE, MAYBE, st.lists(MAYBE, min_size=3, max_size=3))


def world(values: tuple[Any, Any, Any, list[Any]]) -> SignalSet:
    a, b, both, row = values
    return signals({"a": a, "b": b, "both": both}, {"n": row})


@given(st.lists(TREES, min_size=1, max_size=4), WORLD)
def test_de_morgan(items: list[Any], values: Any) -> None:
    found = world(values)
    negated = [{"not": i} for i in items]
    assert tri({"not": {"all": items}}, found) is tri({"any": negated}, found)
    assert tri({"not": {"any": items}}, found) is tri({"all": negated}, found)


@given(TREES, WORLD, st.tuples(*[st.integers(0, 3)] * 6))
def test_evidence_never_flips_what_was_decided_without_it(
    tree: Any, values: Any, filler: tuple[int, ...]
) -> None:
    a, b, both, row = values
    before = tri(tree, world(values))
    full = (
        filler[0] if a is None else a,
        filler[1] if b is None else b,
        filler[2] if both is None else both,
        [f if v is None else v for f, v in zip(filler[3:], row, strict=True)],
    )
    after = tri(tree, world(full))
    assert after is not Tri.UNKNOWN
    if before is not Tri.UNKNOWN:
        assert after is before


@given(TREES, WORLD)
def test_double_negation(tree: Any, values: Any) -> None:
    found = world(values)
    assert tri({"not": {"not": tree}}, found) is tri(tree, found)


def test_unknown_is_neither_yes_nor_no() -> None:
    found = signals({"a": None})
    leaf = {"signal": "a", "op": "==", "value": 0}
    assert tri(leaf, found) is Tri.UNKNOWN
    assert tri({"not": leaf}, found) is Tri.UNKNOWN
    assert tri({"known": "a"}, found) is Tri.NO


@pytest.mark.parametrize("value", [float("nan"), "text", True])
def test_what_cannot_be_compared_is_unknown(value: Any) -> None:
    assert tri({"signal": "a", "op": ">", "value": 1}, signals({"a": value})) is Tri.UNKNOWN


def test_nodes_are_those_for_which_the_quantifier_holds() -> None:
    found = signals({}, {"n": [1, None, 5]})
    raw = {"any_node": {"signal": "n", "op": ">", "value": 2}}
    result = predicates.parse(raw, "t", CATALOGUE).evaluate(found)
    assert result.tri is Tri.YES
    assert result.nodes == ("wk-node3",)
    inverted = predicates.parse({"not": {"not": raw}}, "t", CATALOGUE).evaluate(found)
    assert inverted.nodes == ()


def test_no_nodes_known_is_unknown() -> None:
    empty = SignalSet(names=CATALOGUE)
    assert tri({"all_nodes": {"signal": "n", "op": ">", "value": 0}}, empty) is Tri.UNKNOWN


def test_a_name_that_is_not_in_the_catalogue_is_a_mistake_and_not_unknown() -> None:
    some = signals({"a": 1})
    for ask in (some.get, some.per_node, some.value):
        with pytest.raises(UnknownSignalError, match="'bth'; did you mean 'both'"):
            ask("bth")
    with pytest.raises(UnknownSignalError):
        some.add(Signal("c", "count", 1))
    assert some.get("b") is None


def test_two_signals_compare() -> None:
    raw = {"signal": "a", "op": ">", "other_signal": "b"}
    assert tri(raw, signals({"a": 2, "b": 1})) is Tri.YES
    assert tri(raw, signals({"a": 2, "b": None})) is Tri.UNKNOWN


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        ({"signal": "aa", "op": ">", "value": 1}, "did you mean 'a'?"),
        ({"all": [{"signal": "a", "op": "=>", "value": 1}]}, "f.yml/all/0/op"),
        ({"signal": "n", "op": ">", "value": 1}, "any_node"),
        ({"all": []}, "non-empty list"),
        ({"any": [{"known": "a"}], "not": {"known": "a"}}, "exactly one of"),
        ({"signal": "a", "op": ">", "value": 1, "unit": "s"}, "unit cannot stand beside"),
        ({"signal": "a", "op": ">"}, "either value or other_signal"),
        ("send_errors > 0", "expected a mapping"),
    ],
)
def test_errors_name_file_and_place(raw: Any, place: str) -> None:
    with pytest.raises(UsageError) as caught:
        predicates.parse(raw, "f.yml", CATALOGUE)
    assert "f.yml" in str(caught.value)
    assert place in str(caught.value)

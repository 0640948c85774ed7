"""Every action and check that a fault file may name is one that the lab can perform, and back."""

from __future__ import annotations

import inspect
from typing import get_args

import pytest

from wktriage.lab import steps
from wktriage.lab.actions import Actions


@pytest.mark.parametrize(
    ("declared", "prefix"), [(steps.Action, "_do_"), (steps.Check, "_is_")], ids=["do", "check"]
)
def test_declared_steps_are_those_that_the_lab_performs(declared: object, prefix: str) -> None:
    kinds = {str(kind.__struct_config__.tag): kind for kind in get_args(declared)}
    performed = {
        name.removeprefix(prefix): method
        for name, method in inspect.getmembers(Actions, inspect.isfunction)
        if name.startswith(prefix)
    }
    assert set(kinds) == set(performed)
    for name, kind in kinds.items():
        _self, _target, *given = inspect.signature(performed[name]).parameters.values()
        if any(p.kind is p.VAR_KEYWORD for p in given):
            continue
        assert set(kind.__struct_fields__) == {p.name for p in given}, name
        required = {p.name for p in given if p.default is p.empty}
        optional = len(kind.__struct_defaults__)
        assert set(kind.__struct_fields__[: len(kind.__struct_fields__) - optional]) == required

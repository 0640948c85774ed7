"""Every action and check that a fault file may name is one that the lab can perform, and back."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import get_args

import pytest

from wktriage.lab import faults, steps
from wktriage.lab.actions.dispatcher import Actions


def test_all_faults_are_as_declared() -> None:
    faults.check_all()


def parameters(perform: Callable[..., object]) -> list[inspect.Parameter]:
    """Return what a step must or may say: the parameters after the targets."""
    wrapped = inspect.getclosurevars(perform).nonlocals
    inner = wrapped.get("action") or wrapped.get("check") or perform
    every = list(inspect.signature(inner).parameters.values())
    return [p for p in every if p.name.lstrip("_") not in ("target", "targets")]


@pytest.mark.parametrize("kind", ["actions", "checks"])
def test_declared_steps_are_those_that_the_lab_performs(kind: str) -> None:
    declared = get_args(steps.Action if kind == "actions" else steps.Check)
    by_name = {str(one.__struct_config__.tag): one for one in declared}
    performed = getattr(Actions(None), kind)
    assert set(by_name) == set(performed)
    for name, step in by_name.items():
        known = parameters(performed[name])
        if any(p.kind is p.VAR_KEYWORD for p in known):
            continue
        fields = step.__struct_fields__
        assert set(fields) == {p.name for p in known}, name
        required = fields[: len(fields) - len(step.__struct_defaults__)]
        assert set(required) == {p.name for p in known if p.default is p.empty}, name

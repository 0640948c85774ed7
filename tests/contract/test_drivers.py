"""Drivers differ behind their door and nowhere else."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import yaml

from wktriage.core.errors import UsageError
from wktriage.stack import drivers
from wktriage.stack.driver import Driver

ROOT = Path(__file__).resolve().parents[2]
NAMES = drivers.names()
#: A line about a driver that names one. (``logs/compose`` is a folder of every bundle.)
NAMED = re.compile(rf"""driver.*(["'])(?:{"|".join(NAMES)})\1""", re.IGNORECASE)
ASKED = re.compile(r"\b(?:stack_)?driver\s*(?:==|!=|\bin\b|\bnot in\b|\bis\b)")
#: Where drivers are at home: their room, and the task files of the role that acts for them.
HOME = ("src/wktriage/stack/", "roles/stack/")
OUTSIDE = sorted(
    path
    for pattern in ("src/**/*.py", "plugins/**/*.py", "roles/**/*.yml", "playbooks/*.yml")
    for path in ROOT.glob(pattern)
    if not path.relative_to(ROOT).as_posix().startswith(HOME)
)
METHODS = [name for name, _ in inspect.getmembers(Driver, inspect.isfunction) if name[0] != "_"]


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_nothing_outside_asks_which_driver_it_is(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if NAMED.search(line) or ASKED.search(line)] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_driver_answers_everything(name: str) -> None:
    driver = drivers.named(name)
    assert driver.name == name
    for method in METHODS:
        promised = inspect.signature(getattr(Driver, method))
        own = inspect.signature(getattr(type(driver), method))
        assert list(own.parameters) == list(promised.parameters), method
    tasks = ROOT / "roles" / "stack" / "tasks"
    states = ("absent", "identified", "created", "started", "loaded")
    whole = all((tasks / name / f"{state}.yml").is_file() for state in states)
    assert (tasks / f"{name}.yml").is_file() != whole


def test_every_inventory_names_a_driver() -> None:
    for path in sorted((ROOT / "inventory").glob("*/hosts.yml")):
        inventory = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert inventory["wk_stack"]["vars"]["stack_driver"] in NAMES, path


def test_an_unknown_driver_is_one_clear_error() -> None:
    with pytest.raises(UsageError, match=r"'podman': it must be one of compose, .*see inventory/"):
        drivers.named("podman")

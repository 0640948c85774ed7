"""Every signal is read: by a cause, a gate, a criterion, the ledger, the report, or a peer."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import wktriage
from wktriage.core.paths import PROJECT
from wktriage.judging.oddities import SMALLEST
from wktriage.judging.signals import catalogue

PACKAGE = Path(wktriage.__file__).parent
SIGNALS = PACKAGE / "judging" / "signals"
DATA = ("causes", "rules", "scenarios", "faults", "knobs")
ONSET = SIGNALS / "onset.py"
"""Reads whatever it names: it dates the trouble by it."""
READS = ("value", "number", "cites")
"""The methods by which the module of one signal reads another."""


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def read_elsewhere() -> set[str]:
    """Return the words of all data files, and of the code that does not state signals."""
    files = [f for room in DATA for f in (PROJECT / room).glob("*.yml")]
    files += [f for f in PACKAGE.rglob("*.py") if SIGNALS not in f.parents]
    return {word for f in [*files, ONSET] for word in words(f.read_text(encoding="utf-8"))}


def read_by_signals() -> Iterator[str]:
    for file in SIGNALS.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            for argument in node.args if name in READS else ():
                if isinstance(argument, ast.Constant):
                    yield str(argument.value)


def test_every_signal_is_read_by_something() -> None:
    read = read_elsewhere() | set(read_by_signals())
    # What sets one node apart is looked for in every number that has a unit to compare by.
    compared = {
        name
        for name, entry in catalogue().items()
        if entry["scope"] != "cluster" and entry["unit"] in SMALLEST
    }
    assert set(catalogue()) - read - compared == set()

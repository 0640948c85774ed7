"""Every Molecule scenario, each from an empty start to a clean end."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = sorted(p.parent.name for p in ROOT.glob("molecule/*/molecule.yml"))
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def needs(scenario: str) -> list[pytest.MarkDecorator]:
    files = sorted((ROOT / "molecule" / scenario).glob("*.yml"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    words = {"inventory/compose": pytest.mark.docker, "sshhosts.py": pytest.mark.hosts}
    return [mark for word, mark in words.items() if word in text]


@contextmanager
def alone(scenario: str) -> Iterator[None]:
    """Let one test run of a machine at a time use a scenario's ports, image and project name."""
    name = next((mark.name for mark in needs(scenario)), scenario)
    with Path(tempfile.gettempdir(), f"wktriage-molecule-{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def test_there_are_scenarios() -> None:
    assert SCENARIOS


@pytest.mark.molecule
@pytest.mark.slow
@pytest.mark.parametrize("scenario", [pytest.param(s, marks=needs(s)) for s in SCENARIOS])
def test_scenario(scenario: str) -> None:
    tools = Path(sys.executable).parent
    env = os.environ | {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "MOLECULE_COMMAND_BORDERS": "0",
        "NO_COLOR": "1",
    }
    with alone(scenario):
        done = subprocess.run(
            [str(tools / "molecule"), "test", "--scenario-name", scenario],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=600,
        )
    shown = COLOUR.sub("", done.stdout.decode("utf-8", errors="replace"))
    assert done.returncode == 0, shown

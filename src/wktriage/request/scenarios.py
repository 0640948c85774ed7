"""Scenarios: one data file each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from wktriage.core.declarations import Declared, PredicateTree, Purpose, shown
from wktriage.core.errors import UsageError
from wktriage.core.paths import PROJECT
from wktriage.core.suggestions import did_you_mean
from wktriage.core.yaml_files import load_typed
from wktriage.request import workload as workloads
from wktriage.request.workload import Workload

DIRECTORY = PROJECT / "scenarios"
CUSTOM = "custom"

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}\Z")


class Scenario(Declared, frozen=True):
    """A scenario: a workload, why it is run, and when it is a success.

    ``duration`` is its default window in seconds, ``mode`` its default mode. ``success`` is a
    predicate over signals. ``isolates`` names the scenarios to go to first when this one, a mix,
    fails.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")]
    purpose: Purpose
    isolates: tuple[str, ...]
    duration: Annotated[int, Meta(ge=5)]
    workload: Workload
    success: PredicateTree
    mode: Literal["clean", "accumulated"] = "clean"


def names(directory: Path = DIRECTORY) -> list[str]:
    """Return the names of all scenarios."""
    return sorted(p.stem for p in directory.glob("*.yml"))


def load(name: str, directory: Path = DIRECTORY) -> Scenario:
    """Return a scenario.

    Raises UsageError for an unknown one, with the nearest there is, and for a file that is not as
    declared. Whether the signals in ``success`` exist is for whoever evaluates it.
    """
    path = directory / f"{name}.yml"
    known = names(directory)
    if not _NAME.match(name) or not path.is_file():
        raise UsageError(f"unknown scenario {name!r}{did_you_mean(name, known)}")
    scenario = load_typed(path, Scenario)
    if scenario.name != name:
        raise UsageError(f"{shown(path)}: at /name: must be {name!r}, as the file is called")
    for position, other in enumerate(scenario.isolates):
        if other not in known:
            hint = did_you_mean(other, known)
            raise UsageError(
                f"{shown(path)}: at /isolates/{position}: unknown scenario {other!r}{hint}"
            )
    return scenario


def effective_workload(name: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the eight workload values of a run.

    Only ``custom`` takes overrides, and it needs ``users`` and a kind of channel among them.
    Raises UsageError when they are given elsewhere, or break one of the simulator's own rules.
    """
    scenario = load(name)
    if overrides and name != CUSTOM:
        names = ", ".join(sorted(overrides))
        raise UsageError(
            f"{names}: scenario {name} has its own workload; use -e scenario=custom to set it"
        )
    if name == CUSTOM and "users" not in overrides:
        raise UsageError("scenario custom needs users, and person_channels or group_channels")
    workload = {**msgspec.structs.asdict(scenario.workload), **overrides}
    workloads.check(workload)
    return workload

"""Scenarios: one data file each, and the simulator's own rules for a workload."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wktriage.core.errors import UsageError
from wktriage.core.paths import PROJECT
from wktriage.core.yaml_files import read_mapping

DIRECTORY = PROJECT / "scenarios"
CUSTOM = "custom"

ENVIRONMENT = {
    "users": "WK_SIM_USERS",
    "person_channels": "WK_SIM_PERSON_CHANNELS",
    "group_channels": "WK_SIM_GROUP_CHANNELS",
    "group_members": "WK_SIM_GROUP_MEMBERS",
    "rate": "WK_SIM_RATE",
    "concurrency": "WK_SIM_TRAFFIC_CONCURRENCY",
    "warmup": "WK_SIM_WARMUP",
    "verify_recv": "WK_SIM_VERIFY_RECV",
    "uid_prefix": "WK_SIM_UID_PREFIX",
}
"""Workload key -> the simulator's variable: all that it reads."""

KEYS = tuple(k for k in ENVIRONMENT if k != "uid_prefix")
VERIFY = ("none", "sampled", "full")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}\Z")
_RATE = re.compile(r"(\d+(?:\.\d+)?)/s\Z")
_GO_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+\Z")
_GO_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Scenario:
    """One scenario. ``duration`` is its default window in seconds, ``mode`` its default mode.

    ``success`` is a predicate tree over signals. ``isolates`` names the scenarios to go to first
    when this one, a mix, fails.
    """

    name: str
    purpose: str
    isolates: tuple[str, ...]
    duration: int
    mode: str
    workload: Mapping[str, Any]
    success: Mapping[str, Any]


def names(directory: Path = DIRECTORY) -> list[str]:
    """Return the names of all scenarios."""
    return sorted(p.stem for p in directory.glob("*.yml"))


def load(name: str, directory: Path = DIRECTORY) -> Scenario:
    """Return a scenario. Raises UsageError, with the names there are, for an unknown one."""
    path = directory / f"{name}.yml"
    if not _NAME.match(name) or not path.is_file():
        raise UsageError(f"unknown scenario {name!r}: known are {', '.join(names(directory))}")
    raw = read_mapping(path)
    try:
        return Scenario(
            name=raw["name"],
            purpose=raw["purpose"],
            isolates=tuple(raw["isolates"]),
            duration=int(raw["duration"]),
            mode=raw.get("mode", "clean"),
            workload=raw["workload"],
            success=raw["success"],
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise UsageError(f"{path} is not a usable scenario: {exc!r}") from exc


def effective_workload(name: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the eight workload values of a run.

    Only ``custom`` takes overrides, and it needs ``users`` and a kind of channel among them.
    Raises UsageError when they are given elsewhere, or break one of the simulator's own rules.
    """
    scenario = load(name)
    if overrides and name != CUSTOM:
        given = ", ".join(sorted(overrides))
        raise UsageError(
            f"{given}: scenario {name} has its own workload; use -e scenario=custom to set it"
        )
    if name == CUSTOM and "users" not in overrides:
        raise UsageError("scenario custom needs users, and person_channels or group_channels")
    workload = {key: overrides.get(key, scenario.workload[key]) for key in KEYS}
    check_workload(workload)
    return workload


def check_workload(workload: Mapping[str, Any]) -> None:
    """Raise UsageError for what the simulator would refuse, or silently do something else with.

    The rules are those of WuKongIM's ``internal/bench/devsim/config.go``; it would exit on a bad
    value before its status port opens, and be restarted for ever.
    """
    users, person = workload["users"], workload["person_channels"]
    group, members = workload["group_channels"], workload["group_members"]
    if users < 1:
        raise UsageError(f"users={users}: must be at least 1")
    for key in ("person_channels", "group_channels", "group_members", "concurrency"):
        if workload[key] < 0:
            raise UsageError(f"{key}={workload[key]}: must not be negative")
    if 2 * person > users:
        raise UsageError(
            f"person_channels={person} needs {2 * person} users (two each), and users={users}"
        )
    if group > 0 and members > users:
        raise UsageError(f"group_members={members}: must not exceed users={users}")
    if person + group == 0:
        raise UsageError("no channels: set person_channels or group_channels")
    # A group of nobody, or of its sender alone, has no traffic to judge.
    if group > 0 and members < 2:
        raise UsageError(f"group_members={members}: a group needs at least 2")
    rate_per_second(str(workload["rate"]))
    duration_seconds(str(workload["warmup"]))
    # The simulator does not check this one: any other text means none.
    if workload["verify_recv"] not in VERIFY:
        raise UsageError(
            f"verify_recv={workload['verify_recv']!r}: must be one of {', '.join(VERIFY)}"
        )


def rate_per_second(text: str) -> float:
    """Return messages per second and channel from ``0.25/s``. Raises UsageError."""
    match = _RATE.match(text)
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"rate={text!r}: must be a positive number and /s, such as 0.25/s")
    return float(match[1])


def duration_seconds(text: str) -> float:
    """Return seconds from a Go duration such as ``10s`` or ``1m30s``. Raises UsageError."""
    if text != "0" and not _GO_DURATION.match(text):
        raise UsageError(f"warmup={text!r}: must be a duration such as 10s, 1m30s or 0s")
    return sum(float(number) * _SECONDS[unit] for number, unit in _GO_PART.findall(text))


def workload_env(workload: Mapping[str, Any]) -> dict[str, str]:
    """Return the simulator's variables for a workload with its ``uid_prefix``."""
    return {variable: str(workload[key]) for key, variable in ENVIRONMENT.items()}

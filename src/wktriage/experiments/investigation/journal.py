"""An investigation: what was asked, step by step what was done, and how it ended.

It lies beside case.json as ``investigation.json``, written whole after every step, so that the
same request goes on where an interrupted one stood.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from wktriage.core import private_files
from wktriage.core.durations import parse_duration
from wktriage.core.errors import UsageError
from wktriage.core.suggestions import did_you_mean
from wktriage.experiments.asking import held_of
from wktriage.experiments.case import Case, CaseError
from wktriage.experiments.registration import DEFAULT_REPEATS, FOREIGN_LOAD
from wktriage.request.request import KNOWN
from wktriage.request.workload import KEYS

NAME = "investigation.json"
DEFAULT_BUDGET = "45m"
SETTINGS, WORKLOAD, CONFIGURATION = "settings", "workload", "configuration"
MAY_CHANGE = (SETTINGS, WORKLOAD, CONFIGURATION)
"""What an investigation may turn, in the order in which it does; settings: take one away."""

DEFAULT_MAY_CHANGE = (SETTINGS, WORKLOAD)
NAMES = ("budget", "may_change", "bundle", "case", "cases_dir", "repeats", "foreign_load", "seed")
LOAD = ("scenario", "mode", "duration", "node_env", "connect_rate", "incident", *KEYS)
"""What says which run is investigated; a bundle says it, too."""

Kind = Literal["triage", "baseline", "recur", "isolate", "experiment", "passed"]
How = Literal["isolated", "healthy", "not_again", "unclassified", "budget", "nothing_left"]


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step.

    ``what`` is it in words, ``came_of`` what came of it; None while it is under way. ``asked`` are
    the extra vars of its run or experiment. ``control`` says that experiments start from its
    bundle. ``looks`` are the outcomes that its experiment had before this step.
    """

    kind: Kind
    what: str
    asked: dict[str, Any] = msgspec.field(default_factory=dict, name="given")
    bundle: str | None = None
    category: str | None = None
    control: bool = False
    cause: str | None = None
    number: int | None = None
    looks: int = 0
    came_of: str | None = None


class Ended(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How it ended, why, and what it would do next with more time or leave."""

    how: How
    why: str
    next: tuple[str, ...] = ()


class Investigation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What investigation.json holds. ``budget`` and ``spent`` are in seconds.

    ``request`` are the extra vars of the run that is investigated, with where and how it runs;
    ``start`` is the bundle that it begins with, instead of a run.
    """

    request: dict[str, Any]
    start: str | None
    budget: float
    may_change: tuple[str, ...]
    repeats: int = DEFAULT_REPEATS
    foreign_load: float = FOREIGN_LOAD
    seed: int | None = None
    spent: float = 0.0
    steps: tuple[Step, ...] = ()
    ended: Ended | None = None
    schema_version: int = 1

    def asks_the_same(self, other: Investigation) -> bool:
        """Tell whether another one asks the very same question; the budget may differ."""
        names = ("request", "start", "may_change", "repeats", "foreign_load", "seed")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    @property
    def control(self) -> Step | None:
        """The step whose bundle experiments start from; None before there is one."""
        return next((step for step in reversed(self.steps) if step.control), None)

    @property
    def under_way(self) -> Step | None:
        """The step that was begun and is not finished."""
        return self.steps[-1] if self.steps and self.steps[-1].came_of is None else None

    @property
    def tried(self) -> frozenset[str]:
        """The causes that were tried or passed over."""
        return frozenset(step.cause for step in self.steps if step.cause is not None)


@dataclass(frozen=True)
class Asked:
    """One request for an investigation."""

    document: Investigation
    cases_dir: Path
    case: str | None = None
    stack: Mapping[str, Any] = field(default_factory=dict)
    """The extra vars that say where and how the stack runs, for every run alike."""


def read(values: Mapping[str, Any], root: Path) -> Asked:
    """Return what was asked. Raises UsageError for a name or value that cannot be used."""
    # Ansible's texts and numbers are of types of their own; what is kept is plain.
    held = held_of(json.loads(json.dumps(dict(values))), NAMES)
    if "bundle_id" in held:
        raise UsageError("bundle_id: every run of an investigation gets its own; leave it out")
    chosen = [name for name in LOAD if name in held and name != "duration"]
    start, case = held.get("bundle"), held.get("case")
    if start is not None and chosen:
        raise UsageError(f"{chosen[0]} is the bundle's own: leave it out, or leave bundle out")
    if start is None and case is None and not {"scenario", "incident"} & set(chosen):
        raise UsageError(
            "nothing to investigate: add -e scenario=<name>, -e bundle=<a run that failed> or "
            "-e case=<id> to go on with an investigation"
        )
    request = {name: value for name, value in held.items() if name in KNOWN}
    document = Investigation(
        request=request,
        start=None if start is None else str(start),
        budget=_budget(held.get("budget", DEFAULT_BUDGET)),
        may_change=_may_change(held.get("may_change")),
        repeats=_whole(held, "repeats", 1, 100, DEFAULT_REPEATS),
        foreign_load=_share(held, "foreign_load", FOREIGN_LOAD),
        seed=_whole(held, "seed", 0, 2**62, -1) if "seed" in held else None,
    )
    return Asked(
        document,
        Path.cwd() / Path(str(held.get("cases_dir", root / "cases"))).expanduser(),
        None if case is None else str(case),
        stack_of(request),
    )


def stack_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return those extra vars of a request that say where and how the stack runs."""
    return {name: value for name, value in request.items() if name not in LOAD}


def load(case: Case) -> Investigation | None:
    """Return the investigation of a case; None when it has none. Raises CaseError."""
    path = case.directory / NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Investigation)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as exc:
        raise CaseError(f"{path}: cannot be read: {exc}") from exc


def save(case: Case, document: Investigation) -> None:
    """Write the investigation of a case, whole or not at all."""
    encoded = msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2)
    private_files.write(case.directory / NAME, encoded + b"\n")


def _budget(value: Any) -> float:
    seconds = parse_duration(value)
    if seconds is None or not 60 <= seconds <= 86_400:
        raise UsageError(f"budget={value}: must be a time such as 45m, from 1m to 24h")
    return seconds


def _may_change(value: Any) -> tuple[str, ...]:
    if value is None:
        return DEFAULT_MAY_CHANGE
    words = value if isinstance(value, list | tuple) else str(value).split(",")
    named = [str(word).strip() for word in words if str(word).strip()]
    for name in named:
        if name == "code":
            raise UsageError(
                "may_change=code: which code to try is for a person to say; use wktriage "
                "experiment or bisect with a git ref"
            )
        if name not in MAY_CHANGE:
            hint = did_you_mean(name, MAY_CHANGE)
            raise UsageError(f"may_change={name}: must be of {', '.join(MAY_CHANGE)}{hint}")
    return tuple(name for name in MAY_CHANGE if name in named)


def _whole(held: Mapping[str, Any], name: str, low: int, high: int, default: int) -> int:
    text = str(held.get(name, default)).strip()
    if name in held and (not text.isdigit() or not low <= int(text) <= high):
        raise UsageError(f"{name}={text}: must be a whole number from {low} to {high}")
    return int(text)


def _share(held: Mapping[str, Any], name: str, default: float) -> float:
    try:
        value = float(held.get(name, default))
    except (TypeError, ValueError):
        value = 0.0
    if not 0 < value < 1:
        raise UsageError(f"{name}={held[name]}: must lie between 0 and 1")
    return value

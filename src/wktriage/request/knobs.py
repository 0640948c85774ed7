"""The catalogue of variables that an experiment may change, and the hypotheses that use them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from wktriage.core.categories import ComponentName
from wktriage.core.declarations import Declared, Purpose, shown
from wktriage.core.errors import UsageError
from wktriage.core.paths import PROJECT
from wktriage.core.suggestions import did_you_mean
from wktriage.core.yaml_files import load_typed
from wktriage.request import scenarios, workload

DIRECTORY = PROJECT / "knobs"

Setting = str | int | bool
Name = Annotated[str, Meta(pattern="^[a-z0-9_]+$")]


class WorkloadKnob(Declared, frozen=True):
    """A variable of the load; what it is called and takes stands in the table of the workload."""

    name: Name
    default: Setting
    affects: str
    components: tuple[ComponentName, ...]
    max: float | None = None
    min: float | None = None


class NodeKnob(Declared, frozen=True):
    """A variable of the nodes' configuration. ``min`` and ``max`` of a duration are in seconds."""

    name: Name
    env: Annotated[str, Meta(pattern="^WK_[A-Z0-9_]+$")]
    type: Literal["integer", "rate", "duration", "boolean", "text"]
    default: Setting
    affects: str
    components: tuple[ComponentName, ...]
    min: float | None = None
    max: float | None = None
    allowed: tuple[Setting, ...] = ()
    note: str = ""


class CodeKnob(Declared, frozen=True):
    """What the servers are built from: a git ref."""

    name: Literal["code"]
    default: str
    affects: str
    components: tuple[ComponentName, ...]


class WorkloadKnobs(Declared, frozen=True, tag_field="kind", tag="workload"):
    """knobs/workload.yml."""

    schema_version: Literal[1]
    knobs: Annotated[tuple[WorkloadKnob, ...], Meta(min_length=1)]


class NodeKnobs(Declared, frozen=True, tag_field="kind", tag="config"):
    """knobs/node.yml."""

    schema_version: Literal[1]
    knobs: Annotated[tuple[NodeKnob, ...], Meta(min_length=1)]


class CodeKnobs(Declared, frozen=True, tag_field="kind", tag="code"):
    """knobs/code.yml."""

    schema_version: Literal[1]
    knobs: Annotated[tuple[CodeKnob, ...], Meta(min_length=1, max_length=1)]


class StateChange(Declared, frozen=True, tag_field="kind", tag="state"):
    """An experiment that changes what the run stood on, or how it is run.

    ``person`` says what somebody has to do for it, ``check`` is the predicate over signals by which
    the next run shows that it was done.
    """

    variable: str
    to: str
    from_: str = msgspec.field(name="from")
    scenario: str | None = None
    mode: Literal["clean", "accumulated"] | None = None
    duration: Annotated[int, Meta(ge=5)] | None = None
    person: str | None = None
    check: str | None = None

    def __post_init__(self) -> None:
        if (self.person is None) != (self.check is None):
            raise ValueError("Needs check where a person does something, and only there")
        if (self.person, self.scenario, self.mode, self.duration) == (None,) * 4:
            raise ValueError("Changes nothing: needs person, scenario, mode or duration")


class Recur(Declared, frozen=True, tag_field="kind", tag="recur"):
    """No experiment: the run is repeated unchanged, to see whether it happens again."""


class NoChange(Declared, frozen=True, tag_field="kind", tag="none"):
    """No experiment is needed; ``variable``, ``from`` and ``to`` say so in words."""

    variable: str
    to: str
    from_: str = msgspec.field(name="from")


class Unset(Declared, frozen=True, tag_field="kind", tag="unset"):
    """An experiment that takes one setting of the nodes away, so that the shipped one holds."""


class OwnWorkload(Declared, frozen=True, tag_field="kind", tag="own"):
    """An experiment that puts one value of the load back to the scenario's own."""


class WorkloadChange(Declared, frozen=True, tag_field="kind", tag="workload"):
    """An experiment that changes one knob of the load: ``to`` a value, or by a ``factor``.

    ``least`` is the smallest value that the factor may lead to.
    """

    knob: str
    to: Setting | None = None
    factor: Annotated[float, Meta(gt=0)] | None = None
    least: float | None = None

    def __post_init__(self) -> None:
        if (self.to is None) == (self.factor is None):
            raise ValueError("Needs either to or factor")


class ConfigChange(Declared, frozen=True, tag_field="kind", tag="config"):
    """An experiment that changes one variable of the nodes."""

    knob: str
    to: Setting


class Hypothesis(Declared, frozen=True):
    """A hypothesis with the one experiment that would prove it wrong. Texts are Jinja."""

    statement: Purpose
    expected_observation: Purpose
    falsification_test: Purpose
    expected_result: str
    stop_condition: Purpose
    experiment: StateChange | Recur | NoChange | Unset | OwnWorkload | WorkloadChange | ConfigChange
    expect: str | None = None
    needs_nodes: bool = False
    needs_refused_setting: bool = False


class Hypotheses(Declared, frozen=True):
    """knobs/hypotheses.yml."""

    schema_version: Literal[1]
    hypotheses: dict[str, Hypothesis]


@dataclass(frozen=True)
class Knob:
    """One variable. ``kind`` is workload (the simulator's), config (the nodes') or code.

    ``env`` is the variable of simulator or nodes that it sets; "" for the code.

    ``minimum`` and ``maximum`` bound what an experiment may set; of a duration they are seconds.
    """

    name: str
    kind: str
    env: str
    type: str
    default: Setting
    minimum: float | None
    maximum: float | None
    allowed: tuple[Setting, ...]
    affects: str
    components: tuple[str, ...]
    note: str


@cache
def load(directory: Path = DIRECTORY) -> dict[str, Knob]:
    """Return all knobs by name. Raises UsageError with file and place for a broken catalogue."""
    load_file, node_file = directory / "workload.yml", directory / "node.yml"
    of_load = load_typed(load_file, WorkloadKnobs).knobs
    of_nodes = load_typed(node_file, NodeKnobs).knobs
    knobs: dict[str, Knob] = {}
    for position, entry in enumerate(of_load):
        if entry.name not in workload.KEYS:
            hint = did_you_mean(entry.name, workload.KEYS)
            where = f"{shown(load_file)}: at /knobs/{position}/name"
            raise UsageError(f"{where}: the workload has no key {entry.name!r}{hint}")
        _add(knobs, _of_load(entry), load_file, position)
    for position, node_knob in enumerate(of_nodes):
        _add(knobs, _of_nodes(node_knob), node_file, position)
    code_file = directory / "code.yml"
    for position, code_knob in enumerate(load_typed(code_file, CodeKnobs).knobs):
        _add(knobs, _of_code(code_knob), code_file, position)
    return knobs


def _of_load(entry: WorkloadKnob) -> Knob:
    key = workload.TABLE[entry.name]
    return Knob(
        name=entry.name,
        kind="workload",
        env=str(key.variable),
        type=key.kind,
        default=entry.default,
        minimum=key.minimum if entry.min is None else entry.min,
        maximum=entry.max,
        allowed=key.choices,
        affects=entry.affects,
        components=entry.components,
        note="",
    )


def _of_nodes(entry: NodeKnob) -> Knob:
    return Knob(
        name=entry.name,
        kind="config",
        env=entry.env,
        type=entry.type,
        default=entry.default,
        minimum=entry.min,
        maximum=entry.max,
        allowed=entry.allowed,
        affects=entry.affects,
        components=entry.components,
        note=entry.note,
    )


def _of_code(entry: CodeKnob) -> Knob:
    return Knob(
        name=entry.name,
        kind="code",
        env="",
        type="ref",
        default=entry.default,
        minimum=None,
        maximum=None,
        allowed=(),
        affects=entry.affects,
        components=entry.components,
        note="",
    )


def _add(knobs: dict[str, Knob], knob: Knob, path: Path, position: int) -> None:
    if knob.name in knobs:
        where = f"{shown(path)}: at /knobs/{position}/name"
        raise UsageError(f"{where}: there is a knob {knob.name!r} already")
    knobs[knob.name] = knob


@cache
def hypotheses(directory: Path = DIRECTORY) -> Mapping[str, Hypothesis]:
    """Return the hypotheses that rules name, by id.

    Raises UsageError with file and place for a broken one, and for a knob or scenario that there
    is none of.
    """
    path = directory / "hypotheses.yml"
    by_name = load_typed(path, Hypotheses).hypotheses
    known = load(directory)
    for name, entry in by_name.items():
        where = f"{shown(path)}: at /hypotheses/{name}/experiment"
        plan = entry.experiment
        if isinstance(plan, StateChange) and plan.scenario is not None:
            _check_scenario(plan.scenario, f"{where}/scenario")
        elif isinstance(plan, WorkloadChange | ConfigChange):
            kind = "workload" if isinstance(plan, WorkloadChange) else "config"
            names = [knob.name for knob in known.values() if knob.kind == kind]
            if plan.knob not in names:
                hint = did_you_mean(plan.knob, names)
                raise UsageError(f"{where}/knob: no {kind} knob {plan.knob!r}{hint}")
    return by_name


def _check_scenario(name: str, where: str) -> None:
    known = scenarios.names()
    if name not in known:
        raise UsageError(f"{where}: unknown scenario {name!r}{did_you_mean(name, known)}")

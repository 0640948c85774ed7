"""The fault files: what can be injected, how it is checked, and what it is called afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from wktriage.core.categories import CategoryName, ComponentName
from wktriage.core.declarations import Declared, PredicateTree, Purpose, convert, shown
from wktriage.core.errors import UsageError
from wktriage.core.paths import PROJECT
from wktriage.core.suggestions import did_you_mean
from wktriage.core.yaml_files import read_mapping
from wktriage.judging import predicates, signals
from wktriage.lab.steps import Action, Amount, Check
from wktriage.request import scenarios
from wktriage.request.request import check_names

FAULTS = PROJECT / "faults"


class Label(Declared, frozen=True):
    """What the run is called when ``when`` holds for what was measured.

    ``components`` are those that a verdict may name, where they are not the fault's.
    """

    label: CategoryName
    when: PredicateTree
    also_ok: tuple[CategoryName, ...] = ()
    names_target: bool = False
    components: tuple[ComponentName, ...] = ()


class FaultFile(Declared, frozen=True):
    """A declared fault of the lab: faults/<name>.yml.

    ``after_s`` and ``for_s`` are seconds into and of the window. ``at`` is ``window`` (once the
    counters move), ``start`` (as soon as the containers run), ``created`` (before they start) or
    ``run`` (nothing is injected: the run's own parameters are the fault). ``for_s`` None means
    until the profile is over. ``volume_mb`` gives the run's data a volume of its own. ``run`` are
    extra vars. A value that is ``$name`` stands for that entry of ``parameters``. ``element`` is
    what is at fault, in words; ``components`` are those by which a verdict may name it.
    """

    schema_version: Literal[1]
    purpose: Purpose
    mechanism: Annotated[str, Meta(pattern="^[a-z][a-z-]*$")]
    targets: Literal["none", "sim", "all", "nodes:1", "nodes:2"]
    at: Literal["window", "start", "created", "run"]
    labels: Annotated[tuple[Label, ...], Meta(min_length=1)]
    element: str | None = None
    components: tuple[ComponentName, ...] = ()
    after_s: Amount = 5.0
    for_s: Amount | None = None
    volume_mb: Annotated[int, Meta(ge=2500)] | None = None
    run: dict[str, Any] = msgspec.field(default_factory=dict)
    parameters: dict[str, str | int | float] = msgspec.field(default_factory=dict)
    inject: tuple[Action, ...] = ()
    heal: tuple[Action, ...] = ()
    check: Check | None = None


class Fault(FaultFile, frozen=True):
    """A fault with its name and its parameters filled in; see :class:`FaultFile`."""

    name: str = ""


def names() -> list[str]:
    """Return the names of all faults."""
    return sorted(p.stem for p in FAULTS.glob("*.yml"))


def load(name: str, overrides: Mapping[str, Any] | None = None) -> Fault:
    """Read one fault, with some of its parameters replaced.

    Raises UsageError for an unknown fault or parameter, and with file, place and a suggestion for a
    file that is not as declared or names a signal, scenario or extra var that there is none of.
    """
    path = FAULTS / f"{name}.yml"
    if not path.is_file():
        raise UsageError(f"unknown fault {name!r}: choose one of {', '.join(names())}")
    where = shown(path)
    raw = read_mapping(path)
    declared = raw.get("parameters", {})
    parameters = dict(declared) if isinstance(declared, dict) else {}
    for key, value in (overrides or {}).items():
        if key not in parameters:
            known = ", ".join(sorted(parameters)) or "none"
            raise UsageError(f"fault {name} has no parameter {key!r}: it has {known}")
        parameters[key] = _like(parameters[key], value, f"fault {name}: parameter {key}")
    filled = {
        key: value if key == "parameters" else _fill(value, parameters, f"{where}: at /{key}")
        for key, value in raw.items()
    }
    if parameters:
        filled["parameters"] = parameters
    file = convert(filled, FaultFile, where)
    _check(file, where)
    return Fault(**msgspec.structs.asdict(file), name=name)


def check_all() -> None:
    """Load every fault file. Raises UsageError for the first that is not right."""
    for name in names():
        load(name)


def _like(default: object, value: Any, where: str) -> Any:
    """Return a parameter's value, which may have come as text, in the type of its default."""
    if not isinstance(default, int | float):
        return str(value)
    try:
        return type(default)(value)
    except (TypeError, ValueError):
        raise UsageError(f"{where}={value!r}: must be a number such as {default}") from None


def _fill(value: Any, parameters: Mapping[str, Any], where: str) -> Any:
    """Replace a value that is exactly ``$name`` by that parameter, at any depth."""
    if isinstance(value, str) and value.startswith("$"):
        name = value[1:]
        if name not in parameters:
            hint = did_you_mean(name, parameters)
            raise UsageError(f"{where}: no parameter {name!r}{hint}")
        return parameters[name]
    if isinstance(value, dict):
        return {k: _fill(v, parameters, f"{where}/{k}") for k, v in value.items()}
    if isinstance(value, list):
        return [_fill(v, parameters, f"{where}/{i}") for i, v in enumerate(value)]
    return value


def _check(file: FaultFile, where: str) -> None:
    """Check what the declaration cannot: names that stand elsewhere."""
    for position, label in enumerate(file.labels):
        predicates.parse(label.when, f"{where}: at /labels/{position}/when", signals.catalogue())
    try:
        check_names(file.run)
    except UsageError as exc:
        raise UsageError(f"{where}: at /run: {exc}") from exc
    scenario, known = file.run.get("scenario"), scenarios.names()
    if scenario is not None and scenario not in known:
        hint = did_you_mean(scenario, known)
        raise UsageError(f"{where}: at /run/scenario: unknown scenario {scenario!r}{hint}")

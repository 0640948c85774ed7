"""The fault files: what can be injected, how it is checked, and what it is called afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wktriage.core.errors import UsageError
from wktriage.core.paths import PROJECT
from wktriage.core.schemas import validate
from wktriage.core.yaml_files import read_mapping

FAULTS = PROJECT / "faults"


@dataclass(frozen=True)
class Step:
    """One action on the fault's targets; ``arguments`` are the action's own."""

    do: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Label:
    """What the run is called when ``when`` holds for what was measured."""

    label: str
    when: Mapping[str, Any]
    also_ok: tuple[str, ...] = ()
    names_target: bool = False


@dataclass(frozen=True)
class Fault:
    """A declared fault. ``after_s`` and ``for_s`` are seconds into and of the window.

    ``at`` is ``window`` (once the counters move), ``start`` (as soon as the containers run),
    ``created`` (before they start) or ``run`` (nothing is injected: the run's own parameters are
    the fault). ``for_s`` None means until the profile is over. ``volume_mb`` gives the run's data
    a volume of its own.
    """

    name: str
    purpose: str
    mechanism: str
    targets: str
    at: str
    after_s: float
    for_s: float | None
    volume_mb: int | None
    run: Mapping[str, Any]
    parameters: Mapping[str, Any]
    inject: tuple[Step, ...]
    heal: tuple[Step, ...]
    check: Step | None
    labels: tuple[Label, ...]


def names() -> list[str]:
    """Return the names of all faults."""
    return sorted(p.stem for p in FAULTS.glob("*.yml"))


def load(name: str, overrides: Mapping[str, Any] | None = None) -> Fault:
    """Read one fault, with some of its parameters replaced.

    Raises UsageError for an unknown fault or parameter, and for a file that breaks the schema.
    """
    path = FAULTS / f"{name}.yml"
    if not path.is_file():
        raise UsageError(f"unknown fault {name!r}: choose one of {', '.join(names())}")
    raw = read_mapping(path)
    validate("fault", raw)
    parameters = dict(raw.get("parameters", {}))
    for key, value in (overrides or {}).items():
        if key not in parameters:
            known = ", ".join(sorted(parameters)) or "none"
            raise UsageError(f"fault {name} has no parameter {key!r}: it has {known}")
        parameters[key] = type(parameters[key])(value)

    def fill(value: Any) -> Any:
        """Replace a value that is exactly ``$name`` by that parameter, at any depth."""
        if isinstance(value, str) and value.startswith("$"):
            return parameters[value[1:]]
        if isinstance(value, dict):
            return {k: fill(v) for k, v in value.items()}
        if isinstance(value, list):
            return [fill(v) for v in value]
        return value

    def step(entry: Mapping[str, Any]) -> Step:
        return Step(entry["do"], {k: fill(v) for k, v in entry.items() if k != "do"})

    return Fault(
        name=name,
        purpose=raw["purpose"],
        mechanism=raw["mechanism"],
        targets=raw["targets"],
        at=raw["at"],
        after_s=float(fill(raw.get("after_s", 5))),
        for_s=None if raw.get("for_s") is None else float(fill(raw["for_s"])),
        volume_mb=raw.get("volume_mb"),
        run=fill(raw.get("run", {})),
        parameters=parameters,
        inject=tuple(step(s) for s in raw.get("inject", [])),
        heal=tuple(step(s) for s in raw.get("heal", [])),
        check=step(raw["check"]) if raw.get("check") else None,
        labels=tuple(
            Label(
                label=entry["label"],
                when=entry["when"],
                also_ok=tuple(entry.get("also_ok", [])),
                names_target=entry.get("names_target", False),
            )
            for entry in raw["labels"]
        ),
    )

"""The catalogue of variables that an experiment may change, and the hypotheses that use them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from wktriage.core import schemas
from wktriage.core.errors import UsageError
from wktriage.core.paths import PROJECT
from wktriage.core.yaml_files import read_mapping

DIRECTORY = PROJECT / "knobs"


@dataclass(frozen=True)
class Knob:
    """One variable. ``kind`` is workload (the simulator's) or config (the nodes')."""

    name: str
    kind: str
    env: str
    type: str
    default: str | int | bool
    minimum: float | None
    maximum: float | None
    allowed: tuple[str | int | bool, ...]
    affects: str
    components: tuple[str, ...]
    note: str


@cache
def load(directory: Path = DIRECTORY, *, validate: bool = False) -> dict[str, Knob]:
    """Return all knobs by name, checked against their schema if ``validate`` (the tests do).

    Raises UsageError naming the file for a broken catalogue.
    """
    found: dict[str, Knob] = {}
    for name in ("workload", "node"):
        path = directory / f"{name}.yml"
        raw = read_mapping(path)
        try:
            if validate:
                schemas.validate("knob", raw)
        except schemas.SchemaError as exc:
            raise UsageError(f"{path.name}: {exc}") from exc
        for entry in raw["knobs"]:
            if entry["name"] in found:
                raise UsageError(f"{path.name}: knob {entry['name']} is there twice")
            found[entry["name"]] = Knob(
                name=entry["name"],
                kind=raw["kind"],
                env=entry["env"],
                type=entry["type"],
                default=entry["default"],
                minimum=entry.get("min"),
                maximum=entry.get("max"),
                allowed=tuple(entry.get("allowed", ())),
                affects=entry["affects"],
                components=tuple(entry["components"]),
                note=entry.get("note", ""),
            )
    return found


@cache
def hypotheses(directory: Path = DIRECTORY) -> Mapping[str, Mapping[str, Any]]:
    """Return the hypotheses that rules name, by id."""
    found: Mapping[str, Mapping[str, Any]] = read_mapping(directory / "hypotheses.yml")[
        "hypotheses"
    ]
    return found

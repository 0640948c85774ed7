"""What a person asks of an experiment, as extra vars, checked before anything is read or run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wktriage.core.errors import UsageError
from wktriage.core.suggestions import did_you_mean
from wktriage.experiments.effects import MinEffect
from wktriage.experiments.registration import DEFAULT_ALPHA, DEFAULT_REPEATS, FOREIGN_LOAD
from wktriage.request.code import CODE, COMMAND
from wktriage.request.request import FOREIGN_PREFIXES, KNOWN
from wktriage.request.workload import KEYS

_OWN = ("expect", "falsified_if", "stop_if", "statement", "question")
TEXTS = (*_OWN, COMMAND)
"""Values with spaces in them, which Ansible would take apart."""

NAMES = (
    "control",
    "proposal",
    "variable",
    "value",
    "min_effect",
    "repeats",
    "alpha",
    "seed",
    "extend",
    "case",
    "cases_dir",
    "cause",
    "attribution_only",
    "foreign_load",
    "code_only",
    *_OWN,
)
FROM_CONTROL = ("scenario", "mode", "node_env", "connect_rate", "incident", "bundle_id", CODE)
"""What the control's fingerprint says; nobody else may."""

_TRUE, _FALSE = frozenset({"true", "yes", "1"}), frozenset({"false", "no", "0", ""})


@dataclass(frozen=True)
class Asked:
    """One request for an experiment. What is None was not said; a proposal may say it."""

    cases_dir: Path
    control: str | None = None
    proposal: int | None = None
    variable: str | None = None
    value: str | None = None
    expect: str | None = None
    falsified_if: str | None = None
    stop_if: str | None = None
    min_effect: MinEffect | None = None
    statement: str | None = None
    question: str | None = None
    cause: str | None = None
    repeats: int | None = None
    alpha: float = DEFAULT_ALPHA
    seed: int | None = None
    extend: str | None = None
    case: str | None = None
    attribution_only: bool = False
    code_only: bool = False
    duration: int | None = None
    foreign_load: float = FOREIGN_LOAD
    stack: Mapping[str, Any] = field(default_factory=dict)
    """The extra vars that say where and how the stack runs, for every run alike."""


def read(values: Mapping[str, Any], root: Path) -> Asked:
    """Return what was asked. Raises UsageError for a name or value that cannot be used."""
    held = held_of(values, NAMES)
    for name in (*FROM_CONTROL, *KEYS):
        if name in held:
            raise UsageError(
                f"{name} is the control's: an experiment repeats it, but for -e variable=… "
                "-e value=…"
            )
    away = values.get("value")
    text = {name: str(held[name]) for name in (*NAMES, "duration") if name in held}
    own = {
        name: text.get(name) for name in ("control", "variable", "cause", "extend", "case", *_OWN)
    }
    asked = Asked(
        cases_dir=Path.cwd() / Path(text.get("cases_dir", root / "cases")).expanduser(),
        # An empty value takes a setting away, which is not the same as nothing said.
        value=None if away is None and "variable" not in held else str(away or ""),
        proposal=_whole(text, "proposal", 1, 9),
        min_effect=MinEffect.parse(text["min_effect"]) if "min_effect" in text else None,
        repeats=_whole(text, "repeats", 1, 100),
        alpha=_share(text, "alpha", DEFAULT_ALPHA),
        seed=_whole(text, "seed", 0, 2**62),
        attribution_only=_boolean(text, "attribution_only"),
        code_only=_boolean(text, "code_only"),
        foreign_load=_share(text, "foreign_load", FOREIGN_LOAD),
        duration=_whole(text, "duration", 5, 86_000),
        stack={name: value for name, value in held.items() if name in KNOWN and name != "duration"},
        **own,
    )
    return _consistent(asked)


def held_of(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return the extra vars that hold something.

    Raises UsageError for one that is neither of ``names`` nor of a run.
    """
    held = {name: value for name, value in values.items() if value is not None and value != ""}
    for name in held:
        if name in names or name in KNOWN or name.startswith(FOREIGN_PREFIXES):
            continue
        raise UsageError(f"unknown extra var {name!r}{did_you_mean(name, [*names, *KNOWN])}")
    return held


def _consistent(asked: Asked) -> Asked:
    if asked.extend is not None:
        return asked
    if asked.control is None:
        raise UsageError(
            "no control: add -e control=<bundle>, the run that the experiment starts from (or "
            "-e extend=<case> to go on with one that could not decide)"
        )
    if asked.proposal is not None and asked.variable is not None:
        raise UsageError("proposal takes the verdict's own variable: give it or -e variable=…")
    if asked.proposal is None:
        needed = {
            "variable": asked.variable,
            "expect": asked.expect,
            "min_effect": asked.min_effect,
        }
        missing = [name for name, value in needed.items() if value is None]
        if missing:
            raise UsageError(
                f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: say what "
                "is changed and what would be seen, such as -e variable=concurrency -e value=512 "
                "-e expect='achieved_rate_ratio >= 0.95' -e min_effect=10%, or take the verdict's "
                "own proposal with -e proposal=1"
            )
    return asked


def repeats_of(asked: Asked) -> int:
    """Return the runs a side of a new experiment."""
    return asked.repeats or DEFAULT_REPEATS


def _whole(text: Mapping[str, str], name: str, low: int, high: int) -> int | None:
    if name not in text:
        return None
    value = text[name].strip().lower().replace("true", "1")
    if not value.isdigit() or not low <= int(value) <= high:
        raise UsageError(f"{name}={text[name]}: must be a whole number from {low} to {high}")
    return int(value)


def _share(text: Mapping[str, str], name: str, default: float) -> float:
    try:
        value = float(text.get(name, default))
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise UsageError(f"{name}={text[name]}: must lie between 0 and 1")
    return value


def _boolean(text: Mapping[str, str], name: str) -> bool:
    value = text.get(name, "").strip().lower()
    if value not in _TRUE | _FALSE:
        raise UsageError(f"{name}={text[name]}: must be true or false")
    return value in _TRUE

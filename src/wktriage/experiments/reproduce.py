"""A run done again from its bundle: the request that its fingerprint makes, and what came of it.

What chose the old run is asked of another stack; what could not be the same there is said, field by
field. Runs of different evidence classes are told apart, never compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from wktriage.bundle.bundle import Bundle
from wktriage.core import private_files
from wktriage.core.errors import UsageError
from wktriage.core.suggestions import did_you_mean
from wktriage.experiments import compare, grounds
from wktriage.experiments.compare import Number, fingerprint_of
from wktriage.experiments.grounds import Bench
from wktriage.judging import signals
from wktriage.judging.verdict import judge
from wktriage.request import code as codes
from wktriage.request.request import FOREIGN_PREFIXES, KNOWN
from wktriage.request.workload import KEYS

NAME = "reproduction.json"
BUNDLE = "bundle"
FROM_BUNDLE = ("scenario", "duration", "mode", "profile", "connect_rate", "incident", *KEYS)
"""What the old run's fingerprint says; nobody else may."""

HIDDEN = "REDACTED"
"""Stands in a bundle where a secret was."""

NOT_APPLICABLE = "not_applicable"
NEAR = 0.25
"""Largest share by which two numbers of two single runs differ and still agree."""

COUNTS = frozenset({"send_errors", "recv_errors", "connections_lost"})
"""Some or none: how many of them there are differs from run to run."""

STACK = ("driver", "hosts")
CODE = ("image", "git_revision", "git_diff_sha256")

Status = Literal["same", "differs", "not_applicable", "unknown"]
Agreement = Literal["agree", "differ", "not compared"]


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One place of the two fingerprints; ``why`` says why it could not be the same."""

    path: str
    status: Status
    one: Any
    other: Any
    why: str | None = None


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One part of the two verdicts."""

    name: str
    agreement: Agreement
    one: Any
    other: Any


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One number of both runs, and whether it agrees as far as single runs can tell."""

    number: Number
    agreement: Agreement


class Reproduction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run done again shares with the old one.

    ``classes`` says how their classes of evidence differ; ``outcome`` is ``not compared`` when
    verdicts of the two say nothing about each other.
    """

    one: str
    other: str
    fields: tuple[Field, ...]
    classes: tuple[str, ...]
    parts: tuple[Part, ...]
    figures: tuple[Figure, ...]
    outcome: Agreement
    remarks: tuple[str, ...]
    schema_version: int = 1


@dataclass(frozen=True)
class Asked:
    """Whose run is done again, and the extra vars that say where and how the stack runs."""

    bundle: Path
    stack: Mapping[str, Any]


def read(values: Mapping[str, Any]) -> Asked:
    """Return what was asked. Raises UsageError for a name or value that cannot be used."""
    held = {name: value for name, value in values.items() if value is not None and value != ""}
    for name in held:
        if name != BUNDLE and name not in KNOWN and not name.startswith(FOREIGN_PREFIXES):
            raise UsageError(f"unknown extra var {name!r}{did_you_mean(name, [BUNDLE, *KNOWN])}")
        if name in FROM_BUNDLE:
            raise UsageError(f"{name} is that of the run to reproduce: leave it out")
    if BUNDLE not in held:
        raise UsageError("no bundle: add -e bundle=/path/to/bundle, a directory or a tar archive")
    stack = {name: value for name, value in held.items() if name in KNOWN}
    return Asked(Path.cwd() / Path(str(held[BUNDLE])).expanduser(), stack)


def request_of(old: Bundle, asked: Asked, bench: Bench) -> dict[str, Any]:
    """Return the extra vars of the run that does ``old`` again on this bench.

    Raises UsageError when the bundle does not say what was chosen, or hides some of it.
    """
    inputs = dict(fingerprint_of(old)["inputs"])
    inputs["node_env"] = _node_env(inputs.get("node_env"), asked.stack.get("node_env"))
    _check_workload(inputs)
    stack = {name: value for name, value in asked.stack.items() if name != "node_env"}
    if codes.built(inputs) is not None and codes.COMMAND not in stack:
        # Nothing says how to build the ref here: what the stack has is run, and differs if it does.
        inputs["image"] = None
    return grounds.run_values(bench, stack, inputs, grounds.window_of(old), 0)


def _node_env(recorded: Any, asked: Any) -> dict[str, Any]:
    """Return the nodes' variables, with what a person gives for those that a bundle hides."""
    known = dict(recorded) if isinstance(recorded, Mapping) else {}
    hidden = sorted(name for name, value in known.items() if HIDDEN in str(value))
    supplied = dict(asked) if isinstance(asked, Mapping) else {}
    if asked and not supplied:
        raise UsageError('node_env must be a mapping: -e \'{"node_env": {"WK_…": "…"}}\'')
    foreign = sorted(set(supplied) - set(hidden))
    if foreign:
        raise UsageError(
            f"node_env {', '.join(foreign)}: the run to reproduce says what the nodes get; only "
            "what its bundle hides may be given"
        )
    missing = sorted(set(hidden) - set(supplied))
    if missing:
        raise UsageError(
            f"the bundle hides the value of {', '.join(missing)}: give it with -e node_env=…, "
            "best from an Ansible Vault"
        )
    return {**known, **supplied}


def _check_workload(inputs: Mapping[str, Any]) -> None:
    workload = inputs.get("workload")
    if not isinstance(workload, Mapping) or all(workload.get(key) is None for key in KEYS):
        raise UsageError("the bundle's fingerprint does not say which workload ran")


def described(values: Mapping[str, Any]) -> list[str]:
    """Return what will be asked, one line each: a foreign bundle decides it."""
    shown = (
        "scenario",
        "mode",
        "duration",
        "incident",
        "connect_rate",
        *KEYS,
        "profile",
        "profile_seconds",
    )
    lines = [", ".join(f"{key}={values[key]}" for key in shown if values.get(key) is not None)]
    names = sorted(values.get("node_env") or {})
    if names:
        lines.append(f"node variables as in the old run: {', '.join(names)}")
    return lines


def compared(one: Bundle, other: Bundle) -> Reproduction:
    """Say what ``other``, the run done again, shares with ``one``. Raises UsageError."""
    left, right = fingerprint_of(one), fingerprint_of(other)
    fields = _fields(left, right)
    classes = _classes(one, other, left, right)
    incomparable = compare.incomparable(one, other, left, right)
    old, new = judge(one), judge(other)
    parts = tuple(
        Part(name, "not compared" if incomparable else _agree(a == b), a, b)
        for name, a, b in _parts(old, new)
    )
    figures: tuple[Figure, ...] = ()
    if not classes:
        figures = _figures(one, other)
    decisive = [part.agreement for part in parts if part.name in {"verdict", "cause"}]
    outcome: Agreement = "agree"
    if "not compared" in decisive:
        outcome = "not compared"
    elif "differ" in decisive:
        outcome = "differ"
    return Reproduction(
        one.bundle_id, other.bundle_id, fields, tuple(classes), parts, figures, outcome,
        _remarks(fields, classes, figures),
    )  # fmt: skip


def write(directory: Path, made: Reproduction) -> Path:
    """Write reproduction.json beside the verdict of the new run; return the file."""
    document = msgspec.json.format(msgspec.json.encode(made, order="sorted"), indent=2)
    private_files.write(directory / NAME, document + b"\n")
    return directory / NAME


def _fields(left: Mapping[str, Any], right: Mapping[str, Any]) -> tuple[Field, ...]:
    moved = any(left["inputs"].get(name) != right["inputs"].get(name) for name in STACK)
    rows = []
    for part in ("inputs", "derived", "observed"):
        one, other = left.get(part) or {}, right.get(part) or {}
        for path in sorted({*_paths(one), *_paths(other)}):
            a, b = compare.at(one, path), compare.at(other, path)
            status = _status(f"{part}.{path}", a, b)
            why = _why(path, moved=moved) if part == "inputs" and status != "same" else None
            rows.append(Field(f"{part}.{path}", status, a, b, why))
    return tuple(rows)


def _paths(part: Mapping[str, Any]) -> list[str]:
    """Return the places of one part: workload and variables one by one, the rest as it is."""
    paths: list[str] = []
    for key, value in part.items():
        if key in {"workload", "node_env"} and isinstance(value, Mapping):
            paths += [f"{key}.{name}" for name in value]
        elif key not in {"hosts", "boot_id"} or isinstance(value, list):
            # What each host said of itself, and its boot, are never those of other hosts.
            paths.append(str(key))
    return paths


def _status(path: str, one: Any, other: Any) -> Status:
    if NOT_APPLICABLE in (one, other):
        return "not_applicable"
    if one is None and other is None:
        # Nothing was asked for there, which is known.
        return "same" if path == "inputs.connect_rate" else "unknown"
    if (one is None or other is None) and not path.startswith(("inputs.node_env.", "inputs.conn")):
        return "unknown"
    return "same" if one == other else "differs"


def _why(path: str, *, moved: bool) -> str:
    if path in STACK:
        return "the inventory decides it"
    if path in CODE:
        return "one of the two stacks has none" if moved else "other code was given"
    if path == "node_config_sha256":
        return (
            "it is written for the driver and its hosts"
            if moved
            else "the nodes' configuration is another one"
        )
    if path == "mode":
        return "the data that lay there decides it"
    return "the new run did not get it"


def _classes(
    one: Bundle, other: Bundle, left: Mapping[str, Any], right: Mapping[str, Any]
) -> list[str]:
    """Return how the classes of evidence differ, one sentence each."""
    classes = list(compare.incomparable(one, other, left, right))
    drivers = left["inputs"].get("driver"), right["inputs"].get("driver")
    replayed = one.replay_of, other.replay_of
    if drivers[0] != drivers[1] and replayed == (None, None):
        classes.append(
            f"One stack is of driver {drivers[0]}, the other of {drivers[1]}: rates, latencies and "
            "CPU of the two are different classes of evidence, and only verdicts are compared."
        )
    elif drivers[0] == drivers[1] and left["inputs"].get("hosts") != right["inputs"].get("hosts"):
        classes.append(
            "The two ran on different hosts: their numbers are those of different hardware, and "
            "only verdicts are compared."
        )
    return classes


def _parts(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return the parts of two verdicts that may agree."""
    pairs = [
        ("verdict", old["category"], new["category"]),
        ("cause", _cause(old), _cause(new)),
        ("component", old["component"], new["component"]),
        ("nodes", sorted(old["nodes"]), sorted(new["nodes"])),
        ("hard stops", _ids(old["hard_stops"]), _ids(new["hard_stops"])),
    ]
    return [(name, a, b) for name, a, b in pairs]


def _cause(verdict: Mapping[str, Any]) -> str | None:
    cause = (verdict.get("hypothesis") or {}).get("id")
    return None if cause is None else str(cause)


def _ids(stops: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted(str(stop["id"]) for stop in stops)


def _figures(one: Bundle, other: Bundle) -> tuple[Figure, ...]:
    known = signals.catalogue()
    left, right = signals.compute(one), signals.compute(other)
    figures = []
    for name in compare.NUMBERS:
        a, b = left.get(name), right.get(name)
        if name not in known or a is None or b is None or a.value is None or b.value is None:
            continue
        number = Number(name, a.unit, a.value, b.value, compare.ratio(a.value, b.value))
        figures.append(Figure(number, _agree(near(name, a.value, b.value))))
    return tuple(figures)


def near(name: str, one: Any, other: Any) -> bool:
    """Tell whether a number of two single runs agrees: within NEAR, or, of counts, both some."""
    if name in COUNTS:
        return bool(one) == bool(other)
    return bool(abs(other - one) <= NEAR * max(abs(one), abs(other)))


def _agree(same: bool) -> Agreement:
    return "agree" if same else "differ"


def _remarks(
    fields: Sequence[Field], classes: Sequence[str], figures: Sequence[Figure]
) -> tuple[str, ...]:
    remarks = []
    digests = {f.path: f for f in fields}.get("derived.image_digest")
    if digests is not None and digests.status == "differs" and not classes:
        remarks.append("Other code ran: what differs may be due to it.")
    if figures:
        remarks.append(
            f"Numbers that differ by no more than {NEAR:.0%} agree: two single runs can't tell "
            "more. Of errors only some and none are told apart."
        )
    if any(f.status == "differs" and f.path == "inputs.mode" for f in fields):
        remarks.append(
            f"{_mode_remark(fields)} data: give the same with -e data_root=DIR to reproduce it."
        )
    return tuple(remarks)


def _mode_remark(fields: Sequence[Field]) -> str:
    mode = next(f for f in fields if f.path == "inputs.mode")
    return f"The old run began on {mode.one}, the new one on {mode.other}"

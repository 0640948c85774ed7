"""The workload of the simulator: the one table of its keys, and the simulator's own rules.

A field of :class:`Workload` is a key that a person may set; its type says what values it takes, its
:class:`Simulator` entry how the simulator calls it. Everything else here is read from the fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta

from wktriage.core.declarations import Declared
from wktriage.core.durations import Duration, Rate, parse_duration, parse_rate
from wktriage.core.errors import UsageError


@dataclass(frozen=True)
class Simulator:
    """How the simulator calls a key: its environment variable, and the name in /status ``config``.

    ``variable`` is None for what is set in its configuration file only.
    """

    variable: str | None
    status: str
    unit: str


class Workload(Declared, frozen=True):
    """What a person may set of the load."""

    users: Annotated[int, Meta(ge=1), Simulator("WK_SIM_USERS", "total_users", "users")]
    person_channels: Annotated[
        int, Meta(ge=0), Simulator("WK_SIM_PERSON_CHANNELS", "person_channels", "channels")
    ]
    group_channels: Annotated[
        int, Meta(ge=0), Simulator("WK_SIM_GROUP_CHANNELS", "group_channels", "channels")
    ]
    group_members: Annotated[
        int, Meta(ge=0), Simulator("WK_SIM_GROUP_MEMBERS", "group_members", "users a channel")
    ]
    rate: Annotated[
        Rate, Simulator("WK_SIM_RATE", "person_rate_per_channel", "messages a second a channel")
    ]
    concurrency: Annotated[
        int,
        Meta(ge=0),
        Simulator("WK_SIM_TRAFFIC_CONCURRENCY", "concurrency", "messages in flight a stream"),
    ]
    warmup: Annotated[Duration, Simulator("WK_SIM_WARMUP", "warmup", "seconds, a Go duration")]
    verify_recv: Annotated[
        Literal["none", "sampled", "full"],
        Simulator("WK_SIM_VERIFY_RECV", "verify_recv", "part of the receives that is checked"),
    ]


class FullWorkload(Workload, frozen=True):
    """The workload with what the harness sets itself."""

    uid_prefix: Annotated[str, Simulator("WK_SIM_UID_PREFIX", "uid_prefix", "begins every user id")]
    connect_rate: Annotated[int, Simulator(None, "connect_rate", "users a second")]


@dataclass(frozen=True)
class Key:
    """One row of the table. ``kind`` is integer, rate, duration or text; ``unit`` is for people.

    ``minimum`` is the least whole number, ``choices`` are the texts that are taken.
    """

    name: str
    variable: str | None
    status: str
    unit: str
    kind: str
    minimum: int | None
    choices: tuple[str, ...]


def _key(name: str, hint: Any) -> Key:
    kind, *notes = get_args(hint)
    simulator = next(note for note in notes if isinstance(note, Simulator))
    limits = [note for note in notes if isinstance(note, Meta)]
    return Key(
        name=name,
        variable=simulator.variable,
        status=simulator.status,
        unit=simulator.unit,
        kind=next(
            (str(limit.extra["kind"]) for limit in limits if limit.extra),
            "integer" if kind is int else "text",
        ),
        minimum=next((int(limit.ge) for limit in limits if limit.ge is not None), None),
        choices=get_args(kind),
    )


TABLE: Mapping[str, Key] = {
    name: _key(name, hint)
    for name, hint in get_type_hints(FullWorkload, include_extras=True).items()
}
"""Every key of the simulator by name: those that a person may set first."""

KEYS: tuple[str, ...] = Workload.__struct_fields__
"""What a person may set."""

VARIABLES: Mapping[str, str] = {k.variable: k.name for k in TABLE.values() if k.variable}
"""Name of the key by the simulator's variable: all that it reads."""

STATUS_NAMES: Mapping[str, str] = {key.status: key.name for key in TABLE.values()}
"""Name of the key by its name in the ``config`` of the simulator's status."""

INTEGERS = frozenset(name for name in KEYS if TABLE[name].kind == "integer")

_DOCUMENT_TYPES: Mapping[str, Any] = {"integer": int | None}

Document = msgspec.defstruct(
    "WorkloadDocument",
    [
        ("scenario", str | None, None),
        *((key.name, _DOCUMENT_TYPES.get(key.kind, str | None), None) for key in TABLE.values()),
    ],
    frozen=True,
    forbid_unknown_fields=True,
)
"""config/workload.json of a bundle: the workload of the run, None where it is not known."""


def check(workload: Mapping[str, Any]) -> None:
    """Raise UsageError for what the simulator would refuse, or silently do something else with.

    The rules are those of WuKongIM's ``internal/bench/devsim/config.go``; it would exit on a bad
    value before its status port opens, and be restarted for ever.
    """
    for name in KEYS:
        _check_value(TABLE[name], workload[name])
    users, person = workload["users"], workload["person_channels"]
    group, members = workload["group_channels"], workload["group_members"]
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


def _check_value(key: Key, value: Any) -> None:
    if key.kind == "integer" and key.minimum is not None and value < key.minimum:
        raise UsageError(f"{key.name}={value}: must be at least {key.minimum}")
    if key.kind == "rate" and not parse_rate(value):
        raise UsageError(f"{key.name}={value!r}: must be a positive number and /s, such as 0.25/s")
    if key.kind == "duration" and (not isinstance(value, str) or parse_duration(value) is None):
        raise UsageError(f"{key.name}={value!r}: must be a duration such as 10s, 1m30s or 0s")
    # The simulator does not check this one: any other text means none.
    if key.choices and value not in key.choices:
        raise UsageError(f"{key.name}={value!r}: must be one of {', '.join(key.choices)}")


def environment(workload: Mapping[str, Any]) -> dict[str, str]:
    """Return the simulator's variables for a workload with its ``uid_prefix``."""
    return {variable: str(workload[name]) for variable, name in VARIABLES.items()}

"""What a person may ask of a triage, checked in one place before anything starts.

Extra vars of Ansible arrive as strings (``-e duration=30``) or as JSON values; both are taken.
Every refusal is one UsageError that says what to do.
"""

from __future__ import annotations

import difflib
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wktriage.core.errors import UsageError
from wktriage.core.topology import DRIVERS
from wktriage.incidents import library
from wktriage.request import scenarios, workload
from wktriage.stack.compose import override
from wktriage.stack.data_root import check as check_data_root

MODES = ("clean", "accumulated")
BUILDS = ("auto", "always", "never")
FAIL_ON = ("unhealthy", "never")
MIN_DURATION = 5  # s: less than half of the simulator's counter interval shows nothing
MAX_DURATION = 86_000  # s: the simulator's own run ends after 24 h
OTHER = (
    "scenario",
    "duration",
    "mode",
    "wukongim_checkout",
    "stack_build",
    "stack_project",
    "node_env",
    "connect_rate",
    "data_root",
    "runs_dir",
    "fail_on",
    "profile_seconds",
    "keep_stack",
    "incident",
    "bundle_id",
)
KNOWN = (*OTHER, *workload.KEYS)
# Ansible's own variables and the roles' documented ones are no business of this check.
FOREIGN_PREFIXES = (
    "ansible_",
    "wk_",
    "preflight_",
    "stack_",
    "workload_",
    "run_",
    "evidence_",
    "baseline_",
    "verdict_",
    "report_",
    "experiment_",
    "lab_",
)
# The harness finds data and logs by where it put them.
HARNESS_ENV = frozenset({"WK_NODE_DATA_DIR", "WK_LOG_DIR", "WK_NODE_ID", "WK_API_LISTEN_ADDR"})
PROJECT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}\Z")
BUNDLE_ID = re.compile(r"\d{8}T\d{6}Z-[a-z0-9-]+-[0-9a-f]{4}\Z")


PROJECT = "wktriage"
REPLAY_PROJECT = "wktriage-replay"
"""A recording is another stack than the machine's cluster: neither waits for the other."""


@dataclass(frozen=True)
class Request:
    """A checked request. Durations in seconds, connect_rate in users/s (None: simulator's own)."""

    scenario: str
    duration: int
    mode: str
    driver: str
    stack_build: str
    project: str
    node_env: dict[str, str]
    connect_rate: int | None
    workload: dict[str, Any]
    checkout: str | None
    data_root: str
    runs_dir: str
    fail_on: str
    profile_seconds: int
    keep_stack: bool
    incident: str | None
    bundle_id: str

    def as_dict(self) -> dict[str, Any]:
        """Return the plain form that playbooks carry as ``wk_params``."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def from_dict(raw: Mapping[str, Any]) -> Request:
    """Return the Request that ``as_dict`` made."""
    return Request(**{f.name: raw[f.name] for f in fields(Request)})


def new_bundle_id(scenario: str, now: datetime | None = None) -> str:
    """Return ``<UTC time>-<scenario>-<4 hex>``."""
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    return f"{moment:%Y%m%dT%H%M%SZ}-{scenario}-{secrets.token_hex(2)}"


def check_names(names: Iterable[str]) -> None:
    """Raise UsageError for an extra var that nothing here reads (most likely a typing error)."""
    for name in names:
        if name in KNOWN or name.startswith(FOREIGN_PREFIXES):
            continue
        near = difflib.get_close_matches(name, KNOWN, n=1)
        hint = f" Did you mean {near[0]}?" if near else f" Known: {', '.join(sorted(KNOWN))}."
        raise UsageError(f"unknown extra var {name!r}.{hint}")


def validate(
    raw: Mapping[str, Any],
    *,
    driver: str | None,
    benchmark_host: bool,
    root: Path,
    needs_stack: bool = True,
) -> Request:
    """Check everything that was asked and fill in defaults.

    ``raw`` holds the known names that were given; ``driver`` and ``benchmark_host`` come from
    the inventory; ``root`` is the project directory, where relative defaults lie. Without
    ``needs_stack`` (tearing down) neither checkout nor data root are looked at.
    Raises UsageError for the first thing that cannot be done as asked.
    """
    if driver not in DRIVERS:
        raise UsageError(
            f"the inventory sets stack_driver to {driver!r}: it must be one of "
            f"{', '.join(DRIVERS)} (see inventory/)"
        )
    if driver == "processes":
        raise UsageError(
            "stack_driver processes is not supported yet: use the compose inventory "
            "(-i inventory/compose) or the replay one"
        )
    given = {k: v for k, v in raw.items() if v is not None and v != ""}
    if driver == "replay":
        return _replay(given, root)
    if "incident" in given:
        raise UsageError("incident is only for the replay inventory (-i inventory/replay)")
    scenario = scenarios.load(str(given.get("scenario", "smoke-default")))
    mode = _choice(given, "mode", MODES, scenario.mode)
    if mode == "clean" and needs_stack and not benchmark_host:
        raise UsageError(
            "mode=clean empties data directories, and the inventory does not declare these as "
            "benchmark hosts: set wk_benchmark_host: true there if they are"
        )
    data_root = _path(given, "data_root", root / ".data")
    if needs_stack:
        check_data_root(data_root, wipe=mode == "clean")
    return Request(
        scenario=scenario.name,
        duration=_integer(given, "duration", scenario.duration, MIN_DURATION, MAX_DURATION),
        mode=mode,
        driver=driver,
        stack_build=_choice(given, "stack_build", BUILDS, "auto"),
        project=_project(given, PROJECT),
        node_env=_node_env(given.get("node_env", {})),
        connect_rate=_connect_rate(given),
        workload=scenarios.effective_workload(scenario.name, _workload(given)),
        checkout=str(_checkout(given)) if driver == "compose" and needs_stack else None,
        data_root=str(data_root),
        runs_dir=str(_path(given, "runs_dir", root / "runs")),
        fail_on=_choice(given, "fail_on", FAIL_ON, "unhealthy"),
        profile_seconds=_integer(given, "profile_seconds", 10, 0, 300),
        keep_stack=_boolean(given, "keep_stack"),
        incident=None,
        bundle_id=_bundle_id(given, scenario.name),
    )


def _replay(given: Mapping[str, Any], root: Path) -> Request:
    """Return the request for a recorded incident, which can answer only for what it recorded."""
    asked = {k: v for k, v in given.items() if k in {"scenario", "mode", "incident"}}
    asked |= _workload(given)
    if "duration" in given:
        asked["duration"] = _integer(given, "duration", 0, MIN_DURATION, MAX_DURATION)
    if "node_env" in given:
        asked["node_env"] = _node_env(given["node_env"])
    if "connect_rate" in given:
        asked["connect_rate"] = _connect_rate(given)
    held = library.replay_request(root, asked)
    return Request(
        scenario=held["scenario"],
        duration=held["duration"],
        mode=held["mode"],
        driver="replay",
        stack_build="never",
        project=_project(given, REPLAY_PROJECT),
        node_env=held["node_env"],
        connect_rate=held["connect_rate"],
        workload=held["workload"],
        checkout=None,
        data_root=str(_path(given, "data_root", root / ".data")),
        runs_dir=str(_path(given, "runs_dir", root / "runs")),
        fail_on=_choice(given, "fail_on", FAIL_ON, "unhealthy"),
        profile_seconds=_integer(given, "profile_seconds", 10, 0, 300),
        keep_stack=_boolean(given, "keep_stack"),
        incident=held["incident"],
        bundle_id=_bundle_id(given, held["scenario"]),
    )


def _project(given: Mapping[str, Any], default: str) -> str:
    project = str(given.get("stack_project", default))
    if not PROJECT_NAME.match(project):
        raise UsageError(
            f"stack_project {project!r}: use lower-case letters, digits, '-' and '_' only"
        )
    return project


def _bundle_id(given: Mapping[str, Any], scenario: str) -> str:
    bundle_id = str(given.get("bundle_id") or new_bundle_id(scenario))
    if not BUNDLE_ID.match(bundle_id):
        raise UsageError(
            f"bundle_id {bundle_id!r} is not <yyyymmddThhmmssZ>-<scenario>-<4 hex digits>"
        )
    return bundle_id


def _connect_rate(given: Mapping[str, Any]) -> int | None:
    return _integer(given, "connect_rate", 0, 1, 100_000) if "connect_rate" in given else None


def _choice(given: Mapping[str, Any], name: str, allowed: tuple[str, ...], default: str) -> str:
    value = str(given.get(name, default))
    if value not in allowed:
        raise UsageError(f"{name}={value!r}: must be one of {', '.join(allowed)}")
    return value


def _integer(given: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = _as_int(name, given.get(name, default))
    if not low <= value <= high:
        raise UsageError(f"{name}={value}: must be a whole number from {low} to {high}")
    return value


def _as_int(name: str, value: Any) -> int:
    # bool is an int to Python, and 3.0 or " 3" is not what a person types by intention.
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value):
        return int(value)
    raise UsageError(f"{name}={value!r}: must be a whole number")


def _boolean(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name, False)
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text in {"true", "yes", "1"}:
        return True
    if text in {"false", "no", "0"}:
        return False
    raise UsageError(f"{name}={value!r}: must be true or false")


def _path(given: Mapping[str, Any], name: str, default: Path) -> Path:
    # Relative to where the person is. Not resolved: a link must still be seen as one.
    return Path.cwd() / Path(str(given.get(name, default))).expanduser()


def _workload(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the caller's workload values with integers as integers."""
    return {
        name: _as_int(name, given[name]) if name in workload.INTEGERS else str(given[name])
        for name in workload.KEYS
        if name in given
    }


def _node_env(value: Any) -> dict[str, str]:
    """Check node variables: a node refuses to start on one that it does not know."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as exc:
            raise UsageError(
                "node_env must be a mapping, for example "
                '-e \'{"node_env": {"WK_LOG_LEVEL": "debug"}}\''
            ) from exc
    if not isinstance(value, Mapping):
        raise UsageError("node_env must be a mapping of WK_* names to values")
    checked: dict[str, str] = {}
    for key, item in value.items():
        name = str(key)
        if name.startswith(("WK_SIM_", "WK_BENCH_")):
            raise UsageError(
                f"node_env holds {name}, which is the simulator's: a node refuses to start on "
                "it. Workload knobs are users, rate, concurrency, … of scenario custom"
            )
        if not re.fullmatch(r"WK_[A-Z0-9_]+", name):
            raise UsageError(f"node_env holds {name!r}: node variables are named WK_…")
        if name in HARNESS_ENV:
            raise UsageError(f"node_env holds {name}, which the harness depends on: leave it out")
        if isinstance(item, bool):
            checked[name] = "true" if item else "false"
        elif isinstance(item, (str, int, float)):
            checked[name] = str(item)
        else:
            raise UsageError(f"node_env {name}: must be text or a number")
    return checked


def _checkout(given: Mapping[str, Any]) -> Path:
    if "wukongim_checkout" not in given:
        raise UsageError(
            "no WuKongIM checkout: add -e wukongim_checkout=/path/to/WuKongIM "
            "(or show a recorded incident with -i inventory/replay)"
        )
    path = _path(given, "wukongim_checkout", Path()).resolve()
    if not path.is_dir():
        raise UsageError(f"wukongim_checkout {path} is not a directory")
    compose_file = path / "docker-compose.yml"
    if not compose_file.is_file():
        raise UsageError(f"wukongim_checkout {path} has no docker-compose.yml: is it a checkout?")
    override.read_services(compose_file)
    return path

"""What a person may ask of a triage, checked in one place before anything starts.

Extra vars of Ansible arrive as strings (``-e duration=30``) or as JSON values; both are taken.
Every refusal is one UsageError that says what to do.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from wktriage.core.declarations import Declared, convert
from wktriage.core.errors import UsageError
from wktriage.core.suggestions import did_you_mean
from wktriage.request import code as codes
from wktriage.request import scenarios
from wktriage.request.code import Code
from wktriage.request.workload import INTEGERS, KEYS

MODES = ("clean", "accumulated")
BUILDS = ("auto", "always", "never")
FAIL_ON = ("unhealthy", "never")
PROFILES = ("after", "onset", "none")
MIN_DURATION = 5  # s: less than half of the simulator's counter interval shows nothing
MAX_DURATION = 86_000  # s: the simulator's own run ends after 24 h
TEXTS = (codes.COMMAND,)
"""Values with spaces in them, which Ansible would take apart."""

OTHER = (
    "scenario",
    "duration",
    "mode",
    "wukongim_checkout",
    "wukongim_binary",
    "wkbench_binary",
    "stack_build",
    "stack_build_command",
    "code",
    "stack_project",
    "node_env",
    "connect_rate",
    "data_root",
    "data_snapshot",
    "runs_dir",
    "fail_on",
    "profile",
    "profile_seconds",
    "keep_stack",
    "incident",
    "bundle_id",
)
KNOWN = (*OTHER, *KEYS)
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
GO_ENV = ("GOGC", "GOMAXPROCS", "GOMEMLIMIT")
"""What the Go runtime of a node reads itself (package runtime, "Environment Variables")."""
NODE_ENV = re.compile(rf"(?:WK_[A-Z0-9_]{{1,80}}|{'|'.join(GO_ENV)})\Z")
"""Names of variables that the nodes' environment may be given."""
PROJECT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}\Z")
BUNDLE_ID = re.compile(r"\d{8}T\d{6}Z-[a-z0-9-]+-[0-9a-f]{4}\Z")


class Request(Declared, frozen=True):
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
    own: dict[str, Any] = msgspec.field(default_factory=dict)
    """What only the driver reads: it wrote it when it checked the request."""

    profile: str = "after"
    """When profiles are taken: after the window, at the onset of trouble inside it, or none."""

    data_snapshot: str | None = None
    """The named snapshot that takes the place of the data before the run; None leaves the data."""

    code: Code | None = None
    """The git ref that is built and run; None: what the checkout or the binaries are."""


def from_dict(raw: Mapping[str, Any]) -> Request:
    """Return the Request that ``as_dict`` made. Raises UsageError naming the key that is wrong."""
    return convert(_plain(raw), Request, "wk_request")


def _plain(value: Any) -> Any:
    """Return plain containers: Ansible's own resolve what they hold when an item is asked for."""
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key]) for key in value}
    if isinstance(value, list | tuple):
        return [_plain(value[position]) for position in range(len(value))]
    return value


def new_bundle_id(scenario: str, now: datetime | None = None) -> str:
    """Return ``<UTC time>-<scenario>-<4 hex>``."""
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    return f"{moment:%Y%m%dT%H%M%SZ}-{scenario}-{secrets.token_hex(2)}"


def check_names(names: Iterable[str]) -> None:
    """Raise UsageError for an extra var that nothing here reads (most likely a typing error)."""
    for name in names:
        if name in KNOWN or name.startswith(FOREIGN_PREFIXES):
            continue
        raise UsageError(f"unknown extra var {name!r}{did_you_mean(name, KNOWN)}")


@dataclass(frozen=True)
class StackHost:
    """A host of the stack, as the inventory has it.

    ``address`` is where the others reach it, ``local`` says that it is the controller, ``settings``
    are its inventory variables with a name of ``HOST_SETTINGS``.
    """

    name: str
    address: str
    local: bool
    groups: frozenset[str] = frozenset()
    settings: Mapping[str, Any] = field(default_factory=dict)


HOST_SETTINGS = ("wk_address", "wk_benchmark_host", "wk_node_count", "wk_first_port")


@dataclass(frozen=True)
class Asked:
    """What a person asked for, and what the inventory says; a driver makes a Request of it.

    ``values`` are the extra vars that were given and hold something. ``root`` is the directory
    below which relative defaults lie. ``benchmark_host`` says whether data directories may be
    emptied there. Without ``needs_stack`` (tearing down) no checkout and no data are looked at.
    ``hosts`` are those of the stack, in the inventory's order. Every method raises UsageError for a
    value that cannot be used.
    """

    values: Mapping[str, Any]
    root: Path
    benchmark_host: bool
    needs_stack: bool = True
    hosts: tuple[StackHost, ...] = ()

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        """Return one of the allowed words."""
        value = str(self.values.get(name, default))
        if value not in allowed:
            raise UsageError(f"{name}={value!r}: must be one of {', '.join(allowed)}")
        return value

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number from ``low`` to ``high``."""
        value = _as_int(name, self.values.get(name, default))
        if not low <= value <= high:
            raise UsageError(f"{name}={value}: must be a whole number from {low} to {high}")
        return value

    def boolean(self, name: str) -> bool:
        """Return true or false; false when nothing was said."""
        value = self.values.get(name, False)
        if isinstance(value, bool):
            return value
        text = str(value).lower()
        if text in {"true", "yes", "1"}:
            return True
        if text in {"false", "no", "0"}:
            return False
        raise UsageError(f"{name}={value!r}: must be true or false")

    def path(self, name: str, default: Path) -> Path:
        """Return a path, relative to where the person is. A link stays visible as one."""
        return Path.cwd() / Path(str(self.values.get(name, default))).expanduser()

    def connect_rate(self) -> int | None:
        """Return users connected per second, None for the simulator's own rate."""
        if "connect_rate" not in self.values:
            return None
        return self.integer("connect_rate", 0, 1, 100_000)

    def workload(self) -> dict[str, Any]:
        """Return the workload values that were given, integers as integers."""
        return {
            name: (_as_int(name, self.values[name]) if name in INTEGERS else str(self.values[name]))
            for name in KEYS
            if name in self.values
        }

    def node_env(self) -> dict[str, str]:
        """Return the node variables: a node refuses to start on one that it does not know."""
        return _node_env(self.values.get("node_env", {}))

    def code(self) -> Code | None:
        """Return the git ref to run, None when none was named."""
        if not self.needs_stack:
            return None
        return codes.of(self.values, self.path("runs_dir", self.root / "runs"))

    def shared(self, scenario: str, *, project: str) -> dict[str, Any]:
        """Return the fields of a Request that mean the same for every driver.

        ``project`` is the driver's own default name of a stack.
        """
        profile = self.choice("profile", PROFILES, "after")
        seconds = self.integer("profile_seconds", 10, 0, 300)
        return {
            "project": self._project(project),
            "data_root": str(self.path("data_root", self.root / ".data")),
            "runs_dir": str(self.path("runs_dir", self.root / "runs")),
            "fail_on": self.choice("fail_on", FAIL_ON, "unhealthy"),
            "profile": profile,
            "profile_seconds": 0 if profile == "none" else seconds,
            "keep_stack": self.boolean("keep_stack"),
            "bundle_id": self._bundle_id(scenario),
            "code": self.code(),
        }

    def live(self, *, driver: str, project: str, checkout: str | None) -> Request:
        """Return the request for a stack that really runs the scenario."""
        if "incident" in self.values:
            raise UsageError("incident is only for the replay inventory (-i inventory/replay)")
        scenario = scenarios.load(str(self.values.get("scenario", "smoke-default")))
        mode = self.choice("mode", MODES, scenario.mode)
        if mode == "clean" and self.needs_stack and not self.benchmark_host:
            raise UsageError(
                "mode=clean empties data directories, and the inventory does not declare these "
                "as benchmark hosts: set wk_benchmark_host: true there if they are"
            )
        snapshot = self.values.get("data_snapshot")
        if snapshot is not None and mode != "accumulated":
            raise UsageError("data_snapshot is for mode=accumulated: a clean run has no data")
        return Request(
            data_snapshot=None if snapshot is None else str(snapshot),
            scenario=scenario.name,
            duration=self.integer("duration", scenario.duration, MIN_DURATION, MAX_DURATION),
            mode=mode,
            driver=driver,
            stack_build=self.choice("stack_build", BUILDS, "auto"),
            node_env=self.node_env(),
            connect_rate=self.connect_rate(),
            workload=scenarios.effective_workload(scenario.name, self.workload()),
            checkout=checkout,
            incident=None,
            **self.shared(scenario.name, project=project),
        )

    def _project(self, default: str) -> str:
        project = str(self.values.get("stack_project", default))
        if not PROJECT_NAME.match(project):
            raise UsageError(
                f"stack_project {project!r}: use lower-case letters, digits, '-' and '_' only"
            )
        return project

    def _bundle_id(self, scenario: str) -> str:
        bundle_id = str(self.values.get("bundle_id") or new_bundle_id(scenario))
        if not BUNDLE_ID.match(bundle_id):
            raise UsageError(
                f"bundle_id {bundle_id!r} is not <yyyymmddThhmmssZ>-<scenario>-<4 hex digits>"
            )
        return bundle_id


def given(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the extra vars that hold something: an empty one counts as left out."""
    return {name: value for name, value in raw.items() if value is not None and value != ""}


def _as_int(name: str, value: Any) -> int:
    # bool is an int to Python, and 3.0 or " 3" is not what a person types by intention. An integer
    # of Ansible is of a type of its own; the request holds plain ones.
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value):
        return int(value)
    raise UsageError(f"{name}={value!r}: must be a whole number")


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
        raise UsageError("node_env must be a mapping of names to values")
    checked: dict[str, str] = {}
    for key, item in value.items():
        name = str(key)
        if name.startswith(("WK_SIM_", "WK_BENCH_")):
            raise UsageError(
                f"node_env holds {name}, which is the simulator's: a node refuses to start on "
                "it. Workload knobs are users, rate, concurrency, … of scenario custom"
            )
        if not NODE_ENV.match(name):
            raise UsageError(
                f"node_env holds {name!r}: node variables are named WK_…, those of the Go runtime "
                f"{', '.join(GO_ENV)}"
            )
        if name in HARNESS_ENV:
            raise UsageError(f"node_env holds {name}, which the harness depends on: leave it out")
        if isinstance(item, bool):
            checked[name] = "true" if item else "false"
        elif isinstance(item, (str, int, float)):
            checked[name] = str(item)
        else:
            raise UsageError(f"node_env {name}: must be text or a number")
    return checked

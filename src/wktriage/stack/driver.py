"""The door to every way of running a cluster. Nothing outside this room asks which one it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from wktriage.core.errors import TriageError
from wktriage.request.code import Code
from wktriage.request.request import Asked, Request


@dataclass(frozen=True)
class Site:
    """Where the stack of one run lives.

    ``work_dir`` is the harness's own folder of the run on the controller, ``hosts`` are the
    inventory names of the stack's hosts, ``sim_env`` are the simulator's variables, ``address`` is
    where processes listen and are reached. ``held_ports`` are the ports that each host's processes
    hold already, by the name of the process. ``reports`` are what the driver's own module told of
    each host.
    """

    work_dir: Path
    hosts: tuple[str, ...] = ("localhost",)
    sim_env: Mapping[str, str] = field(default_factory=dict)
    address: str = "127.0.0.1"
    held_ports: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    reports: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass
class Findings:
    """What preflight found: errors stop the run, warnings and notes are shown."""

    errors: list[TriageError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def raise_first(self) -> None:
        """Raise the first error; the others are appended to its text."""
        if not self.errors:
            return
        first = self.errors[0]
        raise type(first)("; ".join(str(e) for e in self.errors))


class Driver(Protocol):
    """One way of running a cluster.

    A driver decides on the controller. What has to be done on the hosts themselves is in its task
    file in ``roles/stack/tasks``, which asks :meth:`place` what each host needs.
    """

    name: str
    """As inventories call it in ``stack_driver``."""

    cannot_tell: tuple[str, ...]
    """Files of the bundle layout that a stack of this driver never has."""

    runs_baselines: bool
    """Whether a missing baseline can be run; a recording has the one that it has."""

    keeps_snapshots: bool
    """Whether :meth:`snapshot` can keep data for runs that all begin with the same."""

    def check_request(self, asked: Asked) -> Request:
        """Return the checked request. Raises UsageError for the first thing that cannot be done."""
        ...

    def ports(self, request: Request) -> list[int]:
        """Return the host ports that the stack will listen on, as far as they are fixed."""
        ...

    def preflight(
        self, request: Request, probes: Mapping[str, Mapping[str, Any]], findings: Findings
    ) -> None:
        """Check what only this driver needs.

        ``probes`` maps each host that answered to what module wk_host_probe found there. Raises
        InfraError when nothing can be asked at all.
        """
        ...

    def identify(self, request: Request, site: Site) -> dict[str, Any]:
        """Return what the stack is: image, revision, node configuration. Nothing is started."""
        ...

    def place(self, request: Request, site: Site) -> dict[str, Any]:
        """Return what each host has to do for the stack to exist; empty when it is nothing."""
        ...

    def create(self, request: Request, site: Site) -> dict[str, Any]:
        """Have everything exist and nothing run; write topology.json; return what the stack is."""
        ...

    def start(self, request: Request, site: Site) -> bool:
        """Start all nodes at once; tell whether any was not up."""
        ...

    def load(self, request: Request, site: Site) -> bool:
        """Start the simulator; tell whether it was not running."""
        ...

    def remove(self, project: str, runs_dir: Path) -> bool:
        """Stop and remove what this controller can reach of a stack; tell if there was anything.

        Data stays. Works without a request: the run may be dead.
        """
        ...

    def own_baseline(self, request: Request) -> Path | None:
        """Return the baseline's bundle that comes with the stack, None when there is none."""
        ...

    def snapshot(self, request: Request, name: str) -> dict[str, Any]:
        """Keep the data as it lies there under a name; return its ``name``, ``sha256``, ``bytes``.

        A run with that ``data_snapshot`` begins with it. Raises UsageError when the stack can keep
        none, there is no data, it does not fit on the disk, or the stack runs.
        """
        ...

    def unbuilt(self, code: Code) -> str | None:
        """Return what a build has not made of all that a run of it needs; None when it has."""
        ...

    def recall(self, inputs: Mapping[str, Any], turn: int) -> dict[str, Any]:
        """Return the extra vars that a run with these fingerprint inputs needs beside them.

        ``turn`` counts the runs of the same inputs from 0. Raises UsageError when the stack can
        have no such run.
        """
        ...

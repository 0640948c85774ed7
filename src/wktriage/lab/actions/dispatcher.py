"""Performs the steps of a fault by their names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from wktriage.core.errors import InfraError, UsageError
from wktriage.lab.actions import commands, container, descriptors, disk, links, network
from wktriage.lab.actions.commands import Target
from wktriage.lab.actions.container import ContainerActions
from wktriage.lab.actions.cycles import Cycles
from wktriage.lab.actions.descriptors import DescriptorActions
from wktriage.lab.actions.disk import DiskActions
from wktriage.lab.actions.links import LinkActions
from wktriage.lab.actions.load import LoadActions
from wktriage.lab.actions.network import NetworkActions
from wktriage.lab.actions.processes import Ask, ProcessActions
from wktriage.lab.actions.tables import Action, Check, check_each, on_host

TOOLS: Mapping[str, Sequence[str]] = {
    **container.TOOLS,
    **network.TOOLS,
    **links.TOOLS,
    **descriptors.TOOLS,
    **disk.TOOLS,
}
"""What the actions that only root may do call on this machine."""


HERE = ("hog", "stick")
"""Actions on the machine itself, not on a target."""

UNDONE_HERE = ("end_hogs", "unstick", "end_cycle")

SEEN_HERE = ("hogged", "stuck")
WHERE = ("sh", "-c", "cat /proc/sys/kernel/random/boot_id; readlink /proc/self/ns/mnt")
"""Prints what tells a machine, and what files a process sees on it."""


class Actions:
    """Performs steps on targets and remembers what must be undone.

    ``processes`` are the parts of a stack of processes, none for one of containers; ``ask`` runs
    commands on their hosts, which may be other machines.
    """

    def __init__(
        self, data_root: str | None, ask: Ask | None = None, processes: Sequence[Target] = ()
    ) -> None:
        cycles = Cycles()
        self._ask: Ask = ask or (lambda _host, argv: commands.run(argv))
        self._parts = processes
        self._container = ContainerActions(cycles)
        self._process = ProcessActions(cycles, self._ask, processes)
        kinds = (
            self._container,
            NetworkActions(cycles),
            LinkActions(),
            DescriptorActions(),
            DiskActions(data_root),
            LoadActions(data_root),
        )
        self.actions: dict[str, Action] = {"end_cycle": on_host(cycles.end)}
        self.checks: dict[str, Check] = {"cycling": check_each(cycles.problem)}
        for kind in kinds:
            self.actions |= kind.actions
            self.checks |= kind.checks
        here = {name: self.actions[name] for name in (*HERE, *UNDONE_HERE)}
        self.process_actions = {**here, **self._process.actions}
        seen = {name: self.checks[name] for name in (*SEEN_HERE, "cycling")}
        self.process_checks = {**seen, **self._process.checks}

    def remember(self, targets: Sequence[Target]) -> None:
        """Note since when the targets run: checks compare with it later."""
        (self._process if _processes(targets) else self._container).remember(targets)

    def state(self, target: Target) -> str:
        """Return the state of a target, as the check ``state`` names it."""
        if _processes([target]):
            return str(self._process.known(target)["state"])
        return commands.inspect(target, "{{.State.Status}}")

    def perform(self, do: str, arguments: Mapping[str, Any], targets: Sequence[Target]) -> None:
        """Perform one action on the targets.

        Raises InfraError when it cannot be done, UsageError when such targets know no such action.
        """
        table = self.process_actions if _processes([*targets, *self._parts]) else self.actions
        if do not in table:
            raise UsageError(f"{do} can't be done to processes")
        if do in HERE and self._elsewhere():
            raise UsageError(f"{do} acts on this machine, and the stack is on others")
        try:
            table[do](targets, **arguments)
        except OSError as exc:
            raise InfraError(f"{do}: {exc}") from exc

    def _elsewhere(self) -> bool:
        """Tell whether any host is another machine, or sees other files than this one."""
        hosts = {part.host for part in self._parts}
        own = _identity(commands.run(WHERE)) if hosts else ""
        return any(_identity(self._ask(host, WHERE)) != own for host in hosts)

    def check(self, do: str, arguments: Mapping[str, Any], targets: Sequence[Target]) -> list[str]:
        """Return what did not take hold ([] = all of it did)."""
        table = self.process_checks if _processes([*targets, *self._parts]) else self.checks
        if do not in table:
            return [f"{do} can't be checked of processes"]
        try:
            return table[do](targets, **arguments)
        except OSError as exc:
            return [f"{do} cannot be checked: {exc}"]


def _identity(output: str) -> str:
    return " ".join(output.split())


def _processes(targets: Sequence[Target]) -> bool:
    return any(target.handle.kind == "process" for target in targets)


def require_tools(actions: Sequence[str]) -> None:
    """Raise UsageError now, not late, when a fault's tools are missing on this machine."""
    privileged = [action for action in actions if action in TOOLS]
    missing = sorted({t for a in privileged for t in TOOLS[a] if shutil.which(t) is None})
    if missing:
        raise UsageError(f"this fault needs {' and '.join(missing)}: install them first")
    if privileged and os.geteuid() != 0:
        raise UsageError(f"this fault ({privileged[0]}) changes what only root may: run it as root")

"""Performs the steps of a fault by their names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from wktriage.core.errors import InfraError, UsageError
from wktriage.lab.actions import container, descriptors, disk, links, network
from wktriage.lab.actions.commands import Target
from wktriage.lab.actions.container import ContainerActions
from wktriage.lab.actions.cycles import Cycles
from wktriage.lab.actions.descriptors import DescriptorActions
from wktriage.lab.actions.disk import DiskActions
from wktriage.lab.actions.links import LinkActions
from wktriage.lab.actions.load import LoadActions
from wktriage.lab.actions.network import NetworkActions
from wktriage.lab.actions.tables import Action, Check, check_each, on_host

TOOLS: Mapping[str, Sequence[str]] = {
    **container.TOOLS,
    **network.TOOLS,
    **links.TOOLS,
    **descriptors.TOOLS,
    **disk.TOOLS,
}
"""What the actions that only root may do call on this machine."""


class Actions:
    """Performs steps on targets and remembers what must be undone."""

    def __init__(self, data_root: str | None) -> None:
        cycles = Cycles()
        self._container = ContainerActions(cycles)
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

    def remember(self, targets: Sequence[Target]) -> None:
        """Note since when the targets run: checks compare with it later."""
        self._container.remember(targets)

    def perform(self, do: str, arguments: Mapping[str, Any], targets: Sequence[Target]) -> None:
        """Perform one action on the targets. Raises InfraError when it cannot be done."""
        try:
            self.actions[do](targets, **arguments)
        except OSError as exc:
            raise InfraError(f"{do}: {exc}") from exc

    def check(self, do: str, arguments: Mapping[str, Any], targets: Sequence[Target]) -> list[str]:
        """Return what did not take hold ([] = all of it did)."""
        try:
            return self.checks[do](targets, **arguments)
        except OSError as exc:
            return [f"{do} cannot be checked: {exc}"]


def require_tools(actions: Sequence[str]) -> None:
    """Raise UsageError now, not late, when a fault's tools are missing on this machine."""
    privileged = [action for action in actions if action in TOOLS]
    missing = sorted({t for a in privileged for t in TOOLS[a] if shutil.which(t) is None})
    if missing:
        raise UsageError(f"this fault needs {' and '.join(missing)}: install them first")
    if privileged and os.geteuid() != 0:
        raise UsageError(f"this fault ({privileged[0]}) changes what only root may: run it as root")

"""Faults of descriptors: a target that may open hardly any more."""

from __future__ import annotations

import resource
from collections.abc import Mapping, Sequence
from pathlib import Path

from wktriage.core.errors import InfraError
from wktriage.lab.actions import commands
from wktriage.lab.actions.commands import Target
from wktriage.lab.actions.control_groups import control_group
from wktriage.lab.actions.tables import ActionTable, CheckTable, check_each, for_each

TOOLS: Mapping[str, Sequence[str]] = {"limit_descriptors": ()}
"""What the actions that only root may do call on this machine."""
_NOFILE = resource.RLIMIT_NOFILE


class DescriptorActions:
    """What is done to the descriptors of containers' processes."""

    def __init__(self) -> None:
        self._before: dict[int, tuple[int, int]] = {}
        self.actions: ActionTable = {
            "limit_descriptors": for_each(self._limit),
            "unlimit_descriptors": for_each(self._unlimit),
        }
        self.checks: CheckTable = {"descriptors_exhausted": check_each(self._exhausted)}

    def _limit(self, target: Target, count: int) -> None:
        """Allow the target's processes ``count`` descriptors; those that are open stay open."""
        for pid in _processes(target):
            try:
                soft, hard = resource.prlimit(pid, _NOFILE)
                resource.prlimit(pid, _NOFILE, (count, hard))
            except (OSError, ValueError) as exc:
                raise InfraError(f"the descriptors of {target.name}: {exc}") from exc
            self._before.setdefault(pid, (soft, hard))

    def _unlimit(self, target: Target) -> None:
        for pid in _processes(target):
            before = self._before.pop(pid, None)
            if before is not None:
                resource.prlimit(pid, _NOFILE, before)

    def _exhausted(self, target: Target) -> str | None:
        """Descriptors are exhausted when all are in use, or when one was refused."""
        for pid in _processes(target):
            opened = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            if opened >= resource.prlimit(pid, _NOFILE)[0] - 1:
                return None
        return commands.not_said(target, "too many open files")


def _processes(target: Target) -> list[int]:
    group = control_group(target, "memory", "cgroup.procs", "cgroup.procs")
    return [int(line) for line in group.read_text().split()]

"""The control group in which the kernel keeps a container's limits and statistics."""

from __future__ import annotations

from pathlib import Path

from wktriage.core.errors import InfraError
from wktriage.lab.actions import commands
from wktriage.lab.actions.commands import Target


def control_group(target: Target, controller: str, v1: str, v2: str) -> Path:
    """Return a file of the target's control group: ``v1`` or ``v2``, by the version in use.

    Raises InfraError when the target runs in no control group of this machine.
    """
    pid = commands.inspect(target, "{{.State.Pid}}")
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError as exc:
        raise InfraError(f"{target.name} runs in no control group of this machine") from exc
    groups = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in lines}
    for names, path in groups.items():
        if controller in names.split(","):
            return Path(f"/sys/fs/cgroup/{controller}{path}") / v1
    return Path(f"/sys/fs/cgroup{groups.get('', '/')}") / v2

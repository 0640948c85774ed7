"""Commands on this machine and on the containers of the stack."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from wktriage.core.errors import InfraError, UsageError
from wktriage.core.topology import Node, Sim

Target = Node | Sim


def run(argv: Sequence[str], *, timeout: float = 30) -> str:
    """Run one command and return its output. Raises InfraError with its own words."""
    try:
        done = subprocess.run(
            list(argv), capture_output=True, text=True, timeout=timeout, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise InfraError(f"{argv[0]}: {exc}") from exc
    if done.returncode != 0:
        raise InfraError(f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def container_id(target: Target) -> str:
    """Return the id of the target's container. Raises UsageError when it runs in none."""
    if target.handle.kind != "container":
        raise UsageError(f"{target.name} is no container: this fault needs the compose driver")
    return str(target.handle.id)


def inspect(target: Target, template: str) -> str:
    """Return one field of the target's container, by a Go template."""
    return run(["docker", "inspect", "--format", template, container_id(target)]).strip()

"""Commands on this machine and on the containers of the stack."""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Sequence
from typing import Any

from wktriage.core.errors import InfraError, UsageError
from wktriage.core.json_files import parse_object
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


def process_id(target: Target) -> str:
    """Return the id of the first process of the target's container.

    Raises InfraError when it has none: a namespace of process 0 would be this machine's.
    """
    pid = inspect(target, "{{.State.Pid}}")
    if not pid.isdigit() or pid == "0":
        raise InfraError(f"{target.name} has no process, so no network namespace")
    return pid


def in_namespace(target: Target, *argv: str) -> str:
    """Run a command of this machine in the target's network namespace; return its output."""
    return run(["nsenter", "-t", process_id(target), "-n", *argv])


def not_said(target: Target, text: str) -> str | None:
    """Return None when the target says ``text`` in its log, or the simulator as its last error."""
    argv = ["docker", "logs", "--tail", "2000", container_id(target)]
    done = subprocess.run(argv, capture_output=True, timeout=30, check=False)
    heard = (done.stdout + done.stderr).decode("utf-8", "replace")
    if isinstance(target, Sim):
        heard += str(sim_status(target.status_url).get("last_error"))
    return None if text in heard.lower() else f"{target.name} never said {text!r}"


def sim_status(url: str) -> dict[str, Any]:
    """Return what the simulator's /status says, {} when it does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:  # noqa: S310 (the topology's)
            return parse_object(reply.read(1 << 20)) or {}
    except (OSError, ValueError):
        return {}

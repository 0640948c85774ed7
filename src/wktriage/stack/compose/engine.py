"""The Docker command line, as the stack and preflight use it: argument lists in, text out."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from wktriage.core.errors import InfraError

OWNER_LABEL = "org.wktriage.owner"
PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"


class Engine(Protocol):
    """What the package asks of Docker; tests put a recorded engine in its place."""

    def run(
        self,
        args: Sequence[str],
        *,
        timeout: float = 30.0,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> str:
        """Run ``docker ARGS`` and return its stdout. Raises InfraError when it fails."""
        ...


class DockerCli:
    """Runs the ``docker`` found on PATH, so that contexts and Docker Desktop just work."""

    def run(
        self,
        args: Sequence[str],
        *,
        timeout: float = 30.0,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> str:
        """Run ``docker ARGS`` (timeout in seconds) and return stdout. Raises InfraError."""
        argv = ["docker", *args]
        try:
            done = subprocess.run(
                argv,
                capture_output=True,
                timeout=timeout,
                check=False,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
            )
        except FileNotFoundError as exc:
            raise InfraError(
                "no docker command on PATH: install Docker Engine with compose v2, or use the "
                "replay inventory (-i inventory/replay), which needs no Docker"
            ) from exc
        except subprocess.TimeoutExpired as exc:
            raise InfraError(
                f"`docker {' '.join(args[:4])}` did not answer within {timeout:.0f} s: "
                "is the Docker daemon hanging?"
            ) from exc
        if done.returncode != 0:
            raise InfraError(
                f"`docker {' '.join(args[:6])}` failed: {last_line(done.stderr or done.stdout)}"
            )
        return done.stdout.decode("utf-8", "replace")


def last_line(output: bytes) -> str:
    """Return the last non-empty line of a command's output, at most 400 characters."""
    lines = [ln.strip() for ln in output.decode("utf-8", "replace").splitlines() if ln.strip()]
    return lines[-1][:400] if lines else "no output"


def containers(
    engine: Engine, *, project: str | None = None, running_only: bool = False
) -> list[dict[str, Any]]:
    """Return the inspect documents of containers (all, or one compose project's).

    Raises InfraError when the engine cannot be asked.
    """
    args = ["ps", "--quiet", "--no-trunc"]
    if not running_only:
        args.append("--all")
    if project is not None:
        args += ["--filter", f"label={PROJECT_LABEL}={project}"]
    ids = engine.run(args).split()
    if not ids:
        return []
    docs = json.loads(engine.run(["inspect", "--type", "container", *ids]))
    return [d for d in docs if isinstance(d, dict)]


def label(container: Mapping[str, Any], name: str) -> str:
    """Return a label of an inspected container, or an empty string."""
    labels = (container.get("Config") or {}).get("Labels") or {}
    return str(labels.get(name, ""))


def name_of(container: Mapping[str, Any]) -> str:
    """Return the container's name without Docker's leading slash."""
    return str(container.get("Name", "")).lstrip("/")


def published_ports(container: Mapping[str, Any]) -> set[int]:
    """Return the host TCP ports that a container asks for (running or not)."""
    ports: set[int] = set()
    for source in ("HostConfig.PortBindings", "NetworkSettings.Ports"):
        node: Any = container
        for part in source.split("."):
            node = (node or {}).get(part) or {}
        for bindings in node.values():
            ports.update(int(b["HostPort"]) for b in bindings or [] if b.get("HostPort"))
    return ports


def image_digest(engine: Engine, image: str) -> str | None:
    """Return the image's content id (``sha256:…``), or None when it is not present."""
    try:
        docs = json.loads(engine.run(["image", "inspect", image]))
    except InfraError as exc:
        if "no such image" in str(exc).lower():
            return None
        raise
    return str(docs[0]["Id"])


def image_label(engine: Engine, image: str, name: str) -> str | None:
    """Return a label of a present image, or None."""
    docs = json.loads(engine.run(["image", "inspect", image]))
    labels = (docs[0].get("Config") or {}).get("Labels") or {}
    value = labels.get(name)
    return None if value is None else str(value)

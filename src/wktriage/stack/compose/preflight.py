"""What the compose driver checks before anything starts; each failure says what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wktriage.core.errors import InfraError, UsageError
from wktriage.request.code import Code
from wktriage.stack.compose import engine, override
from wktriage.stack.compose.engine import Engine
from wktriage.stack.driver import Findings


def host_ports(services: Mapping[str, Any]) -> dict[int, str]:
    """Return host TCP port -> service for the services that the harness starts."""
    started = [*override.node_services(services), override.SIM_SERVICE]
    ports: dict[int, str] = {}
    for name in started:
        for entry in services[name].get("ports") or []:
            if isinstance(entry, dict):
                published = str(entry.get("published", ""))
            else:
                # [ip:]host:container[/protocol]; a lone container port has no fixed host port.
                parts = str(entry).split("/")[0].rsplit(":", 2)
                published = parts[-2] if len(parts) > 1 else ""
            if re.fullmatch(r"\d{1,5}", published):
                ports[int(published)] = name
    return ports


def check_engine(docker: Engine) -> None:
    """Raise InfraError unless the daemon answers and compose is version 2 or newer."""
    try:
        docker.run(["version", "--format", "{{.Server.Version}}"], timeout=15)
    except InfraError as exc:
        if "no docker command" in str(exc):
            raise
        raise InfraError(
            f"Docker does not answer ({exc}): start Docker Desktop or the docker service, check "
            "DOCKER_HOST and your membership in group docker; or use -i inventory/replay"
        ) from exc
    try:
        version = docker.run(["compose", "version", "--short"], timeout=15).strip()
    except InfraError as exc:
        raise InfraError(
            f"docker has no compose command ({exc}): install the compose v2 plugin"
        ) from exc
    major = version.lstrip("v").split(".")[0]
    if not major.isdigit() or int(major) < 2:
        raise InfraError(f"docker compose is {version or 'unknown'}: version 2 or newer is needed")


def check_compose(
    docker: Engine,
    *,
    checkout: Path,
    project: str,
    build: str,
    findings: Findings,
    code: Code | None = None,
) -> None:
    """Check image and stale stack of the compose driver. Raises InfraError without an engine."""
    check_engine(docker)
    services = override.read_services(checkout / "docker-compose.yml")
    first = services[override.node_services(services)[0]]
    image = str(first.get("image", ""))
    # What a git ref was built to is looked at where it is built.
    if code is None and image and engine.image_digest(docker, image) is None:
        if build == "never":
            findings.errors.append(
                UsageError(
                    f"image {image} is not present and stack_build=never: build it "
                    f"(docker compose build in {checkout}), or use -e stack_build=auto"
                )
            )
        elif not first.get("build"):
            findings.errors.append(
                UsageError(f"image {image} is not present and the compose file can't build it")
            )
        else:
            findings.notes.append(f"image {image} is not present: it will be built")
    ours = engine.containers(docker, project=project)
    if ours and all(engine.label(c, engine.OWNER_LABEL) for c in ours):
        findings.notes.append(f"a stack of the harness is still there ({project}): taken over")
    elif ours:
        names = ", ".join(engine.name_of(c) for c in ours)
        findings.errors.append(
            InfraError(
                f"compose project {project} has containers that the harness did not make "
                f"({names}): choose another name with -e stack_project=NAME"
            )
        )


def check_ports(
    taken: Mapping[str, str], docker: Engine, *, project: str, findings: Findings
) -> None:
    """Turn taken ports into errors that name the container or process, but for our own stack's."""
    if not taken:
        return
    by_port: dict[int, dict[str, Any]] = {}
    for container in engine.containers(docker, running_only=True):
        for port in engine.published_ports(container):
            by_port[port] = container
    ours = engine.OWNER_LABEL
    by_holder: dict[str, list[str]] = {}
    for taken_port, process in sorted(taken.items(), key=lambda item: int(item[0])):
        container = by_port.get(int(taken_port), {})
        owner = engine.label(container, engine.PROJECT_LABEL)
        if container and owner == project and engine.label(container, ours):
            continue
        by_holder.setdefault(_holder(container, owner, process), []).append(taken_port)
    for who, ports in by_holder.items():
        word = "port" if len(ports) == 1 else "ports"
        verb = "is" if len(ports) == 1 else "are"
        findings.errors.append(InfraError(f"{word} {', '.join(ports)} {verb} held by {who}"))


def _holder(container: Mapping[str, Any], project: str, process: str) -> str:
    if not container:
        return f"{process}: end it, or change the ports in the checkout's docker-compose.yml"
    name = engine.name_of(container)
    stop = f"docker compose -p {project} stop" if project else f"docker stop {name}"
    return f"container {name}: stop it with `{stop}`"

"""Checks before anything starts; each failure says what to do."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wktriage.core.errors import InfraError, TriageError, UsageError
from wktriage.request.request import Request
from wktriage.stack.compose import engine, override
from wktriage.stack.compose.engine import Engine

MIN_FREE_BYTES = 2 * 1024**3
"""A run of the largest scenario writes about this much (three nodes, preallocated logs)."""

LOW_FREE_RATIO = 0.09
"""Under 6 to 9 % free, WuKongIM's own findings call latency conclusions invalid."""

MAX_CLOCK_OFFSET_S = 0.5
"""Half a sample interval: beyond it, the order of events on two hosts can't be told."""

RAM_FILESYSTEMS = frozenset({"tmpfs", "ramfs"})
NETWORK_FILESYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"})


@dataclass
class Findings:
    """What preflight found: errors stop the run, warnings and notes are said."""

    errors: list[TriageError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def raise_first(self) -> None:
        """Raise the first error; the others are appended to its text."""
        if not self.errors:
            return
        first = self.errors[0]
        raise type(first)("; ".join(str(e) for e in self.errors))


def host_ports(services: Mapping[str, Any]) -> dict[int, str]:
    """Return host TCP port -> service for the services that the harness starts."""
    wanted = [*override.node_services(services), override.SIM_SERVICE]
    found: dict[int, str] = {}
    for name in wanted:
        for entry in services[name].get("ports") or []:
            if isinstance(entry, dict):
                published = str(entry.get("published", ""))
            else:
                # [ip:]host:container[/protocol]; a lone container port has no fixed host port.
                parts = str(entry).split("/")[0].rsplit(":", 2)
                published = parts[-2] if len(parts) > 1 else ""
            if re.fullmatch(r"\d{1,5}", published):
                found[int(published)] = name
    return found


def ports_of(params: Request) -> list[int]:
    """Return the host ports that a request's stack will listen on, as far as they are fixed."""
    if params.driver != "compose" or params.checkout is None:
        return []
    services = override.read_services(Path(params.checkout) / "docker-compose.yml")
    return sorted(host_ports(services))


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
    docker: Engine, *, checkout: Path, project: str, build: str, findings: Findings
) -> None:
    """Check image and stale stack of the compose driver. Raises InfraError without an engine."""
    check_engine(docker)
    services = override.read_services(checkout / "docker-compose.yml")
    first = services[override.node_services(services)[0]]
    image = str(first.get("image", ""))
    if image and engine.image_digest(docker, image) is None:
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
        theirs = engine.label(container, engine.PROJECT_LABEL)
        if container and theirs == project and engine.label(container, ours):
            continue
        by_holder.setdefault(_holder(container, theirs, process), []).append(taken_port)
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


def check_disk(host: str, disk: Mapping[str, Any], *, path: str, findings: Findings) -> None:
    """Check space and kind of the filesystem under the data root."""
    free, total = int(disk["free_bytes"]), int(disk["total_bytes"])
    if not disk["writable"]:
        findings.errors.append(
            InfraError(f"{host}: {disk['inspected']} is not writable: choose -e data_root=DIR")
        )
    if free < MIN_FREE_BYTES:
        findings.errors.append(
            InfraError(
                f"{host}: {free / 1024**3:.1f} GiB free under {path}, at least "
                f"{MIN_FREE_BYTES / 1024**3:.0f} GiB are needed: free some or choose "
                "-e data_root=DIR"
            )
        )
    elif total and free / total < LOW_FREE_RATIO:
        findings.warnings.append(
            f"{host}: only {100 * free / total:.0f} % free under {path}: latencies of this run "
            "will not be comparable"
        )
    kind = disk.get("filesystem")
    if kind in RAM_FILESYSTEMS:
        findings.warnings.append(f"{host}: {path} is in memory ({kind}): nothing is durable there")
    elif kind in NETWORK_FILESYSTEMS:
        findings.warnings.append(f"{host}: {path} is on a network filesystem ({kind})")


def check_clocks(offsets: Mapping[str, float], *, uncertainty: float, findings: Findings) -> None:
    """Compare the hosts' clocks; ``offsets`` are seconds ahead of the controller.

    ``uncertainty`` (s) is how well each offset is known; what it may explain is no error.
    """
    if len(offsets) < 2:
        return
    fast, slow = max(offsets, key=offsets.__getitem__), min(offsets, key=offsets.__getitem__)
    spread = offsets[fast] - offsets[slow]
    if spread - 2 * uncertainty > MAX_CLOCK_OFFSET_S:
        findings.errors.append(
            InfraError(
                f"clocks of {fast} and {slow} differ by {spread:.2f} s (at most "
                f"{MAX_CLOCK_OFFSET_S} s): synchronise them (chrony or systemd-timesyncd)"
            )
        )


def check_python(host: str, version: str, *, findings: Findings) -> None:
    """The collector needs Python 3.8 on the hosts; the controller needs 3.11 (it runs this)."""
    parts = tuple(int(p) for p in re.findall(r"\d+", version)[:2])
    if parts < (3, 8):
        findings.errors.append(
            InfraError(f"{host}: Python {version} is too old for the collector: install 3.8+")
        )


def boot_id(by_host: Mapping[str, str | None]) -> str | None:
    """Return one mark for the boot of all hosts; None when one host can't tell."""
    if any(not v for v in by_host.values()):
        return None
    if len(by_host) == 1:
        return next(iter(by_host.values()))
    return ",".join(f"{host}={value}" for host, value in sorted(by_host.items()))


def describe(lines: Iterable[str]) -> str:
    """Join findings for a task's message."""
    return "; ".join(lines) or f"all good (Python {sys.version.split()[0]})"


def run(params: Request, probes: Mapping[str, Mapping[str, Any]], docker: Engine) -> Findings:
    """Check everything; ``probes`` maps each host to what wk_host_probe found there.

    Raises the first error, with the others in its text.
    """
    findings = Findings()
    if params.driver == "compose" and params.checkout is not None:
        check_compose(
            docker,
            checkout=Path(params.checkout),
            project=params.project,
            build=params.stack_build,
            findings=findings,
        )
    offsets: dict[str, float] = {}
    for host, probe in probes.items():
        check_python(host, str(probe["python"]), findings=findings)
        check_disk(host, probe["disk"], path=params.data_root, findings=findings)
        offsets[host] = float(probe["clock_offset_s"])
        if params.driver == "compose":
            check_ports(probe["taken"], docker, project=params.project, findings=findings)
    check_clocks(
        offsets,
        uncertainty=max((float(p["clock_uncertainty_s"]) for p in probes.values()), default=0.0),
        findings=findings,
    )
    findings.raise_first()
    return findings

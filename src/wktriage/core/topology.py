"""topology.json: which nodes there are, how to reach them, and the verbs that act on them.

Everything after ``roles/stack`` reads this and nothing else about the stack.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from wktriage.core import json_files
from wktriage.core.declarations import Declared, convert
from wktriage.core.errors import InfraError

Verb = Literal["pause", "unpause", "kill", "stop", "start", "restart", "logs"]
Verbs = dict[str, list[str]]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Url = Annotated[str, Meta(pattern="^http://")]


class Handle(Declared, frozen=True, omit_defaults=True):
    """What acts on a process: a container, a process of the host, or stand-ins behind URLs.

    ``ports`` are those of a process, by what listens there; a container has ports of its own.
    """

    kind: Literal["container", "process", "http"]
    id: str | None = None
    name: str | None = None
    pid: int | None = None
    pid_file: str | None = None
    log_file: str | None = None
    resource_url: str | None = None
    logs_url: str | None = None
    host_url: str | None = None
    events_url: str | None = None
    bundle_url: str | None = None
    ports: dict[str, int] | None = None


class Node(Declared, frozen=True):
    """One WuKongIM node: name, numeric id, inventory host, API address, handle, directories."""

    name: Name
    id: Annotated[int, Meta(ge=0)]
    host: str
    api_url: Url
    handle: Handle
    data_dir: str | None
    log_dir: str | None
    verbs: Verbs = msgspec.field(default_factory=dict)


class Sim(Declared, frozen=True):
    """The simulator: where its /status is and how to act on it."""

    name: Name
    host: str
    status_url: Url
    handle: Handle
    log_dir: str | None = None
    verbs: Verbs = msgspec.field(default_factory=dict)


class Topology(Declared, frozen=True):
    """A stack as exported by its driver. ``replay_of`` is the incident that is played."""

    driver: Name
    project: str
    data_root: str | None
    nodes: tuple[Node, ...]
    sim: Sim
    replay_of: str | None = None
    schema_version: Literal[1] = 1

    def write(self, path: Path) -> None:
        """Write topology.json."""
        json_files.write_object(path, self.as_dict())


def load(path: Path) -> Topology:
    """Read a topology.json. Raises InfraError with file, key and a suggestion when it is none."""
    return json_files.load_typed(path, Topology, InfraError)


def check(document: object, where: str) -> None:
    """Raise InfraError when a parsed document is no topology; ``where`` names its file."""
    convert(document, Topology, where, InfraError)


def container_verbs(container_id: str) -> Verbs:
    """Return the verbs of a container, as argument lists run on the node's host."""

    def docker(*args: str) -> list[str]:
        return ["docker", *args, container_id]

    return {
        "pause": docker("pause"),
        "unpause": docker("unpause"),
        "kill": docker("kill"),
        "stop": docker("stop"),
        "start": docker("start"),
        "restart": docker("restart"),
        "logs": docker("logs", "--timestamps"),
    }

"""topology.json: which nodes there are, how to reach them, and the verbs that act on them.

Everything after ``roles/stack`` reads this and nothing else about the stack.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wktriage.core.errors import InfraError
from wktriage.core.json_files import write_object

SCHEMA_VERSION = 1

Verbs = dict[str, list[str]]


@dataclass(frozen=True)
class Node:
    """One WuKongIM node: name, numeric id, inventory host, API address, handle, directories."""

    name: str
    id: int
    host: str
    api_url: str
    handle: Mapping[str, Any]
    data_dir: str | None
    log_dir: str | None
    verbs: Verbs = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "name": self.name,
            "id": self.id,
            "host": self.host,
            "api_url": self.api_url,
            "handle": dict(self.handle),
            "data_dir": self.data_dir,
            "log_dir": self.log_dir,
            "verbs": self.verbs,
        }


@dataclass(frozen=True)
class Sim:
    """The simulator: where its /status is and how to act on it."""

    name: str
    host: str
    status_url: str
    handle: Mapping[str, Any]
    log_dir: str | None = None
    verbs: Verbs = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "name": self.name,
            "host": self.host,
            "status_url": self.status_url,
            "handle": dict(self.handle),
            "log_dir": self.log_dir,
            "verbs": self.verbs,
        }


@dataclass(frozen=True)
class Topology:
    """A stack as exported by its driver."""

    driver: str
    project: str
    data_root: str | None
    nodes: tuple[Node, ...]
    sim: Sim
    replay_of: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form written to topology.json."""
        return {
            "schema_version": SCHEMA_VERSION,
            "driver": self.driver,
            "project": self.project,
            "data_root": self.data_root,
            "replay_of": self.replay_of,
            "nodes": [n.as_dict() for n in self.nodes],
            "sim": self.sim.as_dict(),
        }

    def write(self, path: Path) -> None:
        """Write topology.json."""
        write_object(path, self.as_dict())


def load(path: Path) -> Topology:
    """Read a topology.json. Raises InfraError when it is missing or not one."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8", errors="replace"))
        if raw["schema_version"] != SCHEMA_VERSION:
            raise ValueError("unknown schema_version")
        return Topology(
            driver=raw["driver"],
            project=raw["project"],
            data_root=raw["data_root"],
            nodes=tuple(Node(**n) for n in raw["nodes"]),
            sim=Sim(**raw["sim"]),
            replay_of=raw["replay_of"],
        )
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InfraError(f"{path} is no topology this version can read: {exc}") from exc


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

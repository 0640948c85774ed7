"""What a compose file and the nodes' own TOML say that the harness needs to know."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wktriage.core.errors import UsageError

DEFAULT_API_PORT = 5001
DEFAULT_DATA_DIR = "/var/lib/wukongim"


@dataclass(frozen=True)
class NodeConfig:
    """What a node's own TOML says that the harness needs to know."""

    path: Path | None
    api_port: int
    data_dir: str
    log_dir: str | None


def read_node_config(path: Path | None) -> NodeConfig:
    """Read API port, data and log directory from a node's TOML; defaults where it is silent."""
    doc: dict[str, Any] = {}
    if path is not None:
        try:
            doc = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
            raise UsageError(f"node configuration {path} cannot be read: {exc}") from exc
    return NodeConfig(
        path=path,
        api_port=port_of(doc.get("api", {}).get("listen_addr"), DEFAULT_API_PORT),
        data_dir=str(doc.get("node", {}).get("data_dir", DEFAULT_DATA_DIR)),
        log_dir=doc.get("log", {}).get("dir"),
    )


def config_sha256(configs: Mapping[str, Path | None]) -> str | None:
    """Return one hash over all nodes' configuration files, by node name; None when one is unknown.

    Over the files as they are: what is left out of a bundle still makes two runs different.
    """
    total = hashlib.sha256()
    for name, path in sorted(configs.items()):
        if path is None:
            return None
        total.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def port_of(address: Any, default: int) -> int:
    """Return the port of an address such as ``0.0.0.0:5001``; the default where it has none."""
    tail = str(address or "").rpartition(":")[2]
    return int(tail) if tail.isdigit() else default


def mounted_from(service: Mapping[str, Any], target: str, *, base: Path) -> Path | None:
    """Return the host path that a service of a compose file binds to ``target``, or None."""
    for volume in service.get("volumes") or []:
        if isinstance(volume, dict):
            source, where = volume.get("source"), volume.get("target")
        else:
            parts = str(volume).split(":")
            source, where = (parts[0], parts[1]) if len(parts) > 1 else (None, None)
        if where == target and source and "$" not in str(source):
            return (base / str(source)).resolve()
    return None

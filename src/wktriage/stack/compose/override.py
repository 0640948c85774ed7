"""The compose override file: the harness's mounts and variables over the checkout's own file.

The checkout is used in place and never written. Compose merges volumes by their target, so each
bind that would point into the checkout's data directories is re-targeted here, and nothing of
the user's stack is touched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from wktriage.core.errors import UsageError
from wktriage.stack.compose.engine import OWNER_LABEL

NODE_SERVICE = re.compile(r"wk-node(\d+)\Z")
SIM_SERVICE = "wk-sim"
SIM_CONFIG_TARGET = "/etc/wkbench"
SIM_DATA_TARGET = "/var/lib/wkbench"
SIM_CONFIG_NAME = "dev-sim.yaml"
NODE_CONFIG_TARGET = "/etc/wukongim/wukongim.toml"
SOURCE_LABEL = "org.wktriage.source"


def read_services(compose_file: Path) -> dict[str, Any]:
    """Return the services of the checkout's compose file.

    Raises UsageError when it can't be parsed, or has no ``wk-node<N>`` or no ``wk-sim``.
    """
    try:
        doc = yaml.safe_load(compose_file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        reason = str(exc).splitlines()[0]
        raise UsageError(f"{compose_file} cannot be read as a compose file: {reason}") from exc
    services = doc.get("services") if isinstance(doc, dict) else None
    if not isinstance(services, dict):
        raise UsageError(f"{compose_file} has no services: is this a WuKongIM checkout?")
    if not node_services(services) or SIM_SERVICE not in services:
        raise UsageError(
            f"{compose_file} has no wk-node<N> and {SIM_SERVICE} services: "
            "point wukongim_checkout at a WuKongIM checkout"
        )
    return services


def node_services(services: Mapping[str, Any]) -> list[str]:
    """Return the node services, ordered by node number."""
    numbered = [(int(m[1]), name) for name in services if (m := NODE_SERVICE.match(name))]
    return [name for _, name in sorted(numbered)]


def node_number(service: str) -> int:
    """Return the number in a node service's name. Raises ValueError for any other name."""
    match = NODE_SERVICE.match(service)
    if match is None:
        raise ValueError(f"{service} is not a node service")
    return int(match[1])


def build(
    *,
    nodes: Mapping[str, str],
    data_root: Path,
    sim_config_dir: Path,
    sim_data_dir: Path,
    node_env: Mapping[str, str],
    sim_env: Mapping[str, str],
    project: str,
    source: str | None,
    image: str | None = None,
) -> dict[str, Any]:
    """Return the override document.

    ``nodes`` maps each node service to its data directory inside the container. ``node_env``
    goes to nodes only and ``sim_env`` to the simulator only: a node refuses to start on a
    variable that is not its own. ``source`` marks what an image built here was built from.
    ``image`` takes the place of the compose file's, for nodes and simulator alike.
    """
    labels = {OWNER_LABEL: project}
    own_image = {} if image is None else {"image": image}
    services: dict[str, Any] = {}
    for service, target in nodes.items():
        entry: dict[str, Any] = {
            "labels": labels,
            **own_image,
            "volumes": [_bind(data_root / service.removeprefix("wk-"), target)],
        }
        if node_env:
            entry["environment"] = {k: _literal(v) for k, v in sorted(node_env.items())}
        if source is not None:
            entry["build"] = {"labels": {SOURCE_LABEL: source}}
        services[service] = entry
    services[SIM_SERVICE] = {
        "labels": labels,
        **own_image,
        "environment": {k: _literal(v) for k, v in sorted(sim_env.items())},
        "volumes": [
            _bind(sim_config_dir, SIM_CONFIG_TARGET, read_only=True),
            _bind(sim_data_dir, SIM_DATA_TARGET),
        ],
    }
    return {"services": services}


def dump(document: Mapping[str, Any]) -> str:
    """Return the override as YAML text, without anchors."""

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    return yaml.dump(dict(document), Dumper=Plain, sort_keys=True)


def sim_config(text: str, *, connect_rate: int | None) -> str:
    """Return dev-sim.yaml with the connect rate (users/s) that was asked for.

    The simulator has no environment variable for it. Raises UsageError when the file is not a
    mapping. The text is returned as it is when nothing was asked.
    """
    if connect_rate is None:
        return text
    doc = yaml.safe_load(text)
    if not isinstance(doc, dict) or not isinstance(doc.setdefault("online", {}), dict):
        raise UsageError("the checkout's docker/sim/dev-sim.yaml is not a mapping")
    doc["online"]["connect_rate"] = f"{connect_rate}/s"
    return yaml.safe_dump(doc, sort_keys=False)


def _bind(source: Path, target: str, *, read_only: bool = False) -> dict[str, Any]:
    # A missing source must be an error and never a directory that Docker makes as root.
    bind = {"create_host_path": False}
    return {
        "type": "bind",
        "source": _literal(str(source)),
        "target": target,
        "read_only": read_only,
        "bind": bind,
    }


def _literal(value: str) -> str:
    # Compose interpolates $NAME in every value; a doubled dollar stands for itself.
    return value.replace("$", "$$")

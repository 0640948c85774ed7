"""A small checkout and a Docker engine of canned answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from wktriage.core.errors import InfraError
from wktriage.stack.compose.engine import OWNER_LABEL, PROJECT_LABEL, SERVICE_LABEL

NODE_TOML = """
[node]
id = {n}
data_dir = "/var/lib/wukongim"
[api]
listen_addr = "0.0.0.0:5001"
[log]
dir = "/var/lib/wukongim/logs"
"""


def make_checkout(path: Path, *, nodes: int = 3, sim: bool = True) -> Path:
    """Write a compose file, node configurations and dev-sim.yaml, as a checkout has them."""
    services: dict[str, Any] = {}
    for n in range(1, nodes + 1):
        services[f"wk-node{n}"] = {
            "image": "wukongim-dev:local",
            "build": {"context": "."},
            "volumes": [
                f"./docker/conf/node{n}.toml:/etc/wukongim/wukongim.toml:ro",
                f"${{WK_NODE{n}_DATA_MOUNT:-./docker/dev-cluster/node{n}}}:/var/lib/wukongim",
            ],
            "ports": [f"{15000 + n}:5001", f"{15099 + n}:5100"],
        }
        conf = path / "docker" / "conf" / f"node{n}.toml"
        conf.parent.mkdir(parents=True, exist_ok=True)
        conf.write_text(NODE_TOML.format(n=n))
    if sim:
        services["wk-sim"] = {
            "image": "wukongim-dev:local",
            "profiles": ["dev-sim"],
            "volumes": ["./docker/sim:/etc/wkbench:ro", "./docker/dev-sim:/var/lib/wkbench"],
            "ports": ["19091:19091"],
        }
        conf = path / "docker" / "sim" / "dev-sim.yaml"
        conf.parent.mkdir(parents=True, exist_ok=True)
        conf.write_text("status:\n  listen: 0.0.0.0:19091\nonline:\n  connect_rate: 10/s\n")
    (path / "docker-compose.yml").write_text(yaml.safe_dump({"services": services}))
    return path


class FakeDocker:
    """Remembers commands; answers ps, inspect, compose config and up like an engine would."""

    def __init__(self, checkout: Path, *, image: str | None = "sha256:abc") -> None:
        self.checkout = checkout
        self.image = image
        self.image_labels: dict[str, str] = {}
        self.containers: dict[str, dict[str, Any]] = {}
        self.commands: list[list[str]] = []

    def add(
        self, service: str, project: str = "wktriage", *, ours: bool = True, **state: Any
    ) -> str:
        """Add a container; return its id."""
        ident = f"id-{project}-{service}"
        labels = {PROJECT_LABEL: project, SERVICE_LABEL: service}
        if ours:
            labels[OWNER_LABEL] = project
        self.containers[ident] = {
            "Id": ident,
            "Name": f"/{project}-{service}-1",
            "Config": {"Labels": labels},
            "State": {"Running": False, "Paused": False, **state},
            "HostConfig": {"PortBindings": {}},
            "NetworkSettings": {"Ports": {}},
        }
        return ident

    def ran(self, *words: str) -> bool:
        """Tell whether a command held these words, in this order."""
        for command in self.commands:
            rest = iter(command)
            if all(word in rest for word in words):
                return True
        return False

    def run(
        self,
        args: Sequence[str],
        *,
        timeout: float = 30.0,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> str:
        command = list(args)
        self.commands.append(command)
        if command[0] == "ps":
            wanted = [c.partition(f"{PROJECT_LABEL}=")[2] for c in command if PROJECT_LABEL in c]
            found = [
                i
                for i, c in self.containers.items()
                if not wanted or c["Config"]["Labels"].get(PROJECT_LABEL) == wanted[0]
            ]
            return "\n".join(found)
        if command[:2] == ["image", "inspect"]:
            if self.image is None:
                raise InfraError("`docker image inspect` failed: Error: No such image: x")
            return json.dumps([{"Id": self.image, "Config": {"Labels": self.image_labels}}])
        if command[0] == "inspect":
            return json.dumps([self.containers[i] for i in command[3:]])
        if command[0] == "start":
            for ident in command[1:]:
                self.containers[ident]["State"]["Running"] = True
        if command[0] == "compose":
            return self._compose(command)
        return "24.0.0\n"

    def _compose(self, command: list[str]) -> str:
        if "version" in command:
            return "2.40.3\n"
        if "build" in command:
            self.image = "sha256:built"
        if "down" in command:
            project = command[command.index("--project-name") + 1]
            self.containers = {
                i: c
                for i, c in self.containers.items()
                if c["Config"]["Labels"].get(PROJECT_LABEL) != project
            }
        if "up" in command:
            for service in [w for w in command if w.startswith("wk-")]:
                self.add(service)
        if "config" in command:
            services = yaml.safe_load((self.checkout / "docker-compose.yml").read_text())
            rendered = {
                name: {
                    "ports": [
                        {"published": p.split(":")[0], "target": int(p.split(":")[1])}
                        for p in service["ports"]
                    ]
                }
                for name, service in services["services"].items()
            }
            return json.dumps({"services": rendered})
        return ""

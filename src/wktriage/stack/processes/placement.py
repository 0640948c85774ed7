"""Which process runs on which host, and on which ports. Nothing here counts to three."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from wktriage.core.errors import UsageError
from wktriage.request.request import StackHost

NODE_GROUP, SIM_GROUP = "wk_nodes", "wk_sim"
SIM = "wk-sim"
FIRST_PORT = 21000
"""The simulator's; a node's ports follow, ten apart. Below the range of outgoing connections."""

PORTS_A_NODE = 10
MAX_NODES_A_HOST = 100


@dataclass(frozen=True)
class Place:
    """A process's host and where it listens. ``port`` is that of its HTTP surface."""

    name: str
    host: str
    address: str
    port: int

    @property
    def url(self) -> str:
        """Where its HTTP surface is."""
        return f"http://{endpoint(self.address, self.port)}"

    @property
    def listen(self) -> str:
        """The address to bind: a name may mean the loopback device on its own host."""
        try:
            ipaddress.ip_address(self.address)
        except ValueError:
            return "0.0.0.0"  # noqa: S104 (the benchmark's hosts reach each other by name)
        return self.address

    @property
    def named_ports(self) -> dict[str, int]:
        """All ports that it holds, by what listens there."""
        return {"api": self.port}

    @property
    def ports(self) -> list[int]:
        """All ports that it holds."""
        return list(self.named_ports.values())


@dataclass(frozen=True)
class NodePlace(Place):
    """A node's place."""

    id: int

    @property
    def gateway_port(self) -> int:
        """Where clients connect over TCP."""
        return self.port + 1

    @property
    def websocket_port(self) -> int:
        """Where clients connect over WebSocket."""
        return self.port + 2

    @property
    def cluster_port(self) -> int:
        """Where other nodes connect."""
        return self.port + 3

    @property
    def named_ports(self) -> dict[str, int]:
        """All ports that it holds, by what listens there."""
        return {
            "api": self.port,
            "gateway": self.gateway_port,
            "websocket": self.websocket_port,
            "cluster": self.cluster_port,
        }

    @property
    def data(self) -> str:
        """Name of its data directory."""
        return f"node{self.id}"


@dataclass(frozen=True)
class Layout:
    """The nodes, by id, and the simulator."""

    nodes: tuple[NodePlace, ...]
    sim: Place

    def as_dict(self) -> dict[str, Any]:
        """Return the plain form, as a request carries it."""
        return {"nodes": [asdict(node) for node in self.nodes], "sim": asdict(self.sim)}

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Layout:
        """Return the Layout that ``as_dict`` made."""
        return cls(tuple(NodePlace(**node) for node in raw["nodes"]), Place(**raw["sim"]))

    @property
    def places(self) -> list[Place]:
        """All processes, nodes first."""
        return [*self.nodes, self.sim]

    @property
    def hosts(self) -> list[str]:
        """Names of the hosts that run anything."""
        return list(dict.fromkeys(place.host for place in self.places))

    def ports(self, host: str | None = None) -> list[int]:
        """Return the ports that processes of one host, or of any, will hold."""
        chosen = [place for place in self.places if host in {None, place.host}]
        return sorted({port for place in chosen for port in place.ports})


def endpoint(address: str, port: int) -> str:
    """Return ``address:port``, with brackets where IPv6 needs them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def layout(hosts: Sequence[StackHost]) -> Layout:
    """Place the nodes on the hosts of group wk_nodes and the simulator on that of wk_sim.

    Where the inventory has no such group: nodes on every host, the simulator beside the first. A
    host runs ``wk_node_count`` nodes (default 1). Raises UsageError when nothing can be placed.
    """
    node_hosts = _members(hosts, NODE_GROUP) or hosts
    sim_hosts = _members(hosts, SIM_GROUP) or node_hosts[:1]
    if not node_hosts:
        raise UsageError("no host to run nodes on: the inventory's group wk_stack is empty")
    if len(sim_hosts) > 1:
        names = ", ".join(host.name for host in sim_hosts)
        raise UsageError(f"group {SIM_GROUP} has {names}: one host runs the simulator")
    nodes: list[NodePlace] = []
    for host in node_hosts:
        for number in range(1, _number(host, "wk_node_count", 1, MAX_NODES_A_HOST) + 1):
            port = _first_port(host) + PORTS_A_NODE * number
            node_id = len(nodes) + 1
            nodes.append(NodePlace(f"wk-node{node_id}", host.name, host.address, port, node_id))
    sim = sim_hosts[0]
    return Layout(tuple(nodes), Place(SIM, sim.name, sim.address, _first_port(sim)))


def _members(hosts: Sequence[StackHost], group: str) -> list[StackHost]:
    return [host for host in hosts if group in host.groups]


def _first_port(host: StackHost) -> int:
    highest = 65535 - PORTS_A_NODE * (MAX_NODES_A_HOST + 1)
    return _number(host, "wk_first_port", FIRST_PORT, highest)


def _number(host: StackHost, name: str, default: int, highest: int) -> int:
    value = host.settings.get(name, default)
    digits = isinstance(value, str) and value.isdigit()
    # Ansible's integers are of a type of their own: plain ones go into the request.
    number = 0 if isinstance(value, bool) or not (digits or isinstance(value, int)) else int(value)
    if not 1 <= number <= highest:
        raise UsageError(
            f"host {host.name}: {name}={value!r} must be a whole number from 1 to {highest}"
        )
    return number

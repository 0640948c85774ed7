"""Faults of the network: firewall rules inside a target's namespace, and missing networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wktriage.lab.actions import commands
from wktriage.lab.actions.commands import Target
from wktriage.lab.actions.cycles import Cycles
from wktriage.lab.actions.firewall import Firewall
from wktriage.lab.actions.tables import ActionTable, CheckTable, check_each, for_each

TOOLS: Mapping[str, Sequence[str]] = dict.fromkeys(
    ("firewall", "firewall_cycle", "part"), ("nsenter", "iptables")
)
"""What the actions that only root may do call on this machine."""


class NetworkActions:
    """What is done to the network of containers."""

    def __init__(self, cycles: Cycles) -> None:
        self._networks: dict[str, list[str]] = {}
        # Inside the target's network namespace.
        self._firewall = Firewall(cycles, lambda target, argv: commands.in_namespace(target, *argv))
        self.actions: ActionTable = {
            **self._firewall.actions,
            "part": self._part,
            "disconnect": for_each(self._disconnect),
            "reconnect": for_each(self._reconnect),
        }
        self.checks: CheckTable = {
            **self._firewall.checks,
            "disconnected": check_each(self._disconnected),
        }

    def _part(self, targets: Sequence[Target], port: int) -> None:
        """Drop what the targets send to that port of each other."""
        addresses = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        for target in targets:
            for other in targets:
                if other.name == target.name:
                    continue
                for address in commands.inspect(other, addresses).split():
                    rule = ["-s", address, "-p", "tcp", "--dport", str(port), "-j", "DROP"]
                    self._firewall.add(target, rule)

    def _disconnect(self, target: Target) -> None:
        """Take the target off its networks: peers and clients alike."""
        self._networks[target.name] = _networks(target)
        for network in self._networks[target.name]:
            identity = commands.container_id(target)
            commands.run(["docker", "network", "disconnect", network, identity])

    def _reconnect(self, target: Target) -> None:
        for network in self._networks.pop(target.name, []):
            commands.run(["docker", "network", "connect", "--alias", target.name, network,
                          commands.container_id(target)])  # fmt: skip

    def _disconnected(self, target: Target) -> str | None:
        return f"{target.name} is still on a network" if _networks(target) else None


def _networks(target: Target) -> list[str]:
    template = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}"
    return commands.inspect(target, template).split()

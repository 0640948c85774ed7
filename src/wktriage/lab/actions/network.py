"""Faults of the network: firewall rules inside a target's namespace, and missing networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wktriage.lab.actions import commands
from wktriage.lab.actions.commands import Target
from wktriage.lab.actions.cycles import Cycles
from wktriage.lab.actions.tables import ActionTable, CheckTable, check_each, for_each

CHAIN = "WKTRIAGE"  # our own chain: healing removes it whole and nothing else
CYCLE_SECONDS = 600
TOOLS: Mapping[str, Sequence[str]] = dict.fromkeys(
    ("firewall", "firewall_cycle", "part"), ("nsenter", "iptables")
)
"""What the actions that only root may do call on this machine."""


class NetworkActions:
    """What is done to the network of containers."""

    def __init__(self, cycles: Cycles) -> None:
        self._cycles = cycles
        self._networks: dict[str, list[str]] = {}
        self.actions: ActionTable = {
            "firewall": for_each(self._firewall),
            "firewall_off": for_each(self._firewall_off),
            "firewall_cycle": for_each(self._firewall_cycle),
            "part": self._part,
            "disconnect": for_each(self._disconnect),
            "reconnect": for_each(self._reconnect),
        }
        self.checks: CheckTable = {
            "firewalled": check_each(self._firewalled),
            "disconnected": check_each(self._disconnected),
        }

    def _firewall(self, target: Target, rule: Sequence[str], chain: str = "INPUT") -> None:
        """Add one rule, in our own chain, inside the target's network namespace."""
        existing = _iptables(target, "-S")
        if f"-N {CHAIN}" not in existing:
            _iptables(target, "-N", CHAIN)
        if f"-A {chain} -j {CHAIN}" not in existing:
            _iptables(target, "-I", chain, "1", "-j", CHAIN)
        _iptables(target, "-A", CHAIN, *[str(word) for word in rule])

    def _firewall_off(self, target: Target) -> None:
        existing = _iptables(target, "-S")
        for chain in ("INPUT", "OUTPUT"):
            if f"-A {chain} -j {CHAIN}" in existing:
                _iptables(target, "-D", chain, "-j", CHAIN)
        if f"-N {CHAIN}" in existing:
            _iptables(target, "-F", CHAIN)
            _iptables(target, "-X", CHAIN)

    def _firewall_cycle(
        self, target: Target, rule: Sequence[str], on_s: float, off_s: float
    ) -> None:
        """Apply one firewall rule for ``on_s`` seconds, every ``on_s + off_s`` seconds."""
        self._cycles.start(
            target,
            lambda: self._firewall(target, rule=rule),
            lambda: self._firewall_off(target),
            on_s=on_s,
            off_s=off_s,
            seconds=CYCLE_SECONDS,
        )

    def _part(self, targets: Sequence[Target], port: int) -> None:
        """Drop what the targets send to that port of each other."""
        addresses = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        for target in targets:
            for other in targets:
                if other.name == target.name:
                    continue
                for address in commands.inspect(other, addresses).split():
                    rule = ["-s", address, "-p", "tcp", "--dport", str(port), "-j", "DROP"]
                    self._firewall(target, rule=rule)

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

    def _firewalled(self, target: Target) -> str | None:
        rows = _iptables(target, "-L", CHAIN, "-v", "-x", "-n").splitlines()
        first_columns = [row.split()[0] for row in rows if row.split()]
        hit = any(column not in {"0", "Chain", "pkts"} for column in first_columns)
        return None if hit else f"no packet of {target.name} met the rule"

    def _disconnected(self, target: Target) -> str | None:
        return f"{target.name} is still on a network" if _networks(target) else None


def _iptables(target: Target, *args: str) -> str:
    """Run iptables in the target's network namespace and return its output."""
    return commands.in_namespace(target, "iptables", "-w", "5", *args)


def _networks(target: Target) -> list[str]:
    template = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}"
    return commands.inspect(target, template).split()

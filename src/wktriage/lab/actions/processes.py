"""Faults of plain processes, on whatever host they run: through the verbs of the topology."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any

from wktriage.core.errors import InfraError, UsageError
from wktriage.core.json_files import parse_object
from wktriage.core.topology import Node
from wktriage.lab.actions.commands import Target
from wktriage.lab.actions.cycles import Cycles
from wktriage.lab.actions.network import CHAIN
from wktriage.lab.actions.network import CYCLE_SECONDS as LINK_SECONDS
from wktriage.lab.actions.tables import ActionTable, CheckTable, check_each, for_each

CYCLE_SECONDS = 300
IPTABLES = ("iptables", "-w", "5")

PORTS = {"5001": "api", "5100": "gateway", "5200": "websocket", "7000": "cluster"}
"""What listens at the ports that faults name, those of a container."""

Ask = Callable[[str, Sequence[str]], str]
"""Runs a command on the host of that name and returns its output. Raises InfraError."""


class ProcessActions:
    """What is done to processes as a whole, and to what reaches their ports."""

    def __init__(self, cycles: Cycles, ask: Ask) -> None:
        self._cycles = cycles
        self._ask = ask
        self._started: dict[str, str] = {}
        self.actions: ActionTable = {
            "verb": for_each(self._verb),
            "cycle": for_each(self._cycle),
            "update": for_each(self._update),
            "firewall": for_each(self._firewall),
            "firewall_off": for_each(self._firewall_off),
            "firewall_cycle": for_each(self._firewall_cycle),
            "part": self._part,
            "limit_descriptors": for_each(self._limit_descriptors),
            "unlimit_descriptors": for_each(self._unlimit_descriptors),
            "throttle_writes": for_each(self._throttle_writes),
        }
        self.checks: CheckTable = {
            "state": check_each(self._has_state),
            "restarted": check_each(self._restarted),
            "limited": check_each(self._limited),
            "firewalled": check_each(self._firewalled),
            "descriptors_exhausted": check_each(self._exhausted),
            "writing_slowly": check_each(self._writing_slowly),
        }

    def remember(self, targets: Sequence[Target]) -> None:
        """Note since when the targets run: checks compare with it later."""
        for target in targets:
            self._started[target.name] = str(self.known(target)["started"])

    def known(self, target: Target) -> dict[str, Any]:
        """Return what the target's host says of it: state, started, limits, open files."""
        document = parse_object(self._ask(target.host, target.verbs["state"]))
        if document is None:
            raise InfraError(f"{target.host} says nothing of {target.name}")
        return document

    def _verb(self, target: Target, verb: str) -> None:
        self._ask(target.host, target.verbs[verb])

    def _cycle(
        self,
        target: Target,
        on: str,
        off: str,
        on_s: float,
        off_s: float,
        seconds: float = CYCLE_SECONDS,
    ) -> None:
        self._cycles.start(
            target,
            lambda: self._verb(target, on),
            lambda: self._verb(target, off),
            on_s=on_s,
            off_s=off_s,
            seconds=seconds,
        )

    def _update(self, target: Target, **limits: str | float) -> None:
        """Change the limits of the process; only its CPU has one."""
        if set(limits) != {"cpus"}:
            raise UsageError(f"{target.name} is a process: only its CPU can be limited (cpus)")
        self._ask(target.host, [*target.verbs["cpus"], str(limits["cpus"])])

    def _limit_descriptors(self, target: Target, spare: int) -> None:
        """Let the process open only so many descriptors more than it has now."""
        count = int(self.known(target)["open"] or 0) + int(spare)
        self._ask(target.host, [*target.verbs["descriptors"], str(count)])

    def _unlimit_descriptors(self, target: Target) -> None:
        self._ask(target.host, [*target.verbs["descriptors"], "0"])

    def _throttle_writes(self, target: Target, iops: int) -> None:
        """Allow the process ``iops`` writes a second to the disk of its data (0: no limit)."""
        if not isinstance(target, Node) or target.data_dir is None:
            raise UsageError(f"{target.name} keeps no data, so no disk of it can be slowed down")
        self._ask(target.host, [*target.verbs["writes"], str(iops), target.data_dir])

    def _firewall(self, target: Target, rule: Sequence[Any], chain: str = "INPUT") -> None:
        """Add one rule, in a chain of the lab for this target, on the target's host."""
        own, existing = _chain(target), self._iptables(target, "-S")
        if f"-N {own}" not in existing:
            self._iptables(target, "-N", own)
        if f"-A {chain} -j {own}" not in existing:
            self._iptables(target, "-I", chain, "1", "-j", own)
        self._iptables(target, "-A", own, *_own_ports(target, rule))

    def _firewall_off(self, target: Target) -> None:
        own, existing = _chain(target), self._iptables(target, "-S")
        for chain in ("INPUT", "OUTPUT"):
            if f"-A {chain} -j {own}" in existing:
                self._iptables(target, "-D", chain, "-j", own)
        if f"-N {own}" in existing:
            self._iptables(target, "-F", own)
            self._iptables(target, "-X", own)

    def _firewall_cycle(
        self, target: Target, rule: Sequence[Any], on_s: float, off_s: float
    ) -> None:
        self._cycles.start(
            target,
            lambda: self._firewall(target, rule=rule),
            lambda: self._firewall_off(target),
            on_s=on_s,
            off_s=off_s,
            seconds=LINK_SECONDS,
        )

    def _part(self, targets: Sequence[Target], port: int) -> None:
        """Drop what the targets send to that port of each other."""
        addresses = {target.name: _address(target) for target in targets}
        if len(set(addresses.values())) < len(addresses):
            raise UsageError(
                "the targets have one address, so what one sends the other can't be told apart: "
                "this fault needs a host for each node"
            )
        for target in targets:
            for other in targets:
                if other.name != target.name:
                    source = addresses[other.name]
                    rule = ["-s", source, "-p", "tcp", "--dport", str(port), "-j", "DROP"]
                    self._firewall(target, rule=rule)

    def _has_state(self, target: Target, equals: str) -> str | None:
        state = self.known(target)["state"]
        return None if state == equals else f"{target.name} is {state}, not {equals}"

    def _restarted(self, target: Target) -> str | None:
        now = self.known(target)["started"]
        started = now is not None and now != self._started.get(target.name)
        return None if started else f"{target.name} did not restart"

    def _limited(self, target: Target, cpus: float) -> str | None:
        cores = self.known(target)["cpus"]
        held = cores is not None and abs(cores - cpus) < 0.011
        return None if held else f"{target.name} has {cores or 'all'} CPUs"

    def _writing_slowly(self, target: Target, iops: int) -> str | None:
        words = str(self.known(target)["writes"]).replace("=", " ").split()
        held = str(iops) in words
        return None if held else f"{target.name} is not limited to {iops} writes a second"

    def _exhausted(self, target: Target) -> str | None:
        known = self.known(target)
        held, allowed = known["open"] or 0, known["descriptors"] or 0
        return None if held >= allowed else f"{target.name} has {held} of {allowed} files open"

    def _firewalled(self, target: Target) -> str | None:
        rows = self._iptables(target, "-L", _chain(target), "-v", "-x", "-n").splitlines()
        first_columns = [row.split()[0] for row in rows if row.split()]
        hit = any(column not in {"0", "Chain", "pkts"} for column in first_columns)
        return None if hit else f"no packet of {target.name} met the rule"

    def _iptables(self, target: Target, *args: str) -> str:
        return self._ask(target.host, [*IPTABLES, *args])


def _chain(target: Target) -> str:
    """Return the name of a target's chain: several may be on one host."""
    return f"{CHAIN}-{target.name}"[:28]


def _own_ports(target: Target, rule: Sequence[Any]) -> list[str]:
    """Return a rule for containers as one for this process, which has ports of its own."""
    ports = target.handle.ports or {}
    words = [str(word) for word in rule]
    for place, word in enumerate(words[:-1]):
        if word in ("--dport", "--sport"):
            listener = PORTS.get(words[place + 1], "")
            if listener not in ports:
                raise UsageError(f"{target.name} has nothing that listens at {words[place + 1]}")
            words[place + 1] = str(ports[listener])
    return words


def _address(target: Target) -> str:
    url = target.api_url if isinstance(target, Node) else target.status_url
    return urllib.parse.urlsplit(url).hostname or ""

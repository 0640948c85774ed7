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
from wktriage.lab.actions.firewall import CHAIN, Firewall, texts
from wktriage.lab.actions.tables import (
    ActionTable,
    CheckTable,
    check_each,
    check_host,
    for_each,
    on_host,
)

PORTS = {"5001": "api", "5100": "gateway", "5200": "websocket", "7000": "cluster"}
"""What listens at the ports that faults name, those of a container."""

Ask = Callable[[str, Sequence[str]], str]
"""Runs a command on the host of that name and returns its output. Raises InfraError."""


class ProcessActions:
    """What is done to processes as a whole, and to what reaches their ports.

    ``parts`` are all processes of the stack: a volume may be that of several.
    """

    def __init__(self, cycles: Cycles, ask: Ask, parts: Sequence[Target]) -> None:
        self._keeping = list({p.host: p for p in parts if isinstance(p, Node)}.values())
        self._severed: dict[str, int] = {}
        self._ask = ask
        self._firewall = Firewall(
            cycles, lambda target, argv: ask(target.host, argv), chain=_chain, words=_own_ports
        )
        self._started: dict[str, str] = {}
        self.actions: ActionTable = {
            "verb": for_each(self._verb),
            "cycle": cycles.of_verbs(self._verb),
            "update": for_each(self._update),
            **self._firewall.actions,
            "part": self._part,
            "sever": for_each(self._sever),
            "fill": on_host(self._fill),
            "unfill": on_host(self._unfill),
            "limit_descriptors": for_each(self._limit_descriptors),
            "unlimit_descriptors": for_each(self._unlimit_descriptors),
            "throttle_writes": for_each(self._throttle_writes),
        }
        self.checks: CheckTable = {
            "state": check_each(self._has_state),
            "restarted": check_each(self._restarted),
            "limited": check_each(self._limited),
            **self._firewall.checks,
            "severed": check_each(self._severed_some),
            "full": check_host(self._full),
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

    def _update(self, target: Target, **limits: str | float) -> None:
        """Change the limits of the process; only its CPU has one."""
        if set(limits) != {"cpus"}:
            raise UsageError(f"{target.name} is a process: only its CPU can be limited (cpus)")
        self._ask(target.host, [*target.verbs["cpus"], str(limits["cpus"])])

    def _limit_descriptors(self, target: Target, count: int) -> None:
        """Allow the process ``count`` descriptors; those that are open stay open."""
        self._ask(target.host, [*target.verbs["descriptors"], str(count)])

    def _unlimit_descriptors(self, target: Target) -> None:
        self._ask(target.host, [*target.verbs["descriptors"], "0"])

    def _throttle_writes(self, target: Target, iops: int) -> None:
        """Allow the process ``iops`` writes a second to the disk of its data (0: no limit)."""
        if not isinstance(target, Node) or target.data_dir is None:
            raise UsageError(f"{target.name} keeps no data, so no disk of it can be slowed down")
        self._ask(target.host, [*target.verbs["writes"], str(iops), target.data_dir])

    def _fill(self, leave_mb: float) -> None:
        """Fill the volume of the data but for ``leave_mb``, on every host that keeps data."""
        for node in self._keeping:
            self._ask(node.host, [*node.verbs["fill"], str(leave_mb), str(node.data_dir)])

    def _unfill(self) -> None:
        for node in self._keeping:
            self._ask(node.host, node.verbs["unfill"])

    def _full(self, leave_mb: float) -> str | None:
        left = {node.host: self.known(node)["filled_mb_left"] for node in self._keeping}
        free = [host for host, mb in left.items() if mb is None or mb > leave_mb + 1]
        return f"the volume of {', '.join(free)} has space" if free or not left else None

    def _sever(self, target: Target, port: int) -> None:
        """Destroy what is connected to that port of the process, once."""
        own = _own_ports(target, ["--sport", port])[1]
        closed = self._ask(
            target.host,
            ["ss", "-K", "-t", "-n", "-H", "state", "established", f"( sport = :{own} )"],
        )
        self._severed[target.name] = len(closed.splitlines())

    def _severed_some(self, target: Target) -> str | None:
        count = self._severed.get(target.name, 0)
        return None if count else f"{target.name} had no connection that could be destroyed"

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
                    self._firewall.add(target, rule)

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


def _chain(target: Target) -> str:
    """Return the name of a target's chain: several may be on one host."""
    return f"{CHAIN}-{target.name}"[:28]


def _own_ports(target: Target, rule: Sequence[Any]) -> list[str]:
    """Return a rule for containers as one for this process, which has ports of its own."""
    ports = target.handle.ports or {}
    words = texts(rule)
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

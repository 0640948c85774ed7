"""Firewall rules of the lab, in a chain of its own that healing removes whole and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wktriage.lab.actions.commands import Target
from wktriage.lab.actions.cycles import Cycles
from wktriage.lab.actions.tables import ActionTable, CheckTable, check_each, for_each

CHAIN = "WKTRIAGE"
IPTABLES = ("iptables", "-w", "5")
CYCLE_SECONDS = 600

Run = Callable[[Target, Sequence[str]], str]
"""Runs a command where a target's packets pass, and returns its output. Raises InfraError."""


class Firewall:
    """What is done to the packets of targets.

    ``chain`` names the chain of a target: several may share a host. ``words`` makes the words of a
    fault's rule those for a target.
    """

    def __init__(
        self,
        cycles: Cycles,
        run: Run,
        *,
        chain: Callable[[Target], str] = lambda _target: CHAIN,
        words: Callable[[Target, Sequence[Any]], list[str]] = lambda _target, rule: texts(rule),
    ) -> None:
        self._cycles = cycles
        self._run = run
        self._chain = chain
        self._words = words
        self.actions: ActionTable = {
            "firewall": for_each(self.add),
            "firewall_off": for_each(self._remove),
            "firewall_cycle": for_each(self._cycle),
        }
        self.checks: CheckTable = {"firewalled": check_each(self._problem)}

    def add(self, target: Target, rule: Sequence[Any], chain: str = "INPUT") -> None:
        """Add one rule for a target. Raises InfraError when it is refused."""
        own, existing = self._chain(target), self._iptables(target, "-S")
        if f"-N {own}" not in existing:
            self._iptables(target, "-N", own)
        if f"-A {chain} -j {own}" not in existing:
            self._iptables(target, "-I", chain, "1", "-j", own)
        self._iptables(target, "-A", own, *self._words(target, rule))

    def _remove(self, target: Target) -> None:
        own, existing = self._chain(target), self._iptables(target, "-S")
        for chain in ("INPUT", "OUTPUT"):
            if f"-A {chain} -j {own}" in existing:
                self._iptables(target, "-D", chain, "-j", own)
        if f"-N {own}" in existing:
            self._iptables(target, "-F", own)
            self._iptables(target, "-X", own)

    def _cycle(self, target: Target, rule: Sequence[Any], on_s: float, off_s: float) -> None:
        """Apply one rule for ``on_s`` seconds, every ``on_s + off_s`` seconds."""
        self._cycles.start(
            target,
            lambda: self.add(target, rule=rule),
            lambda: self._remove(target),
            on_s=on_s,
            off_s=off_s,
            seconds=CYCLE_SECONDS,
        )

    def _problem(self, target: Target) -> str | None:
        rows = self._iptables(target, "-L", self._chain(target), "-v", "-x", "-n").splitlines()
        first_columns = [row.split()[0] for row in rows if row.split()]
        hit = any(column not in {"0", "Chain", "pkts"} for column in first_columns)
        return None if hit else f"no packet of {target.name} met the rule"

    def _iptables(self, target: Target, *args: str) -> str:
        return self._run(target, [*IPTABLES, *args])


def texts(rule: Sequence[Any]) -> list[str]:
    """Return the words of a rule of a fault file as text."""
    return [str(word) for word in rule]

"""Follows one run from outside and injects a fault into its window."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wktriage.core import topology as topologies
from wktriage.core.errors import InfraError, TriageError, UsageError
from wktriage.core.times import utc_now
from wktriage.lab.actions import commands
from wktriage.lab.actions.commands import Target
from wktriage.lab.actions.dispatcher import Actions
from wktriage.lab.actions.processes import Ask
from wktriage.lab.faults import Fault
from wktriage.lab.steps import EndCycle, EndHogs, Step

POLL_SECONDS = 0.5
CHECK_AFTER_SECONDS = 6  # longer than one cycle and than a counter of the firewall needs
# What an engine answers when the run took its containers down, and the fault with them.
GONE = ("No such", "is not paused", "is not running")


@dataclass
class Record:
    """What was really done, and when (ISO UTC)."""

    fault: str
    parameters: dict[str, Any]
    targets: list[str] = field(default_factory=list)
    injected_at: str | None = None
    healed_at: str | None = None
    took_hold: bool | None = None
    problems: list[str] = field(default_factory=list)


class Injector(threading.Thread):
    """Waits for the stack and its load, injects, checks, and always heals.

    ``hold_s`` is how long the fault stays when it names no end itself: window and profile. ``ask``
    runs commands on the hosts of processes; without it they are on this machine.
    """

    def __init__(
        self,
        fault: Fault,
        topology_file: Path,
        *,
        hold_s: float,
        node: str | None,
        seed: int,
        ask: Ask | None = None,
    ) -> None:
        super().__init__(daemon=True, name=f"fault-{fault.name}")
        self.fault = fault
        self.record = Record(fault.name, dict(fault.parameters))
        self._topology_file = topology_file
        self._hold_s = hold_s
        self._node = node
        self._seed = seed
        self._ask = ask
        self._ended = threading.Event()

    def end(self) -> None:
        """Say that the run is over; returns when everything is healed."""
        self._ended.set()
        self.join(timeout=60)

    def run(self) -> None:
        """Inject at the declared moment and heal again; problems go into the record."""
        if self.fault.at == "run":
            self.record.took_hold = True
            return
        try:
            topology = self._await_topology()
            targets = self._targets(topology)
            self.record.targets = [t.name for t in targets]
            actions = Actions(topology.data_root, self._ask, _of_processes(topology))
            if self.fault.at == "start":
                self._await_running(actions, targets)
            elif self.fault.at == "window":
                # "created" waits for nothing: containers exist, and start after the topology.
                self._await_load(topology.sim.status_url)
            self._ended.wait(self.fault.after_s)
        except TriageError as exc:
            self._problem(str(exc))
            return
        try:
            self._inject(actions, targets)
        except TriageError as exc:
            self._problem(str(exc))
        finally:
            self._heal(actions, targets)

    def _problem(self, text: str) -> None:
        self.record.took_hold = False
        self.record.problems.append(text)

    def _inject(self, actions: Actions, targets: list[Target]) -> None:
        if self.fault.check is not None and self.fault.check.do in ("restarted", "oom_killed"):
            actions.remember(targets)
        self.record.injected_at = utc_now()
        for step in self.fault.inject:
            actions.perform(step.do, step.arguments, targets)
        length = self._hold_s if self.fault.for_s is None else self.fault.for_s
        end = time.monotonic() + length
        self._ended.wait(min(CHECK_AFTER_SECONDS, length))
        if self.fault.check is not None:
            self.record.problems += self._check(actions, self.fault.check, targets, end)
        self.record.took_hold = not self.record.problems
        self._ended.wait(max(0.0, end - time.monotonic()))

    def _check(self, actions: Actions, check: Step, targets: list[Target], end: float) -> list[str]:
        """Return what has not taken hold when the fault ends; some take a while (an OOM kill)."""
        problems = actions.check(check.do, check.arguments, targets)
        while problems and (left := end - time.monotonic()) > 0:
            if self._ended.wait(min(CHECK_AFTER_SECONDS, left)):
                break
            try:
                problems = actions.check(check.do, check.arguments, targets)
            except TriageError as exc:
                if not _gone(exc):
                    raise
                break  # The run is over: what was seen last is what there is to say.
        return problems

    def _heal(self, actions: Actions, targets: list[Target]) -> None:
        for step in (*self.fault.heal, EndCycle(), EndHogs()):
            try:
                actions.perform(step.do, step.arguments, targets)
            except TriageError as exc:
                if not self._ended.is_set() and not _gone(exc):
                    self.record.problems.append(f"healing: {exc}")
        self.record.healed_at = utc_now()

    def _await_topology(self) -> topologies.Topology:
        while not self._ended.is_set():
            if self._topology_file.exists():
                try:
                    return topologies.load(self._topology_file)
                except InfraError:
                    pass  # still being written
            self._ended.wait(POLL_SECONDS)
        raise InfraError("the run ended before its stack existed: nothing was injected")

    def _targets(self, topology: topologies.Topology) -> list[Target]:
        kind, _, count = self.fault.targets.partition(":")
        if kind == "none":
            return []
        if kind == "sim":
            return [topology.sim]
        if kind == "all":
            return list(topology.nodes)
        nodes = {n.name: n for n in topology.nodes}
        if self._node is not None and self._node not in nodes:
            raise UsageError(f"no node {self._node}: there are {', '.join(sorted(nodes))}")
        drawn = random.Random(self._seed)  # noqa: S311 (a draw that can be repeated, no secret)
        first = self._node or drawn.choice(sorted(nodes))
        others = [n for n in sorted(nodes) if n != first]
        return [nodes[n] for n in [first, *others][: int(count or 1)]]

    def _await_running(self, actions: Actions, targets: list[Target]) -> None:
        while not self._ended.is_set():
            if all(actions.state(target) == "running" for target in targets):
                return
            self._ended.wait(POLL_SECONDS)
        raise InfraError("the run ended before its stack ran: nothing was injected")

    def _await_load(self, status_url: str) -> None:
        """Wait as the collector does: running, and a counter has moved since."""
        while not self._ended.is_set():
            status = commands.sim_status(status_url)
            counters = ("messages_sent", "send_errors", "recv_errors")
            if status.get("state") == "running" and any(status.get(c, 0) for c in counters):
                return
            self._ended.wait(POLL_SECONDS)
        raise InfraError("the load never ran: nothing was injected")


def _gone(exc: TriageError) -> bool:
    """Tell whether what was asked of a target failed because the target has ended."""
    return any(text in str(exc) for text in GONE)


def _of_processes(topology: topologies.Topology) -> list[Target]:
    parts: list[Target] = [*topology.nodes, topology.sim]
    return [part for part in parts if part.handle.kind == "process"]

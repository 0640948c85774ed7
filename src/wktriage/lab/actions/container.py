"""Faults of containers: their verbs (stop, pause, ...) and the limits of their resources."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from wktriage.lab.actions import commands
from wktriage.lab.actions.commands import Target
from wktriage.lab.actions.control_groups import control_group
from wktriage.lab.actions.cycles import Cycles
from wktriage.lab.actions.tables import ActionTable, CheckTable, check_each, for_each

TOOLS: Mapping[str, Sequence[str]] = {"squeeze": ()}
"""What the actions that only root may do call on this machine."""
STARTED_AT = "{{.State.StartedAt}}"


class ContainerActions:
    """What is done to containers as a whole."""

    def __init__(self, cycles: Cycles) -> None:
        self._started: dict[str, str] = {}
        self.actions: ActionTable = {
            "verb": self._verb,
            "cycle": cycles.of_verbs(lambda target, verb: commands.run(target.verbs[verb])),
            "update": for_each(self._update),
            "squeeze": for_each(self._squeeze),
        }
        self.checks: CheckTable = {
            "state": check_each(self._has_state),
            "restarted": check_each(self._restarted),
            "limited": check_each(self._limited),
            "oom_killed": check_each(self._oom_killed),
        }

    def remember(self, targets: Sequence[Target]) -> None:
        """Note since when the targets run: checks compare with it later."""
        for target in targets:
            self._started[target.name] = commands.inspect(target, STARTED_AT)

    def _verb(self, targets: Sequence[Target], verb: str) -> None:
        """Do it to all targets at once: a restart takes ten seconds."""
        with ThreadPoolExecutor(max(1, len(targets))) as pool:
            list(pool.map(lambda target: commands.run(target.verbs[verb]), targets))

    def _update(self, target: Target, **limits: str | float) -> None:
        """Change the container's resource limits, e.g. ``cpus: 0.2``."""
        flags = [word for k, v in limits.items() for word in (f"--{k.replace('_', '-')}", str(v))]
        commands.run(["docker", "update", *flags, commands.container_id(target)])

    def _squeeze(self, target: Target, headroom_mb: float) -> None:
        """Leave the target little more memory than it holds now: it grows, and is OOM-killed."""
        lines = control_group(target, "memory", "memory.stat", "memory.stat").read_text()
        statistics = dict(line.split() for line in lines.splitlines())
        used = int(statistics.get("total_rss") or statistics["anon"])
        limit = str(used + int(headroom_mb * 1e6))
        self._update(target, memory=limit, memory_swap=limit)

    def _has_state(self, target: Target, equals: str) -> str | None:
        state = commands.inspect(target, "{{.State.Status}}")
        return None if state == equals else f"{target.name} is {state}, not {equals}"

    def _restarted(self, target: Target) -> str | None:
        now = commands.inspect(target, STARTED_AT)
        return None if now != self._started.get(target.name) else f"{target.name} did not restart"

    def _limited(self, target: Target, cpus: float) -> str | None:
        nano = int(commands.inspect(target, "{{.HostConfig.NanoCpus}}"))
        return None if nano == round(cpus * 1e9) else f"{target.name} has {nano / 1e9} CPUs"

    def _oom_killed(self, target: Target) -> str | None:
        """Ask the engine's events: a container that started again no longer says it."""
        since, until = self._started.get(target.name, "10m"), str(int(time.time()))
        events = commands.run(
            ["docker", "events", "--since", since, "--until", until, "--filter", "event=oom",
             "--filter", f"container={commands.container_id(target)}"]
        )  # fmt: skip
        return None if events.strip() else f"{target.name} was not killed for its memory"

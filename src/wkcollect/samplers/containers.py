"""Containers: their states in one request for all, and the usage of each."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from wkcollect import limits
from wkcollect.engine import docker_stats_row, inspect_facts, stats_usage
from wkcollect.http import Unanswered
from wkcollect.kernel import KernelCounters
from wkcollect.run import Run, Target
from wkcollect.samplers.columns import resources_row
from wkcollect.values import describe, parse_json


def engine_names(containers: Sequence[Target]) -> dict[str, str]:
    """Return the target's name by the engine's name of its container."""
    return {c.handle.get("name") or c.handle.get("id") or "": c.name for c in containers}


def reference(handle: dict[str, Any]) -> str:
    """Return what names a container in a path of the engine."""
    return quote(handle.get("name") or handle.get("id") or "", safe="")


class States:
    """Samples the states of all containers.

    ``stale`` holds the names of targets whose facts (limits, restarts) have to be asked again.
    """

    def __init__(self, run: Run, containers: Sequence[Target]) -> None:
        self.now: dict[str, str | None] = {}
        self.stale: set[str] = set()
        self._client = run.engine()
        self._names = engine_names(containers)
        names = {"name": [f"^/?{re.escape(n)}$" for n in self._names]}
        self._path = "/containers/json?all=1&filters=" + quote(json.dumps(names))

    def take(self, _seq: int, _due: float, _lateness: float) -> None:
        """Take one sample; all states are unknown when the engine does not answer."""
        listed = self._list()
        states: dict[str, str | None] = dict.fromkeys(
            self._names.values(), None if listed is None else "missing"
        )
        for entry in listed or []:
            for name in entry.get("Names") or []:
                if name.lstrip("/") in self._names:
                    states[self._names[name.lstrip("/")]] = entry.get("State")
        for name, state in states.items():
            if self.now.get(name) != state:
                self.stale.add(name)
        self.now.update(states)

    def _list(self) -> list[dict[str, Any]] | None:
        try:
            code, body, _cut = self._client.get(
                self._path, limits.ENGINE_TIMEOUT, limits.ENGINE_BODY
            )
            return list(parse_json(body)) if code == 200 else None
        except (Unanswered, ValueError):
            return None


class ContainerUsage:
    """Samples the usage of one container, and the table of `docker stats` beside it."""

    def __init__(self, run: Run, target: Target, states: States) -> None:
        self._run = run
        self._name = target.name
        self._states = states
        self._path = "/containers/" + reference(target.handle)
        self._client = run.engine()
        self._tally = run.evidence.tally("resources")
        self._table = run.evidence.tally("docker-stats")
        self._facts: dict[str, Any] = {}
        self._facts_at = 0.0
        self._kernel = KernelCounters(run.proc)
        self._kernel_at = 0.0
        self._pid, self._id = 0, ""
        self._stats: dict[str, Any] | None = None
        self._stats_at = 0.0

    def take(self, _seq: int, _due: float, _lateness: float) -> None:
        """Take one sample."""
        run = self._run
        began = time.monotonic()
        row = resources_row(run.clock.iso(began), self._name, "container")
        error, timeout = None, False
        try:
            self._fill(row, began)
        except Unanswered as failure:
            error, timeout = str(failure), failure.timeout
            row["state"] = self._states.now.get(self._name)
        except (ValueError, TypeError, AttributeError) as failure:
            error = describe(failure)
        run.evidence.add_row("resources", "resources.jsonl", row)
        if not error or run.window.opened:
            self._tally.note(not error, error, timeout, began)

    def _fill(self, row: dict[str, Any], began: float) -> None:
        stale = self._states.stale
        if self._name in stale or began - self._facts_at > limits.SLOW_INTERVAL:
            stale.discard(self._name)
            document = self._ask("/json")
            self._facts = inspect_facts(document)
            self._facts_at = began
            self._pid = (document.get("State") or {}).get("Pid") or 0
            self._id = str(document.get("Id") or "")
        row.update(self._facts)
        row["state"] = self._states.now.get(self._name) or row["state"]
        if row["state"] in ("running", "paused"):
            self._add_kernel(row, began)
            stats = self._ask("/stats?stream=0&one-shot=1")
            usage = stats_usage(stats)
            row.update(usage)
            if began - self._stats_at > limits.DOCKER_STATS_INTERVAL - 0.1:
                self._add_table_row(stats, usage, row["sample_time"], began)

    def _add_kernel(self, row: dict[str, Any], began: float) -> None:
        if self._pid and self._id and began - self._kernel_at > limits.KERNEL_INTERVAL - 0.1:
            self._kernel_at = began
            counters = self._kernel.sample(self._pid, self._id)
            if counters is not None:
                row["kernel"] = counters

    def _add_table_row(
        self, stats: dict[str, Any], usage: dict[str, Any], sample_time: str, began: float
    ) -> None:
        if self._stats:
            row = docker_stats_row(stats, self._stats, usage)
            row["sample_time"] = sample_time
            self._run.evidence.add_row("docker-stats", "docker-stats.jsonl", row)
            self._table.note(True, began=began)
        self._stats, self._stats_at = stats, began

    def _ask(self, page: str) -> Any:
        code, body, cut = self._client.get(
            self._path + page, limits.ENGINE_TIMEOUT, limits.ENGINE_BODY
        )
        if code != 200 or cut:
            raise Unanswered(f"engine: HTTP {code}")
        return parse_json(body)

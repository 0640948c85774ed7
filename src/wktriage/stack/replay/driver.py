"""The replay driver: a recorded incident, served again by stand-ins."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wktriage.core import zipapps
from wktriage.core.errors import UsageError
from wktriage.core.paths import PROJECT
from wktriage.core.topology import Topology
from wktriage.incidents import library
from wktriage.request.code import Code
from wktriage.request.request import MAX_DURATION, MIN_DURATION, Asked, Request
from wktriage.stack.driver import Findings, Site
from wktriage.stack.replay import stack

STACK_NAME = "wktriage-replay"
"""A recording is another stack than the machine's cluster: neither waits for the other."""

STOP_SECONDS = 30
PLAYED = "incident"
"""The file of a build that names the incident to play."""


class ReplayDriver:
    """Serves a recording; it answers only for what was recorded."""

    name = "replay"
    cannot_tell: tuple[str, ...] = ()
    runs_baselines = False
    keeps_snapshots = False

    def check_request(self, asked: Asked) -> Request:
        """Return the recording's request. Raises UsageError for what was not recorded."""
        wishes = {k: v for k, v in asked.values.items() if k in {"scenario", "mode", "incident"}}
        wishes |= asked.workload()
        code = asked.code()
        if code is not None and (why := self.unbuilt(code)) is not None:
            raise UsageError(f"{code.name} is not built: {why}")
        if code is not None:
            wishes["incident"] = _played(code)
        if "duration" in asked.values:
            wishes["duration"] = asked.integer("duration", 0, MIN_DURATION, MAX_DURATION)
        if "node_env" in asked.values:
            wishes["node_env"] = asked.node_env()
        if "connect_rate" in asked.values:
            wishes["connect_rate"] = asked.connect_rate()
        recorded = library.replay_request(PROJECT, wishes)
        return Request(
            scenario=recorded["scenario"],
            duration=recorded["duration"],
            mode=recorded["mode"],
            driver=self.name,
            stack_build="never",
            node_env=recorded["node_env"],
            connect_rate=recorded["connect_rate"],
            workload=recorded["workload"],
            checkout=None,
            incident=recorded["incident"],
            **asked.shared(recorded["scenario"], project=STACK_NAME),
        )

    def ports(self, request: Request) -> list[int]:
        """Return none: the stand-ins take ports that are free."""
        return []

    def preflight(
        self, request: Request, probes: Mapping[str, Mapping[str, Any]], findings: Findings
    ) -> None:
        """Check nothing: a recording needs Python only."""

    def identify(self, request: Request, site: Site) -> dict[str, Any]:
        """Return what the recorded stack was."""
        return self._identity(request, self.place(request, site))

    def place(self, request: Request, site: Site) -> dict[str, Any]:
        """Return which stand-in runs on which host, and the recording's archive."""
        return stack.plan(PROJECT, str(request.incident), site.hosts, site.address)

    def create(self, request: Request, site: Site) -> dict[str, Any]:
        """Write the topology of the stand-ins, which hold their ports by now."""
        plan = self.place(request, site)
        topology: Topology = stack.topology(plan, site.held_ports, project_name=request.project)
        topology.write(site.work_dir / "topology.json")
        return self._identity(request, plan)

    def start(self, request: Request, site: Site) -> bool:
        """Do nothing: the hosts let their stand-ins serve."""
        return False

    def load(self, request: Request, site: Site) -> bool:
        """Do nothing: the stand-in simulator began with the nodes."""
        return False

    def remove(self, project: str, runs_dir: Path) -> bool:
        """Stop the stand-ins of this machine; those elsewhere are the task file's."""
        folder = runs_dir / ".replay" / project
        if not folder.is_dir():
            return False
        done = subprocess.run(
            [sys.executable, str(zipapps.build("wkreplay")), "remove", "--dir", str(folder)],
            capture_output=True,
            text=True,
            check=False,
            timeout=STOP_SECONDS,
        )
        return "removed" in done.stdout

    def own_baseline(self, request: Request) -> Path | None:
        """Return the recorded baseline: age, boot and image are those of the recording."""
        incident = {"incident": request.incident}
        baseline = library.replay_request(PROJECT, incident)["baseline_dir"]
        return None if baseline is None else Path(baseline)

    def snapshot(self, request: Request, name: str) -> dict[str, Any]:
        """Refuse: a recording has no data. Raises UsageError."""
        raise UsageError("a replayed stack has no data to keep: use a stack that runs")

    def unbuilt(self, code: Code) -> str | None:
        """Ask for the name of an incident: what a ref "builds" is which recording is played."""
        name = _played(code)
        if name is None:
            return f"there is no file {PLAYED} in $WK_BUILD_DIRECTORY"
        try:
            library.find_incident(PROJECT / "incidents", name)
        except UsageError as exc:
            return str(exc)
        return None

    @staticmethod
    def _identity(request: Request, plan: Mapping[str, Any]) -> dict[str, Any]:
        known = stack.identity(plan, project_name=request.project)
        return {**known, **({} if request.code is None else request.code.inputs())}

    def recall(self, inputs: Mapping[str, Any], turn: int) -> dict[str, Any]:
        """Return the incident that was recorded with these inputs; several take turns."""
        incidents = library.with_inputs(PROJECT, inputs)
        return {"incident": incidents[turn % len(incidents)].bundle}


def _played(code: Code) -> str | None:
    path = Path(code.directory) / PLAYED
    try:
        return path.read_text(encoding="utf-8")[:200].strip() or None
    except (OSError, UnicodeDecodeError):
        return None


DRIVER = ReplayDriver()

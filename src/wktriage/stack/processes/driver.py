"""The processes driver: the two binaries as processes, on this machine or one node a host."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from wktriage.core.errors import InfraError, UsageError
from wktriage.request.code import Code
from wktriage.request.request import Asked, Request
from wktriage.stack import data_root
from wktriage.stack.driver import Findings, Site
from wktriage.stack.processes import stack
from wktriage.stack.processes.placement import Layout, layout

PROJECT = "wktriage"
"""The name that a stack of containers has too: the two would load the same machine."""

STOP_SECONDS = 60


class ProcessesDriver:
    """Runs the stack as processes; the hosts' part is module wk_processes."""

    name = "processes"
    cannot_tell: tuple[str, ...] = ("compose-config.yml", "docker-stats.jsonl")
    runs_baselines = True
    keeps_snapshots = False

    def check_request(self, asked: Asked) -> Request:
        """Return the checked request; it needs both binaries, and hosts that may be loaded."""
        request = asked.live(driver=self.name, project=PROJECT, checkout=None)
        if not asked.needs_stack:
            return request
        if "wukongim_checkout" in asked.values and request.code is None:
            raise UsageError(
                "wukongim_checkout is only for the compose inventory: name the binaries with "
                "-e wukongim_binary=FILE -e wkbench_binary=FILE (or a git ref with -e code=REF)"
            )
        placed = layout(asked.hosts)
        for host in asked.hosts:
            if host.name in placed.hosts and host.settings.get("wk_benchmark_host") is not True:
                raise UsageError(
                    f"the inventory does not declare {host.name} a benchmark host, so nothing is "
                    "loaded or emptied there: set wk_benchmark_host: true if it is one"
                )
        local = [host.name for host in asked.hosts if host.local and host.name in placed.hosts]
        if local:
            data_root.check(Path(request.data_root), wipe=request.mode == "clean")
        programs = {
            name: stack.program(asked, name, request.code).as_dict() for name in stack.PROGRAMS
        }
        return replace(
            request, own={"layout": placed.as_dict(), "local": local, "programs": programs}
        )

    def ports(self, request: Request) -> list[int]:
        """Return the ports of all processes; each host holds those of its own."""
        return Layout.of(request.own["layout"]).ports() if request.own else []

    def preflight(
        self, request: Request, probes: Mapping[str, Mapping[str, Any]], findings: Findings
    ) -> None:
        """Name hosts that told nothing, directories that are not ours, and who holds ports."""
        placed = Layout.of(request.own["layout"])
        silent = [host for host in placed.hosts if host not in probes]
        if silent:
            findings.errors.append(
                InfraError(f"{', '.join(silent)} could not be reached: see what SSH said above")
            )
        keeping_data = {node.host for node in placed.nodes}
        for host, probe in probes.items():
            ports = probe["taken"]
            if host in keeping_data and probe.get("data_root_problem"):
                findings.errors.append(UsageError(f"{host}: {probe['data_root_problem']}"))
            by_holder: dict[str, list[str]] = {}
            for port in map(str, placed.ports(host)):
                if port in ports:
                    by_holder.setdefault(ports[port], []).append(port)
            for who, held in by_holder.items():
                subject = f"port {held[0]} is" if len(held) == 1 else f"ports {', '.join(held)} are"
                findings.errors.append(
                    InfraError(
                        f"{host}: {subject} held by {who}: end it, or set wk_first_port there"
                    )
                )

    def identify(self, request: Request, site: Site) -> dict[str, Any]:
        """Return what the stack is, and write its configuration files."""
        return stack.identity(request, site)

    def place(self, request: Request, site: Site) -> dict[str, Any]:
        """Return the plan of each host that runs anything."""
        return stack.plan(request, site)

    def create(self, request: Request, site: Site) -> dict[str, Any]:
        """Write the topology of what the hosts have made."""
        stack.topology(request, site).write(site.work_dir / "topology.json")
        measured = stack.data_bytes(site)
        return {
            **stack.identity(request, site),
            "data_bytes_at_start": measured,
            "mode_measured": data_root.measured_mode(measured),
        }

    def start(self, request: Request, site: Site) -> bool:
        """Do nothing: the hosts start their nodes."""
        return False

    def load(self, request: Request, site: Site) -> bool:
        """Do nothing: its host starts the simulator."""
        return False

    def remove(self, project: str, runs_dir: Path) -> bool:
        """Stop the processes of this machine; those elsewhere are the task file's."""
        directory = stack.directory(runs_dir, project)
        program = directory / stack.HOST_PROGRAM
        if not program.is_file():
            return False
        done = subprocess.run(
            [sys.executable, str(program), "remove", str(directory)],
            capture_output=True,
            text=True,
            check=False,
            timeout=STOP_SECONDS,
        )
        if done.returncode:
            raise InfraError(f"processes of {project}: {done.stderr.strip() or 'no message'}")
        return "removed" in done.stdout

    def own_baseline(self, request: Request) -> Path | None:
        """Return None: a live stack is vouched for by a run of its own."""
        return None

    def snapshot(self, request: Request, name: str) -> dict[str, Any]:
        """Refuse: data of hosts is not copied. Raises UsageError."""
        raise UsageError(
            "plain processes keep no snapshot of their data: use a stack of containers, or a clean "
            "control"
        )

    def unbuilt(self, code: Code) -> str | None:
        """Ask for both binaries."""
        for name in stack.PROGRAMS:
            file = Path(code.directory) / name
            if not file.is_file() or not os.access(file, os.X_OK):
                return f"there is no executable {name} in $WK_BUILD_DIRECTORY"
        return None

    def recall(self, inputs: Mapping[str, Any], turn: int) -> dict[str, Any]:
        """Return nothing: a live stack is what its inputs say."""
        return {}


DRIVER = ProcessesDriver()

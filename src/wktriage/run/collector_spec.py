"""What the controller asks of the collector on each host, and how it looks after it."""

from __future__ import annotations

import re
from typing import Any

from wktriage.core import schemas
from wktriage.core.topology import Topology

SCHEMA_VERSION = 1
#: The collector's file in its out directory on a host.
PROGRAM = "collector.pyz"

# What comes on top of readiness, settling, window and profile: scrapes, heap dumps and logs, each
# with its own time limit in the collector.
SLACK_SECONDS = 150.0


def out_dir(host_dir: str, host: str) -> str:
    """Return a host's directory under ``host_dir``: several hosts may be one machine."""
    return f"{host_dir.rstrip('/')}/{re.sub(r'[^A-Za-z0-9_.-]', '_', host)}"


def command(python: str, out: str, *args: str) -> list[str]:
    """Return the command line that runs the collector in its out directory on a host."""
    return [python, f"{out}/{PROGRAM}", *args]


def concerns(topology: Topology, host: str) -> bool:
    """Tell whether anything of the stack is on a host."""
    return host in {topology.sim.host, *(node.host for node in topology.nodes)}


def spec(topology: Topology, host: str, directory: str, **settings: Any) -> dict[str, Any]:
    """Return what the collector of a host that the stack concerns is to do.

    ``settings`` holds run_id, stack_started_at, window_seconds, profile, profile_seconds,
    ready_timeout, settle, docker_socket, interval, series_interval, hide_proc, clock_ahead_s
    and begin_at. Raises SchemaError when a value is wrong.
    """
    nodes = [n.as_dict() for n in topology.nodes if n.host == host]
    lead = topology.sim.host == host
    document = {
        "schema_version": SCHEMA_VERSION,
        "run_id": settings["run_id"],
        "out_dir": directory,
        "host": host,
        "lead": lead,
        "nodes": nodes,
        "sim": topology.sim.as_dict() if lead else None,
        "project": topology.project,
        "stack_started_at": settings["stack_started_at"],
        "status_url": topology.sim.status_url,
        "window": {"seconds": float(settings["window_seconds"])},
        "interval": float(settings["interval"]),
        "series_interval": float(settings["series_interval"]),
        "ready_timeout": float(settings["ready_timeout"]),
        "settle": float(settings["settle"]),
        "profile": settings.get("profile", "after"),
        "profile_seconds": float(settings["profile_seconds"]),
        "docker_socket": settings["docker_socket"],
        "disk_paths": [topology.data_root] if topology.data_root else [],
        "hide_proc": bool(settings["hide_proc"]),
        "clock_ahead_s": float(settings["clock_ahead_s"]),
        "begin_at": None if settings["begin_at"] is None else float(settings["begin_at"]),
    }
    schemas.validate("collector_spec", document)
    return document


def deadline_seconds(document: dict[str, Any]) -> float:
    """Return the seconds from its start after which a collector should long have finished."""
    waits = (
        float(document["ready_timeout"]),
        float(document["settle"]),
        float(document["window"]["seconds"]),
        # A profile of a node that hangs waits a few seconds longer than the profile itself.
        2 * float(document["profile_seconds"]),
    )
    return sum(waits) + SLACK_SECONDS


def outcome(state: dict[str, Any], *, stalled: bool) -> dict[str, Any]:
    """Return what the playbook is told of a collector: flags and texts, no evidence."""
    return {
        "phase": state.get("phase"),
        "done": bool(state.get("done")),
        "alive": not state.get("done") and not stalled,
        "valid": state.get("valid"),
        "reason": state.get("reason"),
        "interrupted": state.get("interrupted"),
        "elapsed_s": state.get("elapsed_s"),
        "samples_taken": state.get("samples_taken"),
        "samples_due": state.get("samples_due"),
    }

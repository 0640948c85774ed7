"""The replayed stack: which stand-in runs where, and the topology that everything else reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wktriage.core.errors import UsageError
from wktriage.core.topology import Handle, Node, Sim, Topology
from wktriage.incidents import library

PREFERRED_NODE_PORT = 26001
PREFERRED_SIM_PORT = 29091
PREFERRED_CONTROL_PORT = 26100


def plan(project: Path, incident_id: str, hosts: Sequence[str], address: str) -> dict[str, Any]:
    """Return what the hosts need to serve an incident.

    ``hosts`` are inventory names; nodes go round them, the simulator to the first. ``address`` is
    where the stand-ins listen and are reached. The result has ``incident``, ``archive``,
    ``bundle_dir``, ``address``, and for each host the ``listen`` arguments of its server with the
    ports it would like; "control" is what engine and files tell on a real stack.
    Raises UsageError when there is no such incident or no host.
    """
    if not hosts:
        raise UsageError("no host to replay on: the inventory's group wk_stack is empty")
    request = library.replay_request(project, {"incident": incident_id})
    recording = library.recorded(Path(request["bundle_dir"]))
    placed: dict[str, list[str]] = {host: [] for host in hosts}
    for index, node in enumerate(recording.node_ids):
        port = PREFERRED_NODE_PORT + index
        placed[hosts[index % len(hosts)]].append(f"--listen={node}={address}:{port}")
    placed[hosts[0]].append(f"--listen={recording.sim}={address}:{PREFERRED_SIM_PORT}")
    # A host without a process needs no port either.
    placed = {host: listen for host, listen in placed.items() if listen}
    # Inventory names may be of one machine: each has its own preference.
    for index, listen in enumerate(placed.values()):
        listen.append(f"--control={address}:{PREFERRED_CONTROL_PORT + index}")
    return {
        "incident": request["incident"],
        "archive": request["archive"],
        "bundle_dir": request["bundle_dir"],
        "address": address,
        "hosts": placed,
    }


def identity(planned: Mapping[str, Any], *, project_name: str) -> dict[str, Any]:
    """Return what the recorded stack was, and where it is replayed."""
    recorded = library.recorded(Path(planned["bundle_dir"]))
    return {
        **recorded.stack,
        "driver": "replay",
        "project": project_name,
        "hosts": sorted(planned["hosts"]),
        "mode_measured": recorded.mode,
    }


def topology(
    planned: Mapping[str, Any], ports: Mapping[str, Mapping[str, int]], *, project_name: str
) -> Topology:
    """Return the stack of stand-ins.

    ``ports`` are those that each host's server holds, by the name of the process.
    """
    address = planned["address"]
    recording = library.recorded(Path(planned["bundle_dir"]))
    where = {
        name: (host, port)
        for host, on_host in ports.items()
        for name, port in on_host.items()
        if name != "control"
    }

    def handle(name: str) -> Handle:
        base = f"http://{address}:{ports[where[name][0]]['control']}/_replay/{name}/"
        return Handle(
            kind="http",
            resource_url=f"{base}resource",
            logs_url=f"{base}logs",
            host_url=f"{base}host",
            events_url=f"{base}events",
            bundle_url=f"{base}bundle/",
        )

    nodes = tuple(
        Node(
            name=name,
            id=number,
            host=where[name][0],
            api_url=f"http://{address}:{where[name][1]}",
            handle=handle(name),
            data_dir=None,
            log_dir=None,
        )
        for name, number in recording.node_ids.items()
    )
    sim_host, sim_port = where[recording.sim]
    return Topology(
        driver="replay",
        project=project_name,
        data_root=None,
        replay_of=str(planned["incident"]),
        nodes=nodes,
        sim=Sim(
            name=recording.sim,
            host=sim_host,
            status_url=f"http://{address}:{sim_port}/status",
            handle=handle(recording.sim),
        ),
    )

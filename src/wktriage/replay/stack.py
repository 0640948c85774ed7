"""The replayed stack: which stand-in runs where, and the topology that everything else reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wktriage import incidents, topology
from wktriage.errors import UsageError
from wktriage.replay import server

PREFERRED_NODE_PORT = 26001
PREFERRED_SIM_PORT = 29091


def plan(project: Path, incident_id: str, hosts: Sequence[str]) -> dict[str, Any]:
    """Return what the hosts need to serve an incident.

    ``hosts`` are inventory names; nodes go round them, the simulator to the first. The result has
    ``incident``, ``archive``, and for each host ``names`` and the ``ports`` it would like.
    Raises UsageError when there is no such incident or no host.
    """
    if not hosts:
        raise UsageError("no host to replay on: the inventory's group wk_stack is empty")
    request = incidents.replay_request(project, {"incident": incident_id})
    held = incidents.recorded(Path(request["bundle_dir"]))
    placed: dict[str, dict[str, list[Any]]] = {host: {"names": [], "ports": []} for host in hosts}
    for index, node in enumerate(held.nodes):
        placed[hosts[index % len(hosts)]]["names"].append(node)
        placed[hosts[index % len(hosts)]]["ports"].append(PREFERRED_NODE_PORT + index)
    placed[hosts[0]]["names"].append(held.sim)
    placed[hosts[0]]["ports"].append(PREFERRED_SIM_PORT)
    return {
        "incident": request["incident"],
        "archive": request["archive"],
        "bundle_dir": request["bundle_dir"],
        "hosts": placed,
    }


def write(
    planned: Mapping[str, Any],
    ports: Mapping[str, Sequence[int]],
    *,
    project_name: str,
    address: str,
    work_dir: Path,
) -> dict[str, list[str]]:
    """Write topology.json and stack.json into ``work_dir``; return the listeners of each host.

    ``ports`` are the free ones that each host found, in the order of its ``names``. ``address`` is
    where the stand-ins listen and are reached. A listener is ``NAME=ADDRESS:PORT``.
    """
    bundle_dir = Path(planned["bundle_dir"])
    held = incidents.recorded(bundle_dir)
    recording = server.Recording(bundle_dir)
    where = {
        name: (host, port)
        for host, placed in planned["hosts"].items()
        for name, port in zip(placed["names"], ports[host], strict=True)
    }
    nodes = tuple(
        topology.Node(
            name=name,
            id=int(recording.node_number(name)),
            host=where[name][0],
            api_url=f"http://{address}:{where[name][1]}",
            handle=_handle(address, where[name][1]),
            data_dir=None,
            log_dir=None,
        )
        for name in held.nodes
    )
    sim_host, sim_port = where[held.sim]
    topology.Topology(
        driver="replay",
        project=project_name,
        data_root=None,
        replay_of=str(planned["incident"]),
        nodes=nodes,
        sim=topology.Sim(
            name=held.sim,
            host=sim_host,
            status_url=f"http://{address}:{sim_port}/status",
            handle=_handle(address, sim_port),
        ),
    ).write(work_dir / "topology.json")
    stack = {**held.stack, "mode_measured": held.mode}
    (work_dir / "stack.json").write_text(json.dumps(stack, indent=2, sort_keys=True) + "\n")
    return {
        host: [
            f"{name}={address}:{port}"
            for name, port in zip(placed["names"], ports[host], strict=True)
        ]
        for host, placed in planned["hosts"].items()
    }


def _handle(address: str, port: int) -> dict[str, str]:
    base = f"http://{address}:{port}/_replay/"
    return {
        "kind": "http",
        "resource_url": base + "resource",
        "logs_url": base + "logs",
        "host_url": base + "host",
        "events_url": base + "events",
        "bundle_url": base + "bundle/",
    }

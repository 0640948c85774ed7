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
PREFERRED_CONTROL_PORT = 26100


def plan(project: Path, incident_id: str, hosts: Sequence[str]) -> dict[str, Any]:
    """Return what the hosts need to serve an incident.

    ``hosts`` are inventory names; nodes go round them, the simulator to the first. The result has
    ``incident``, ``archive``, and for each host ``names`` and the ``ports`` it would like: one for
    each name, and the last for what engine and files tell on a real stack.
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
    # A host without a process needs no port either.
    placed = {host: here for host, here in placed.items() if here["names"]}
    # Inventory names may be of one machine: each has its own preference.
    for index, here in enumerate(placed.values()):
        here["ports"].append(PREFERRED_CONTROL_PORT + index)
    return {
        "incident": request["incident"],
        "archive": request["archive"],
        "bundle_dir": request["bundle_dir"],
        "hosts": placed,
    }


def identify(planned: Mapping[str, Any], *, project_name: str, work_dir: Path) -> None:
    """Write stack.json into ``work_dir``: what the recorded stack was, and where it is replayed."""
    held = incidents.recorded(Path(planned["bundle_dir"]))
    document = {
        **held.stack,
        "driver": "replay",
        "project": project_name,
        "hosts": sorted(planned["hosts"]),
        "mode_measured": held.mode,
    }
    work_dir.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=2, sort_keys=True) + "\n"
    (work_dir / "stack.json").write_text(text, encoding="utf-8")


def write(
    planned: Mapping[str, Any],
    ports: Mapping[str, Sequence[int]],
    *,
    project_name: str,
    address: str,
    work_dir: Path,
) -> dict[str, list[str]]:
    """Write topology.json and stack.json into ``work_dir``; return each host's server arguments.

    ``ports`` are the free ones that each host found, in the order of the planned ones. ``address``
    is where the stand-ins listen and are reached.
    """
    bundle_dir = Path(planned["bundle_dir"])
    held = incidents.recorded(bundle_dir)
    recording = server.Recording(bundle_dir)
    where = {
        name: (host, port)
        for host, placed in planned["hosts"].items()
        for name, port in zip(placed["names"], ports[host][:-1], strict=True)
    }

    def handle(name: str) -> dict[str, str]:
        base = f"http://{address}:{ports[where[name][0]][-1]}/_replay/{name}/"
        urls = {"resource_url": "resource", "logs_url": "logs", "host_url": "host"}
        urls |= {"events_url": "events", "bundle_url": "bundle/"}
        return {"kind": "http", **{key: base + path for key, path in urls.items()}}

    nodes = tuple(
        topology.Node(
            name=name,
            id=int(recording.node_number(name)),
            host=where[name][0],
            api_url=f"http://{address}:{where[name][1]}",
            handle=handle(name),
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
            handle=handle(held.sim),
        ),
    ).write(work_dir / "topology.json")
    identify(planned, project_name=project_name, work_dir=work_dir)
    arguments: dict[str, list[str]] = {}
    for host, placed in planned["hosts"].items():
        named = zip(placed["names"], ports[host][:-1], strict=True)
        arguments[host] = [f"--listen={name}={address}:{port}" for name, port in named]
        arguments[host].append(f"--control={address}:{ports[host][-1]}")
    return arguments

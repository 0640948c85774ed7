"""What each host has to run, what the stack is, and the topology that everything else reads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wktriage.core.errors import InfraError, UsageError
from wktriage.core.topology import Handle, Node, Sim, Topology, Verbs
from wktriage.request.code import Code
from wktriage.request.request import Asked, Request
from wktriage.stack.driver import Site
from wktriage.stack.processes import config
from wktriage.stack.processes.placement import Layout, NodePlace, Place

PROGRAMS = ("wukongim", "wkbench")
BINARIES = ".binaries"
"""Beside the stacks on a host: what was copied there, by sha256, until it is torn down."""

ON_HOSTS = "host:"
"""Begins the path of a binary that is on the hosts already."""

HOST_PROGRAM = "wk_supervisor.py"
LIMITS_PROGRAM = "wk_limits.py"
LIMITS = ("state", "cpus", "descriptors", "writes", "fill", "unfill")
"""What the lab asks of a host of one process; what limits or fills takes a number more."""

VERBS = ("pause", "unpause", "kill", "stop", "start", "restart", "logs")
STOP_SECONDS = 10  # what a container gets too
NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True)
class Program:
    """A binary: its file, and its sha256 where the controller has it (else it is on the hosts)."""

    file: str
    sha256: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return the plain form, as a request carries it."""
        return asdict(self)


def program(asked: Asked, name: str, code: Code | None = None) -> Program:
    """Return the binary that was named, else that of a build. Raises UsageError without one."""
    variable = f"{name}_binary"
    built = "" if code is None else str(Path(code.directory) / name)
    value = str(asked.values.get(variable, built))
    if not value:
        raise UsageError(
            f"no {name} binary: add -e {variable}=FILE (or {ON_HOSTS}FILE if it is on the hosts)"
        )
    if value.startswith(ON_HOSTS):
        file = value.removeprefix(ON_HOSTS)
        if not file.startswith("/"):
            raise UsageError(f"{variable}={value}: a file on the hosts needs its whole path")
        return Program(file, None)
    path = (Path.cwd() / Path(value).expanduser()).resolve()
    if not path.is_file():
        raise UsageError(f"{variable} {path} is not a file")
    if not os.access(path, os.X_OK):
        raise UsageError(f"{variable} {path} may not be executed: chmod +x it")
    with path.open("rb") as source:
        return Program(str(path), hashlib.file_digest(source, "sha256").hexdigest())


def directory(runs_dir: Path, project: str) -> Path:
    """Return the stack's own directory, the same on every host."""
    return runs_dir / ".processes" / project


def plan(request: Request, site: Site) -> dict[str, Any]:
    """Return what the hosts have to do.

    ``directory``; ``copies``, the binaries that the controller copies to ``to`` on the hosts
    named; ``hosts``, for each host the plan that module wk_processes takes; ``nodes`` and ``sim``,
    for each host the names of its processes; ``on_hosts``, the binaries that are there already.
    """
    placed = Layout.of(request.own["layout"])
    top = str(directory(Path(request.runs_dir), request.project))
    hosts: dict[str, dict[str, Any]] = {
        host: {
            "project": request.project,
            "data_root": request.data_root,
            "mode": request.mode,
            "benchmark_host": True,  # the request was refused otherwise
            "processes": [
                _process(request, site, placed, place)
                for place in placed.places
                if place.host == host
            ],
        }
        for host in placed.hosts
    }
    return {
        "directory": top,
        "hosts": hosts,
        "copies": _copies(request, placed),
        "nodes": {h: [n.name for n in placed.nodes if n.host == h] for h in placed.hosts},
        "sim": {placed.sim.host: [placed.sim.name]},
        "on_hosts": [p["file"] for p in request.own["programs"].values() if p["sha256"] is None],
    }


def _copies(request: Request, placed: Layout) -> list[dict[str, Any]]:
    users = {"wukongim": [n.host for n in placed.nodes], "wkbench": [placed.sim.host]}
    copies = []
    for name, program in request.own["programs"].items():
        remote = [h for h in dict.fromkeys(users[name]) if h not in request.own["local"]]
        if program["sha256"] is not None and remote:
            to = copied_to(request, name)
            copies.append({"file": program["file"], "to": to, "hosts": remote})
    return copies


def copied_to(request: Request, name: str) -> str:
    """Return where on a host a binary of the controller lies."""
    beside = directory(Path(request.runs_dir), request.project).parent
    return str(beside / BINARIES / request.own["programs"][name]["sha256"] / name)


def _process(request: Request, site: Site, placed: Layout, place: Place) -> dict[str, Any]:
    node = place if isinstance(place, NodePlace) else None
    name = "wukongim" if node else "wkbench"
    program = request.own["programs"][name]
    copied = program["sha256"] is not None and place.host not in request.own["local"]
    file = copied_to(request, name) if copied else program["file"]
    common = {
        "name": place.name,
        "program": {"file": file, "sha256": program["sha256"]},
        "ports": place.ports,
        "stop_seconds": STOP_SECONDS,
    }
    if node:
        text = config.node_config(placed, node, request.data_root)
        return {
            **common,
            "argv": [file, "-config", "wukongim.toml"],
            "env": request.node_env,
            "files": {"wukongim.toml": text},
            "data": node.data,
        }
    return {
        **common,
        "argv": [file, "dev-sim", "--config", "dev-sim.yaml"],
        "env": dict(site.sim_env),
        "files": {"dev-sim.yaml": config.sim_config(placed, request.connect_rate)},
        "data": None,
    }


def identity(request: Request, site: Site) -> dict[str, Any]:
    """Return what the stack is; the configuration files are written to the work directory.

    Raises InfraError when binaries on the hosts are missing or differ.
    """
    placed = Layout.of(request.own["layout"])
    folder = site.work_dir / "config"
    folder.mkdir(parents=True, exist_ok=True)
    node_configs: dict[str, str] = {}
    total = hashlib.sha256()
    for node in placed.nodes:
        text = config.node_config(placed, node, request.data_root)
        file = folder / f"{node.data}.toml"
        file.write_text(text)
        node_configs[node.name] = str(file)
        # Where data lies differs between a baseline and its target, and is no setting of a node.
        neutral = config.node_config(placed, node, "")
        total.update(f"{node.name}\0{hashlib.sha256(neutral.encode()).hexdigest()}\n".encode())
    sim_file = folder / "dev-sim.yaml"
    sim_file.write_text(config.sim_config(placed, request.connect_rate))
    hashes = {n: _hash(n, p, site.reports) for n, p in request.own["programs"].items()}
    return {
        "driver": request.driver,
        "project": request.project,
        "hosts": placed.hosts,
        "binaries": hashes,
        # One mark for both: other code in either is another stack.
        "image": NOT_APPLICABLE,
        "image_digest": "sha256:" + _digest(hashes),
        "git_revision": NOT_APPLICABLE,
        "git_diff_sha256": NOT_APPLICABLE,
        **({} if request.code is None else request.code.inputs()),
        "node_env": dict(request.node_env),
        "node_config_sha256": total.hexdigest(),
        "node_configs": node_configs,
        "sim_config": str(sim_file),
    }


def _digest(hashes: Mapping[str, str]) -> str:
    lines = "".join(f"{name}\0{value}\n" for name, value in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _hash(name: str, program: Mapping[str, Any], reports: Mapping[str, Mapping[str, Any]]) -> str:
    if program["sha256"] is not None:
        return str(program["sha256"])
    file = program["file"]
    by_host = {h: r["programs"][file] for h, r in reports.items() if file in r.get("programs", {})}
    missing = sorted(host for host, value in by_host.items() if value is None)
    if missing or not by_host:
        raise InfraError(f"{', '.join(missing) or 'the hosts'}: there is no {name} at {file}")
    if len(set(by_host.values())) > 1:
        texts = ", ".join(f"{host}: {value[:12]}" for host, value in sorted(by_host.items()))
        raise InfraError(f"{file} is not the same file on all hosts ({texts})")
    return str(next(iter(by_host.values())))


def data_bytes(site: Site) -> int | None:
    """Return the bytes of node data on all hosts before the start; None when one can't tell."""
    values = [report["data_bytes_at_start"] for report in site.reports.values()]
    return None if None in values else sum(values)


def topology(request: Request, site: Site) -> Topology:
    """Return the stack as the hosts have made it.

    Raises InfraError when one refused, with what it said, or told nothing.
    """
    placed = Layout.of(request.own["layout"])
    for host, report in site.reports.items():
        if "refused" in report:
            raise InfraError(f"{host}: {report['refused']}")
    silent = [host for host in placed.hosts if "program" not in site.reports.get(host, {})]
    if silent:
        raise InfraError(f"{', '.join(silent)}: no processes were created there")
    top = directory(Path(request.runs_dir), request.project)

    def handle(place: Place) -> Handle:
        own = top / place.name
        return Handle(
            kind="process",
            name=place.name,
            pid_file=str(own / "pid"),
            log_file=str(own / "output.log"),
            ports=place.named_ports,
        )

    def verbs(place: Place) -> Verbs:
        report = site.reports[place.host]
        own = str(top / place.name)
        limits = str(top / LIMITS_PROGRAM)
        return {
            **{verb: [report["python"], report["program"], verb, own] for verb in VERBS},
            **{verb: [report["python"], limits, verb, own] for verb in LIMITS},
        }

    nodes = tuple(
        Node(
            name=node.name,
            id=node.id,
            host=node.host,
            api_url=node.url,
            handle=handle(node),
            data_dir=f"{request.data_root}/{node.data}",
            log_dir=f"{request.data_root}/{node.data}/logs",
            verbs=verbs(node),
        )
        for node in placed.nodes
    )
    sim = placed.sim
    return Topology(
        driver=request.driver,
        project=request.project,
        data_root=request.data_root,
        nodes=nodes,
        sim=Sim(
            name=sim.name,
            host=sim.host,
            status_url=f"{sim.url}/status",
            handle=handle(sim),
            verbs=verbs(sim),
        ),
    )

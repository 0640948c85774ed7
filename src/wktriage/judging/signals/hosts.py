"""Each host by itself: whose CPU it gives, which is worst, which was lost, whose clock was set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from wktriage.bundle import layout
from wktriage.bundle.host_evidence import SILENT_SINCE
from wktriage.bundle.readers import host_cpu
from wktriage.bundle.readers.host_cpu import HostSamples
from wktriage.bundle.readers.jsonl import number
from wktriage.bundle.readers.usage import SIM
from wktriage.core.model import Citation
from wktriage.core.times import iso, parse_time
from wktriage.judging.signals.context import Context
from wktriage.judging.signals.cpu import cpu_mean
from wktriage.judging.wording import clean, join

ONE_HOST = "there is one host"
NAME_MAX = 80
LISTED = 10


@dataclass(frozen=True)
class Load:
    """CPU of one host in the window, in cores; what is unknown is None."""

    samples: HostSamples
    ncpu: float | None
    stack: float | None
    foreign: float | None
    cites: list[Citation]

    def share(self, cores: float | None) -> float | None:
        """Return cores as a share of the host's."""
        return cores / self.ncpu if cores is not None and self.ncpu else None


def compute(ctx: Context) -> None:
    """State the signals of single hosts."""
    hosts = host_cpu.read(ctx.bundle, ctx.span)
    _cpu(ctx, hosts)
    _worst(ctx, hosts)
    _lost(ctx)
    _clocks(ctx)


# --- CPU ------------------------------------------------------------------------------------


def _cpu(ctx: Context, hosts: list[HostSamples]) -> None:
    loads = [_load(ctx, host, alone=len(hosts) == 1) for host in hosts]
    why = "the host's CPU, or that of a container, is unknown"
    stack = _highest(loads, "stack")
    share = stack.share(stack.stack) if stack else None
    cites = stack.cites if stack else []
    total, cpus = ctx.number("containers_cpu_cores"), ctx.number("host_ncpu")
    if not hosts and total is not None and cpus:
        # Nobody sampled the host; the nodes tell how many CPUs it has.
        share = total / cpus
        cites = [*ctx.cites("containers_cpu_cores")[:4], *ctx.cites("host_ncpu")]
    ctx.put("containers_cpu_of_host", share, cites, why="the number of CPUs is not recorded")
    foreign = _highest(loads, "foreign")
    # One host that cannot tell might be the one that others load.
    if foreign is None or any(load.foreign is None for load in loads):
        foreign = None
    cites = foreign.cites if foreign else []
    ctx.put("foreign_cpu_cores", foreign.foreign if foreign else None, cites, why=why)
    ctx.put(
        "foreign_cpu_of_host", foreign.share(foreign.foreign) if foreign else None, cites, why=why
    )


def _highest(loads: Iterable[Load], field: str) -> Load | None:
    known = [load for load in loads if load.share(getattr(load, field)) is not None]
    return max(known, key=lambda load: load.share(getattr(load, field)) or 0.0, default=None)


def _load(ctx: Context, host: HostSamples, *, alone: bool) -> Load:
    places = {SIM: _sim_host(ctx)} | {
        str(entry["name"]): str(entry.get("host")) for entry in ctx.bundle.topology_nodes
    }
    entities = [e for e in (*ctx.nodes, SIM) if alone or places.get(e) == host.name]
    means = [cpu_mean(ctx, entity) for entity in entities]
    known = [(mean, cites) for mean, cites in means if mean is not None]
    stack = sum(mean for mean, _ in known) if known or not entities else None
    if alone:
        cpus, cpu_cites = ctx.number("host_ncpu"), list(ctx.cites("host_ncpu"))
    else:
        first = next(iter(host.values("ncpu")), None)
        cpus = first[0] if first else None
        cpu_cites = [ctx.cite_row("host.jsonl", first[1], "/ncpu")] if first else []
    busy, foreign = host.busy(), None
    if busy is not None and cpus and stack is not None and len(known) == len(entities):
        foreign = host_cpu.foreign_cores(busy * cpus, stack, host.collector_cores() or 0.0)
    edges = [
        ctx.cite_row("host.jsonl", row, "/cpu_idle_ticks") for row in (host.rows[0], host.rows[-1])
    ]
    cites = [*edges, *cpu_cites, *(c for _, cites in known for c in cites[:1])]
    return Load(host, cpus, stack, foreign, cites)


def _sim_host(ctx: Context) -> str | None:
    sim = (ctx.bundle.read_json("topology.json") or {}).get("sim")
    return str(sim["host"]) if isinstance(sim, dict) and sim.get("host") else None


# --- which host -----------------------------------------------------------------------------


def _worst(ctx: Context, hosts: list[HostSamples]) -> None:
    """Name the host of each signal that is that of the worst host."""
    busy = [(share, host) for host in hosts if (share := host.busy()) is not None]
    top = max(busy, key=lambda pair: pair[0], default=None)
    _name(ctx, "busiest_host", top[1] if top else None, hosts, ctx.cites("host_cpu_busy"))
    free = [(share, host) for host in hosts if (share := _least_free(host)) is not None]
    low = min(free, key=lambda pair: pair[0], default=None)
    _name(ctx, "fullest_disk_host", low[1] if low else None, hosts, ctx.cites("disk_free_ratio"))


def _least_free(host: HostSamples) -> float | None:
    shares = []
    for row in host.rows:
        disks = row.data.get("disks")
        for disk in disks if isinstance(disks, list) else []:
            if isinstance(disk, dict):
                free, total = number(disk.get("free_bytes")), number(disk.get("total_bytes"))
                if free is not None and total:
                    shares.append(free / total)
    return min(shares, default=None)


def _name(
    ctx: Context,
    signal: str,
    host: HostSamples | None,
    hosts: list[HostSamples],
    cites: Iterable[Citation],
) -> None:
    named = clean(host.name, NAME_MAX) if host is not None and len(hosts) > 1 else None
    ctx.put(signal, named, cites, why=ONE_HOST if len(hosts) == 1 else "it is not recorded")


# --- hosts that were lost, clocks that were set ---------------------------------------------


def _lost(ctx: Context) -> None:
    """Name the hosts that handed in nothing, or whose collector died; say since when."""
    rows = (ctx.bundle.manifest or {}).get("collectors")
    if not isinstance(rows, list):
        ctx.put("hosts_lost", None, why="no manifest")
        ctx.put("hosts_silent", None, why="no manifest")
        for node in ctx.nodes:
            ctx.put("node_host_silent", None, node=node, why="no manifest")
        return
    lost = [
        (place, row)
        for place, row in enumerate(rows)
        if isinstance(row, dict)
        and row.get("name") == "collector"
        and row.get("host") != layout.CONTROLLER
        and row.get("status") == "failed"
    ]
    cites = [_collector_cite(ctx, place, row) for place, row in lost[:LISTED]]
    names = ", ".join(clean(str(row.get("host")), NAME_MAX) for _, row in lost[:LISTED])
    if len(lost) > LISTED:
        names += f" and {len(lost) - LISTED} more"
    ctx.put("hosts_lost", names or "none", cites or [ctx.bundle.cite("manifest.json")])
    _silent(ctx, lost)


def _silent(ctx: Context, lost: list[tuple[int, dict[str, Any]]]) -> None:
    """State which nodes' hosts could not be reached any more, and since when."""
    silent = {
        str(row.get("host")): (last_heard, _collector_cite(ctx, place, row))
        for place, row in lost
        if (match := SILENT_SINCE.search(str(row.get("error"))))
        and (last_heard := parse_time(match.group(1))) is not None
    }
    texts = [f"{clean(host, NAME_MAX)} (last heard {iso(at)})" for host, (at, _) in silent.items()]
    cites = [cite for _, cite in silent.values()][:LISTED]
    ctx.put("hosts_silent", join(texts[:LISTED]) or None, cites, why="every host could be reached")
    hosts = {str(entry["name"]): str(entry.get("host")) for entry in ctx.bundle.topology_nodes}
    for node in ctx.nodes:
        heard, cite = silent.get(hosts.get(node, ""), (None, ctx.bundle.cite("manifest.json")))
        ctx.put("node_host_silent", heard is not None, [cite], node=node, since=heard)


def _collector_cite(ctx: Context, place: int, row: dict[str, Any]) -> Citation:
    pointer = f"/collectors/{place}/status"
    return ctx.bundle.cite("manifest.json", pointer=pointer, value=row["status"])


def _clocks(ctx: Context) -> None:
    """State by how much a clock was set while the run went on, and whose it was."""
    rows = (ctx.bundle.read_json("clocks.json") or {}).get("hosts")
    steps = []
    for place, row in enumerate(rows if isinstance(rows, list) else []):
        step = number(row.get("step_s")) if isinstance(row, dict) else None
        if step is not None:
            steps.append((abs(step), place, row))
    why = "the clocks of the hosts were not read before and after the run"
    if not steps:
        ctx.put("clock_step", None, why=why)
        ctx.put("clock_step_host", None, why=why)
        return
    size, place, row = max(steps, key=lambda entry: (entry[0], -entry[1]))
    pointer = f"/hosts/{place}/step_s"
    cites = [ctx.bundle.cite("clocks.json", pointer=pointer, value=row["step_s"])]
    ctx.put("clock_step", size, cites)
    ctx.put("clock_step_host", clean(str(row.get("host")), NAME_MAX) if size else "none", cites)

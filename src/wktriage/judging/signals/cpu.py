"""CPU of nodes, simulator and host: use, limits and throttling."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from wktriage.bundle.readers import host_cpu
from wktriage.bundle.readers.host_cpu import HostSamples
from wktriage.bundle.readers.jsonl import Row, number, rows
from wktriage.bundle.readers.usage import SIM, UsageSample
from wktriage.core.model import Citation
from wktriage.core.yaml_files import parse_evidence
from wktriage.judging.signals.context import Context, PerNode

COMPOSE_CAP = 1024 * 1024
NO_CPU = "no CPU samples in the window"
NO_HOST = "host.jsonl holds no usable sample in the window"
MCACHE_IN_USE = "go_memstats_mcache_inuse_bytes"
MCACHE_SYS = "go_memstats_mcache_sys_bytes"
MCACHE_CHUNK = 16 << 10
MCACHE_LEAST, MCACHE_MOST = 1088, 3000
"""Bytes: the two pointers per span class that every mcache holds (68 classes twice), and plenty."""


def compute(ctx: Context) -> None:
    """State the CPU signals of nodes and host."""
    host = host_cpu.read(ctx.bundle, ctx.span)
    _nodes(ctx)
    _host(ctx, host)
    _stack(ctx)
    _collector(ctx, host)


def cpu_samples(ctx: Context, entity: str) -> list[UsageSample]:
    """Return the samples with CPU in the window (or the recording) of a node or wk-sim."""
    usage = ctx.usage.get(entity)
    if usage is None or ctx.span is None:
        return []
    return [s for s in usage.within(*ctx.span) if s.cpu_cores is not None]


def cpu_mean(ctx: Context, entity: str) -> tuple[float | None, list[Citation]]:
    """Return mean cores over the window, time-weighted where samples are intervals."""
    inside = cpu_samples(ctx, entity)
    if not inside:
        return None, []
    values = [s.cpu_cores or 0.0 for s in inside]
    return sum(values) / len(values), ctx.cite_usage(entity, inside)


def throttled(ctx: Context, entity: str) -> tuple[float | None, list[Citation]]:
    """Return throttled periods over periods in the window, None when not recorded."""
    usage = ctx.usage.get(entity)
    if usage is None or ctx.span is None:
        return None, []
    inside = [s for s in usage.within(*ctx.span) if s.throttled_periods is not None]
    periods = throttled_periods = 0.0
    for a, b in pairwise(inside):
        grown = (b.periods or 0.0) - (a.periods or 0.0)
        if grown > 0:
            periods += grown
            throttled_periods += max(
                0.0, (b.throttled_periods or 0.0) - (a.throttled_periods or 0.0)
            )
    if len(inside) < 2:
        return None, []
    return (throttled_periods / periods if periods else 0.0), ctx.cite_usage(entity, inside)


def ncpu(ctx: Context) -> tuple[float | None, list[Citation]]:
    """Return the host's logical CPUs; None when not recorded."""
    return ctx.bundle.once("ncpu", lambda: _ncpu(ctx))


def _ncpu(ctx: Context) -> tuple[float | None, list[Citation]]:
    for row in rows(ctx.bundle, "host.jsonl"):
        cpus = number(row.data.get("ncpu"))
        if cpus:
            return cpus, [ctx.cite_row("host.jsonl", row, "/ncpu")]
    observed = (ctx.bundle.read_json("fingerprint.json") or {}).get("observed")
    cpus = number(observed.get("ncpu")) if isinstance(observed, dict) else None
    if cpus:
        return cpus, [ctx.bundle.cite("fingerprint.json", pointer="/observed/ncpu", value=cpus)]
    return _most_processors(ctx)


def gomaxprocs(in_use: float, sys: float) -> int | None:
    """Return how many processors (P) a Go runtime has, from its ``go_memstats_mcache_*_bytes``.

    There is one mcache per P, and they come from chunks of 16 KiB rounded down to whole mcaches
    (``runtime/mfixalloc.go``). Their size differs between Go versions, so it is the one that fits
    both figures (bytes); None when none or several fit.
    """
    if not (0 < in_use <= sys < MCACHE_CHUNK * 1024):
        return None
    fits = [
        size
        for size in range(MCACHE_LEAST, MCACHE_MOST + 1, 8)
        if in_use % size == 0 and sys % (MCACHE_CHUNK // size * size) == 0
    ]
    return int(in_use) // fits[0] if len(fits) == 1 else None


def _most_processors(ctx: Context) -> tuple[float | None, list[Citation]]:
    """Take the host's CPUs from the node whose runtime sees most: a quota may show it fewer."""
    best: tuple[float | None, list[Citation]] = None, []
    for node in ctx.nodes:
        for scrape in ctx.metrics.scrapes(node, MCACHE_IN_USE)[-1:]:
            points = [scrape.first(MCACHE_IN_USE), scrape.first(MCACHE_SYS)]
            known = [p for p in points if p is not None]
            if len(known) < len(points):
                continue
            processors = gomaxprocs(known[0].value, known[1].value)
            if processors and processors > (best[0] or 0):
                best = float(processors), [ctx.metrics.cite(scrape, p) for p in known]
    return best


def limit_of(ctx: Context, entity: str) -> tuple[float | None, list[Citation]]:
    """Return the CPU quota in cores; the host's cores when the recording shows no quota."""
    usage = ctx.usage.get(entity)
    if usage is not None:
        quota = [s for s in usage.samples if s.cpu_limit]
        if quota:
            return quota[-1].cpu_limit, ctx.cite_usage(entity, quota[-1:])
    declared = _compose_limit(ctx, entity)
    if declared:
        return declared, [ctx.bundle.cite("compose-config.yml")]
    free = [s for s in usage.samples if s.cpu_limited is False] if usage is not None else []
    if free:
        cores, cites = ncpu(ctx)
        return cores, [*cites, *ctx.cite_usage(entity, free[-1:])]
    return None, []


def _compose_limit(ctx: Context, entity: str) -> float | None:
    service = services(ctx).get(entity)
    if not isinstance(service, dict):
        return None
    deploy: Any = service
    for key in ("deploy", "resources", "limits", "cpus"):
        deploy = deploy.get(key) if isinstance(deploy, dict) else None
    for value in (service.get("cpus"), deploy):
        try:
            cpus = number(float(value)) if isinstance(value, str | int | float) else None
        except (ValueError, OverflowError):
            continue
        if cpus is not None and cpus > 0:
            return cpus
    return None


def services(ctx: Context) -> dict[str, Any]:
    """Return the services of the compose configuration, by name; {} when they limit nothing."""
    return ctx.bundle.once("services", lambda: _services(ctx))


def _services(ctx: Context) -> dict[str, Any]:
    text = ctx.bundle.read_text("compose-config.yml", COMPOSE_CAP)
    # Parsing it takes longer than looking for what is wanted of it.
    if text is None or not any(limit in text for limit in ("cpus:", "GOMEMLIMIT:")):
        return {}
    try:
        document = parse_evidence(text)
    except ValueError:
        return {}
    listed = document.get("services") if isinstance(document, dict) else None
    return listed if isinstance(listed, dict) else {}


def _nodes(ctx: Context) -> None:
    cores: PerNode = {}
    highest: PerNode = {}
    shares: PerNode = {}
    throttling: PerNode = {}
    for node in ctx.nodes:
        inside = cpu_samples(ctx, node)
        mean, cites = cpu_mean(ctx, node)
        if mean is None:
            mean, cites = _from_metrics(ctx, node)
        cores[node] = (mean, cites)
        if inside:
            top = max(inside, key=lambda s: s.cpu_cores or 0.0)
            highest[node] = (top.cpu_cores, ctx.cite_usage(node, [top]))
        limit, limit_cites = limit_of(ctx, node)
        ctx.put("node_cpu_limit_cores", limit, limit_cites, node=node, why="it is not recorded")
        if mean is not None and limit:
            shares[node] = (mean / limit, [*cites[:2], *limit_cites])
        throttling[node] = throttled(ctx, node)
    ctx.gather("node_cpu_cores", per_node=cores, default_why=NO_CPU)
    ctx.gather("node_cpu_max_cores", "max", per_node=highest, default_why=NO_CPU)
    ctx.gather(
        "node_cpu_of_limit",
        "max",
        per_node=shares,
        default_why="the CPU or its limit is not recorded",
    )
    ctx.gather("node_throttled_ratio", "max", per_node=throttling, default_why="it is not recorded")


def _from_metrics(ctx: Context, node: str) -> tuple[float | None, list[Citation]]:
    if ctx.window is None:
        return None, []
    grown = ctx.metrics.increase(node, "process_cpu_seconds_total")
    if isinstance(grown, str):
        return None, []
    seconds = ctx.window[1] - ctx.window[0]
    return grown[0] / seconds, ctx.metrics.cite_counter(node, "process_cpu_seconds_total", grown[1])


def _edge_cites(ctx: Context, host: HostSamples, field: str) -> list[Citation]:
    return [ctx.cite_row("host.jsonl", r, f"/{field}") for r in (host.rows[0], host.rows[-1])]


def _host(ctx: Context, hosts: list[HostSamples]) -> None:
    cpus, cites = ncpu(ctx)
    ctx.put("host_ncpu", cpus, cites, why="the number of CPUs is not recorded")
    for name, field, share in (
        ("host_cpu_busy", "cpu_idle_ticks", HostSamples.busy),
        ("host_cpu_steal", "cpu_steal_ticks", lambda h: h.share("cpu_steal_ticks")),
    ):
        shares = [(s, h) for h in hosts if (s := share(h)) is not None]
        top = max(shares, key=lambda s: s[0], default=None)
        ctx.put(
            name,
            max(0.0, top[0]) if top else None,
            _edge_cites(ctx, top[1], field) if top else [],
            why=NO_HOST,
        )
    for name, field in (
        ("host_io_pressure", "psi_io_some_avg10"),
        ("host_cpu_pressure", "psi_cpu_some_avg10"),
        ("host_memory_pressure", "psi_memory_some_avg10"),
    ):
        _extreme(ctx, name, hosts, lambda r, f=field: number(r.data.get(f)), f"/{field}")
    _extreme(
        ctx, "host_mem_available_ratio", hosts, _memory_share, "/mem_available_bytes", low=True
    )
    _extreme(ctx, "disk_free_ratio", hosts, _disk_share, "/disks", low=True)


def _extreme(
    ctx: Context, name: str, hosts: list[HostSamples], of: Any, pointer: str, *, low: bool = False
) -> None:
    readings = [(v, r) for h in hosts for r in h.rows if (v := of(r)) is not None]
    if not readings:
        ctx.put(name, None, why=NO_HOST)
        return
    value, row = (min if low else max)(
        readings, key=lambda f: (f[0], -f[1].line if low else f[1].line)
    )
    ctx.put(name, value, [ctx.cite_row("host.jsonl", row, pointer)])


def _memory_share(row: Row) -> float | None:
    free = number(row.data.get("mem_available_bytes"))
    total = number(row.data.get("mem_total_bytes"))
    return free / total if free is not None and total else None


def _disk_share(row: Row) -> float | None:
    disks = row.data.get("disks")
    shares = []
    for disk in disks if isinstance(disks, list) else []:
        if isinstance(disk, dict):
            free, total = number(disk.get("free_bytes")), number(disk.get("total_bytes"))
            if free is not None and total:
                shares.append(free / total)
    return min(shares) if shares else None


def _stack(ctx: Context) -> None:
    entities = [*ctx.nodes, SIM]
    means = {e: cpu_mean(ctx, e) for e in entities}
    known = {e: m for e, m in means.items() if m[0] is not None}
    cites = [c for _, mean_cites in known.values() for c in mean_cites[:1]]
    total = sum(m[0] or 0.0 for m in known.values()) if known else None
    ctx.put("containers_cpu_cores", total, cites, why=NO_CPU)


def _collector_cores(hosts: list[HostSamples]) -> float | None:
    cores = [c for host in hosts if (c := host.collector_cores()) is not None]
    return sum(cores) if cores else None


def _collector(ctx: Context, hosts: list[HostSamples]) -> None:
    cores = _collector_cores(hosts)
    cites = [c for h in hosts for c in _edge_cites(ctx, h, "collector_cpu_seconds")]
    ctx.put("collector_cpu_ratio", cores, cites, why="the collector's CPU is not recorded")

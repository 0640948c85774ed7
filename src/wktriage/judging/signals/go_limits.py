"""The Go runtime of each node beside its limits: memory limit, processors, pauses."""

from __future__ import annotations

import re
from typing import Any

from wktriage.bundle.readers.prom import Point
from wktriage.core.model import Citation
from wktriage.judging.signals.context import Context, PerNode
from wktriage.judging.signals.cpu import MCACHE_IN_USE, MCACHE_SYS, gomaxprocs, services

COLLECTIONS = "go_gc_duration_seconds"
OBTAINED, RELEASED = "go_memstats_sys_bytes", "go_memstats_heap_released_bytes"
MEMORY_LIMIT = "GOMEMLIMIT"
_SIZE = re.compile(r"(\d{1,15})(B|KiB|MiB|GiB|TiB)?\Z")
_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
NOT_SCRAPED = "no scrape of it holds the figures of the Go runtime"


def compute(ctx: Context) -> None:
    """State how near the nodes' Go runtimes are to their limits; needs the CPU signals."""
    _memory(ctx)
    _processors(ctx)
    _collections(ctx)


def parse_memory_limit(text: object) -> int | None:
    """Return the bytes of a GOMEMLIMIT, None for none (``off``) or what is no such value.

    Units as in runtime/debug.SetMemoryLimit: B, KiB, MiB, GiB, TiB, or bytes without one.
    """
    match = _SIZE.match(str(text).strip())
    return int(match.group(1)) * _UNITS[match.group(2) or "B"] if match else None


def memory_limit(ctx: Context, node: str) -> tuple[int | None, list[Citation]]:
    """Return the memory limit (bytes) of a node's Go runtime, as far as it is recorded."""
    inputs = (ctx.bundle.read_json("fingerprint.json") or {}).get("inputs")
    env = inputs.get("node_env") if isinstance(inputs, dict) else None
    if isinstance(env, dict) and MEMORY_LIMIT in env:
        pointer = f"/inputs/node_env/{MEMORY_LIMIT}"
        cite = ctx.bundle.cite("fingerprint.json", pointer=pointer, value=env[MEMORY_LIMIT])
        return parse_memory_limit(env[MEMORY_LIMIT]), [cite]
    service: Any = services(ctx).get(node)
    env = service.get("environment") if isinstance(service, dict) else None
    if isinstance(env, dict) and MEMORY_LIMIT in env:
        return parse_memory_limit(env[MEMORY_LIMIT]), [ctx.bundle.cite("compose-config.yml")]
    return None, []


def _memory(ctx: Context) -> None:
    """State the share of the limit that is in use: what the limit counts (runtime/debug)."""
    per_node: PerNode = {}
    why: dict[str, str] = {}
    for node in ctx.nodes:
        limit, cites = memory_limit(ctx, node)
        if not limit:
            why[node] = "no memory limit of the Go runtime is recorded"
            continue
        used = [
            (obtained.value - released.value, [ctx.metrics.cite(scrape, p) for p in pair])
            for scrape in ctx.metrics.scrapes(node, OBTAINED)
            if (obtained := scrape.first(OBTAINED)) is not None
            and (released := scrape.first(RELEASED)) is not None
            and (pair := (obtained, released))
        ]
        if used:
            top, top_cites = max(used, key=lambda entry: entry[0])
            per_node[node] = (top / limit, [*cites, *top_cites])
    ctx.gather("node_go_memory_used", "max", per_node=per_node, why=why, default_why=NOT_SCRAPED)


def _processors(ctx: Context) -> None:
    """State GOMAXPROCS, and how much more it is than the CPUs that the node may use."""
    processors: PerNode = {}
    ratios: PerNode = {}
    for node in ctx.nodes:
        for scrape in ctx.metrics.scrapes(node, MCACHE_IN_USE)[-1:]:
            points = [scrape.first(MCACHE_IN_USE), scrape.first(MCACHE_SYS)]
            known = [p for p in points if p is not None]
            count = gomaxprocs(known[0].value, known[1].value) if len(known) == 2 else None
            if count is None:
                continue
            cites = [ctx.metrics.cite(scrape, p) for p in known]
            processors[node] = (count, cites)
            limit = ctx.number("node_cpu_limit_cores", node)
            if limit:
                # One processor is the least that there can be.
                ratio = count / max(1.0, limit)
                ratios[node] = (ratio, [*cites, *ctx.cites("node_cpu_limit_cores", node)])
    ctx.gather("node_processors", "max", per_node=processors, default_why=NOT_SCRAPED)
    why = "the processors of the Go runtime, or the CPU limit, are not recorded"
    ctx.gather("node_processors_per_cpu", "max", per_node=ratios, default_why=why)


def _collections(ctx: Context) -> None:
    """State how often the collector ran, and for what share of the time it stopped the world."""
    rates: PerNode = {}
    pauses: PerNode = {}
    for node in ctx.nodes:
        ends = ctx.metrics.ends(node, COLLECTIONS)
        if isinstance(ends, str) or ctx.window is None:
            continue
        before, after = ends
        seconds = ctx.window[1] - ctx.window[0]
        for suffix, states in (("_count", rates), ("_sum", pauses)):
            new = _named(after.families.get(COLLECTIONS), suffix)
            old = _named(before.families.get(COLLECTIONS), suffix) if before else None
            if new is None or (before is not None and old is None) or seconds <= 0:
                continue
            cites = [ctx.metrics.cite(after, new)]
            if before is not None and old is not None:
                cites.append(ctx.metrics.cite(before, old))
            states[node] = ((new.value - (old.value if old else 0.0)) / seconds, cites)
    ctx.gather("node_gc_rate", "max", per_node=rates, default_why=NOT_SCRAPED)
    ctx.gather("node_gc_pause_share", "max", per_node=pauses, default_why=NOT_SCRAPED)


def _named(points: list[Point] | None, suffix: str) -> Point | None:
    return next((p for p in points or () if p.name == COLLECTIONS + suffix), None)

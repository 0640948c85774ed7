"""The Go runtime and the process of a node: garbage collection, descriptors."""

from __future__ import annotations

from wktriage.bundle.readers.prom import Point, Scrape
from wktriage.judging.signals import kernel
from wktriage.judging.signals.context import Context, PerNode

CYCLES, ALLOCATED = "go_gc_duration_seconds", "go_memstats_alloc_bytes_total"
HEAP = "go_memstats_heap_inuse_bytes"
OPEN, ALLOWED = "process_open_fds", "process_max_fds"
NO_DESCRIPTORS = "neither a scrape of it nor the kernel tells its descriptors"
FEW = 5
"""Collections below which their spacing says nothing."""


def compute(ctx: Context) -> None:
    """State how much room the collector has, and how many descriptors are in use."""
    _collector(ctx)
    _descriptors(ctx)


def _collector(ctx: Context) -> None:
    """State the bytes allocated between two collections, relative to the heap in use."""
    per_node: PerNode = {}
    why: dict[str, str] = {}
    for node in ctx.nodes:
        ends = ctx.metrics.ends(node, CYCLES)
        allocated = ctx.metrics.increase(node, ALLOCATED)
        if isinstance(ends, str) or isinstance(allocated, str):
            why[node] = ends if isinstance(ends, str) else str(allocated)
            continue
        before, after = ends
        count, heap = _point(after, CYCLES + "_count"), after.first(HEAP)
        earlier = _point(before, CYCLES + "_count")
        if count is None or heap is None:
            why[node] = f"{after.file} does not hold the collector's counters"
            continue
        cycles = count.value - (earlier.value if earlier is not None else 0.0)
        if cycles < FEW or not heap.value:
            why[node] = "too few garbage collections in the window"
            continue
        cites = [ctx.metrics.cite(after, count), ctx.metrics.cite(after, heap)]
        per_node[node] = (allocated[0] / cycles / heap.value, cites)
    ctx.gather("node_gc_headroom", "min", per_node=per_node, why=why)


def _descriptors(ctx: Context) -> None:
    per_node: PerNode = {}
    for node in ctx.nodes:
        readings = [
            (used.value / allowed.value, [ctx.metrics.cite(scrape, p) for p in (used, allowed)])
            for scrape in ctx.metrics.scrapes(node, OPEN)
            if (used := scrape.first(OPEN)) is not None
            and (allowed := scrape.first(ALLOWED)) is not None
            and allowed.value > 0
        ]
        # A node that may open no more answers no scrape either: the kernel still tells.
        share, cites = kernel.descriptors_used(ctx, node)
        if share is not None:
            readings.append((share, cites))
        if readings:
            per_node[node] = max(readings, key=lambda reading: reading[0])
    ctx.gather("node_descriptors_used", "max", per_node=per_node, default_why=NO_DESCRIPTORS)


def _point(scrape: Scrape | None, name: str) -> Point | None:
    points = scrape.families.get(CYCLES, ()) if scrape is not None else ()
    return next((p for p in points if p.name == name), None)

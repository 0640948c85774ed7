"""What Linux counted for a node or the simulator in the window: growth, rates, highest values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from wktriage.bundle.readers.usage import SIM, UsageSample
from wktriage.core.model import Citation
from wktriage.judging.signals.context import Context, PerNode

NOT_COUNTED = "the collector of this run did not read it from the kernel"

Reading = tuple[float | None, list[Citation]]
"""A value with its citations; None is unknown."""

Measure = Callable[[Context, str], Reading]
"""Measures one node or the simulator, by name."""


def samples(ctx: Context, entity: str, counter: str) -> list[UsageSample]:
    """Return the samples in the window that hold a counter."""
    usage = ctx.usage.get(entity)
    inside = usage.within(*ctx.span) if usage is not None and ctx.span is not None else []
    return [s for s in inside if counter in s.counters]


def growth(ctx: Context, entity: str, *counters: str) -> Reading:
    """Return by how much counters grew together; unknown when one is, or was sampled once.

    One that fell began anew with its process: what it has counted since then is growth.
    """
    total, cites = 0.0, []
    for counter in counters:
        inside = samples(ctx, entity, counter)
        if len(inside) < 2:
            return None, []
        values = [s.counters[counter] for s in inside]
        total += sum(b - a if b >= a else b for a, b in pairwise(values))
        cites += _cite(ctx, entity, [inside[0], inside[-1]], counter)
    return total, cites


def rate(ctx: Context, entity: str, counter: str) -> Reading:
    """Return the growth of a counter a second."""
    inside = samples(ctx, entity, counter)
    seconds = inside[-1].time - inside[0].time if inside else 0.0
    grown, cites = growth(ctx, entity, counter)
    return (None, []) if grown is None or seconds <= 0 else (grown / seconds, cites)


def highest(
    ctx: Context, entity: str, of: Callable[[UsageSample], float], *counters: str
) -> Reading:
    """Return the highest value over the samples that hold all of the counters."""
    inside = [
        s for s in samples(ctx, entity, counters[0]) if all(c in s.counters for c in counters)
    ]
    if not inside:
        return None, []
    top = max(inside, key=of)
    return of(top), [c for counter in counters for c in _cite(ctx, entity, [top], counter)]


def descriptors_used(ctx: Context, entity: str) -> Reading:
    """Return open descriptors over those allowed, at most. Fewer may be allowed than are open."""

    def share(sample: UsageSample) -> float:
        return sample.counters["open_descriptors"] / max(1.0, sample.counters["descriptor_limit"])

    return highest(ctx, entity, share, "open_descriptors", "descriptor_limit")


def state(
    ctx: Context,
    name: str,
    measure: Measure,
    how: str = "max",
    *,
    simulator: bool = True,
    why: dict[str, str] | None = None,
) -> None:
    """State ``node_<name>`` of each node and of the cluster (``how``), and ``sim_<name>``.

    ``why`` holds the reason by which a value is unknown, by node and simulator.
    """
    reasons = why or {}
    per_node: PerNode = {n: measure(ctx, n) for n in ctx.nodes if n not in reasons}
    ctx.gather(
        f"node_{name}", how, per_node=per_node, why=reasons, default_why=NOT_COUNTED, partial=True
    )
    if simulator:
        value, cites = (None, []) if SIM in reasons else measure(ctx, SIM)
        ctx.put(f"sim_{name}", value, cites, why=reasons.get(SIM, NOT_COUNTED))


def _cite(ctx: Context, entity: str, of: Sequence[UsageSample], counter: str) -> list[Citation]:
    file = ctx.usage[entity].file
    return [ctx.bundle.cite(file, line=s.line) for s in of if counter in s.counters]

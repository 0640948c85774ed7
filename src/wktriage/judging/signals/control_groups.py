"""Memory, device and pressure of each control group, as Linux counts them."""

from __future__ import annotations

from functools import partial

from wktriage.judging.signals import kernel
from wktriage.judging.signals.context import Context
from wktriage.judging.signals.kernel import Reading

MICROSECONDS = 1e6


def compute(ctx: Context) -> None:
    """State what the control groups of the nodes and of the simulator met."""
    kernel.state(ctx, "memory_limit_hits", _grown, "sum")
    kernel.state(ctx, "major_fault_rate", partial(_rate, "major_faults"), "sum")
    kernel.state(ctx, "io_write_rate", partial(_rate, "io_writes"), "sum", simulator=False)
    kernel.state(
        ctx, "io_write_bytes_rate", partial(_rate, "io_write_bytes"), "sum", simulator=False
    )
    kernel.state(ctx, "cpu_pressure", partial(_pressure, "cpu"))
    kernel.state(ctx, "memory_pressure", partial(_pressure, "memory"))
    kernel.state(ctx, "io_pressure", partial(_pressure, "io"), simulator=False)


def _grown(ctx: Context, entity: str) -> Reading:
    return kernel.growth(ctx, entity, "memory_limit_hits")


def _rate(counter: str, ctx: Context, entity: str) -> Reading:
    return kernel.rate(ctx, entity, counter)


def _pressure(resource: str, ctx: Context, entity: str) -> Reading:
    """Return the share of the time in which some task waited for the resource (PSI)."""
    microseconds, cites = kernel.rate(ctx, entity, f"{resource}_pressure_us")
    return (None, []) if microseconds is None else (microseconds / MICROSECONDS, cites)

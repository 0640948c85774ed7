"""Memory, device and pressure of each control group, as Linux counts them."""

from __future__ import annotations

from functools import partial

from wktriage.judging.signals import kernel
from wktriage.judging.signals.context import Context
from wktriage.judging.signals.kernel import Reading

MICROSECONDS = 1e6

_RATES = {
    "major_fault_rate": "major_faults",
    "io_write_rate": "io_writes",
    "io_write_bytes_rate": "io_write_bytes",
}
"""Signals that are the growth of a counter a second."""


def compute(ctx: Context) -> None:
    """State what the control groups of the nodes and of the simulator met."""
    kernel.state(ctx, "memory_limit_hits", _grown, "sum")
    for name, counter in _RATES.items():
        kernel.state(ctx, name, partial(_rate, counter), "sum", simulator=False)
    kernel.state(ctx, "memory_pressure", partial(_pressure, "memory"))
    for resource in ("cpu", "io"):
        of = partial(_pressure, resource)
        kernel.state(ctx, f"{resource}_pressure", of, simulator=False)


def _grown(ctx: Context, entity: str) -> Reading:
    return kernel.growth(ctx, entity, "memory_limit_hits")


def _rate(counter: str, ctx: Context, entity: str) -> Reading:
    return kernel.rate(ctx, entity, counter)


def _pressure(resource: str, ctx: Context, entity: str) -> Reading:
    """Return the share of the time in which some task waited for the resource (PSI)."""
    microseconds, cites = kernel.rate(ctx, entity, f"{resource}_pressure_us")
    return (None, []) if microseconds is None else (microseconds / MICROSECONDS, cites)

"""The block device under each node's data: how busy it is, and how long it takes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from wktriage.bundle.readers import host_cpu
from wktriage.bundle.readers.host_cpu import HostSamples
from wktriage.bundle.readers.jsonl import Row, number
from wktriage.core.model import Citation
from wktriage.judging.signals.context import Context, PerNode

NOT_RECORDED = "the device under the data is not recorded"

_MEANS = {
    "node_device_service_time": (("read_ms", "write_ms"), ("reads", "writes")),
    "node_device_write_time": (("write_ms",), ("writes",)),
    "node_device_flush_time": (("flush_ms",), ("flushes",)),
}
"""Signals that are a mean: growth of some counters (ms) over growth of others."""
_SHARES = {"node_device_utilisation": "busy_ms", "node_device_queue": "queued_ms"}
"""Signals that are growth (ms) over the time in which it grew."""


def compute(ctx: Context) -> None:
    """State how busy and how slow the devices are."""
    hosts = host_cpu.read(ctx.bundle, ctx.span)
    devices = {node: _growth(ctx, hosts, node) for node in ctx.nodes}
    for name, column in _SHARES.items():
        per_node: PerNode = {}
        for node, (grown, cites) in devices.items():
            if column in grown and grown["ms"] > 0:
                per_node[node] = (grown[column] / grown["ms"], cites)
        ctx.gather(name, "max", per_node=per_node, default_why=NOT_RECORDED)
    for name, (times, counts) in _MEANS.items():
        per_node, why = {}, {}
        for node, (grown, cites) in devices.items():
            if not all(column in grown for column in (*times, *counts)):
                continue
            operations = sum(grown[column] for column in counts)
            if not operations:
                why[node] = "the device did none of it in the window"
                continue
            seconds = sum(grown[column] for column in times) / 1000
            per_node[node] = (seconds / operations, cites)
        ctx.gather(name, "max", per_node=per_node, why=why, default_why=NOT_RECORDED)


def _growth(
    ctx: Context, hosts: list[HostSamples], node: str
) -> tuple[dict[str, float], list[Citation]]:
    """Return by how much the counters of a node's device grew, and ``ms``, the time it took."""
    entry: Mapping[str, Any] = next(
        (e for e in ctx.bundle.topology_nodes if e.get("name") == node), {}
    )
    chosen = [h for h in hosts if h.name == entry.get("host")] or (hosts if len(hosts) == 1 else [])
    grown: dict[str, float] = {}
    ends: list[Row] = []
    for host in chosen:
        known = [(row, d) for row in host.rows if (d := _device(row, entry.get("data_dir")))]
        for (row, earlier), (later_row, later) in pairwise(known):
            if later.get("name") != earlier.get("name"):
                continue
            ends = [ends[0] if ends else row, later_row]
            _add(grown, "ms", 1000 * ((later_row.time or 0.0) - (row.time or 0.0)))
            for column in later.keys() - {"name", "paths", "in_flight"}:
                a, b = number(earlier.get(column)), number(later.get(column))
                if a is not None and b is not None:
                    _add(grown, column, max(0.0, b - a))
    return grown, [ctx.bundle.cite("host.jsonl", line=row.line) for row in ends]


def _add(grown: dict[str, float], column: str, more: float) -> None:
    grown[column] = grown.get(column, 0.0) + more


def _device(row: Row, directory: object) -> dict[str, Any] | None:
    """Return the device of a directory, or the only one there is."""
    devices = row.data.get("devices")
    known = [d for d in devices if isinstance(d, dict)] if isinstance(devices, list) else []
    for device in known:
        paths = device.get("paths")
        if isinstance(paths, list) and directory in paths:
            return device
    return known[0] if len(known) == 1 else None

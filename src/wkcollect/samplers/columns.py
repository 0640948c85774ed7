"""The columns of rows whose values differ in where they come from; None is unknown."""

from __future__ import annotations

from typing import Any

RESOURCES = (
    "state", "cpu_seconds", "throttled_seconds", "throttled_periods", "periods",
    "cpu_limit_cores", "cpu_limited", "memory_bytes", "memory_limit_bytes", "net_rx_bytes",
    "net_tx_bytes", "blk_read_bytes", "blk_write_bytes", "pids", "started_at", "restart_count",
    "oom_killed", "exit_code",
)  # fmt: skip
HOST = (
    "ncpu", "cpu_total_ticks", "cpu_idle_ticks", "cpu_iowait_ticks", "cpu_steal_ticks", "load1",
    "mem_available_bytes", "mem_total_bytes", "psi_cpu_some_avg10", "psi_io_some_avg10",
    "psi_memory_some_avg10", "disks", "devices",
)  # fmt: skip


def resources_row(sample_time: str, name: str, kind: str) -> dict[str, Any]:
    """Return a row of resources.jsonl of which nothing is known yet."""
    row: dict[str, Any] = {"sample_time": sample_time, "name": name, "kind": kind}
    row.update(dict.fromkeys(RESOURCES))
    return row

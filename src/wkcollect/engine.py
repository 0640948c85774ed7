"""What the container engine says: its documents as rows, its log streams as logs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wkcollect.clock import iso, parse_iso_nanos


def stats_usage(stats: dict[str, Any]) -> dict[str, Any]:
    """Return the resources columns that a /containers/<id>/stats document holds."""
    cpu = stats.get("cpu_stats") or {}
    throttling = cpu.get("throttling_data") or {}
    memory = stats.get("memory_stats") or {}
    detail = memory.get("stats") or {}
    usage = memory.get("usage")
    if usage is not None:
        # As `docker stats` does: page cache that can be dropped is not use.
        usage -= detail.get("total_inactive_file", detail.get("inactive_file", 0)) or 0
    networks = stats.get("networks")
    blocks = (stats.get("blkio_stats") or {}).get("io_service_bytes_recursive")

    def network_bytes(key: str) -> Any:
        return None if networks is None else sum(n.get(key, 0) for n in networks.values())

    def block_bytes(operation: str) -> Any:
        if blocks is None:
            return None
        return sum(b.get("value", 0) for b in blocks if str(b.get("op", "")).lower() == operation)

    return {
        "cpu_seconds": _seconds((cpu.get("cpu_usage") or {}).get("total_usage")),
        "throttled_seconds": _seconds(throttling.get("throttled_time")),
        "throttled_periods": throttling.get("throttled_periods"),
        "periods": throttling.get("periods"),
        "memory_bytes": usage,
        "memory_limit_bytes": memory.get("limit"),
        "net_rx_bytes": network_bytes("rx_bytes"),
        "net_tx_bytes": network_bytes("tx_bytes"),
        "blk_read_bytes": block_bytes("read"),
        "blk_write_bytes": block_bytes("write"),
        "pids": (stats.get("pids_stats") or {}).get("current"),
    }


def _seconds(nanoseconds: float | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e9


def inspect_facts(document: dict[str, Any]) -> dict[str, Any]:
    """Return the resources columns that a /containers/<id>/json document holds."""
    state = document.get("State") or {}
    config = document.get("HostConfig") or {}
    nano, quota = config.get("NanoCpus") or 0, config.get("CpuQuota") or 0
    cores = None
    if nano > 0:
        cores = nano / 1e9
    elif quota > 0:
        cores = quota / float(config.get("CpuPeriod") or 100000)
    started = parse_iso_nanos(state.get("StartedAt"))
    return {
        "state": state.get("Status"),
        "cpu_limit_cores": cores,
        "cpu_limited": cores is not None,
        "started_at": iso(started) if started and started > 0 else None,
        "restart_count": document.get("RestartCount"),
        "oom_killed": state.get("OOMKilled"),
        "exit_code": state.get("ExitCode") if not state.get("Running") else None,
    }


def _human(size: float, base: float, units: Sequence[str], digits: int) -> str:
    value, unit = float(size), 0
    while value >= base and unit < len(units) - 1:
        value /= base
        unit += 1
    return f"{value:.{digits}g}{units[unit]}"


def human_decimal(size: float) -> str:
    """Return bytes as docker stats writes network and block totals (powers of 1000)."""
    return _human(size, 1000.0, ("B", "kB", "MB", "GB", "TB", "PB"), 3)


def human_binary(size: float) -> str:
    """Return bytes as docker stats writes memory (powers of 1024)."""
    return _human(size, 1024.0, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"), 4)


def docker_stats_row(
    stats: dict[str, Any], before: dict[str, Any], usage: dict[str, Any]
) -> dict[str, str]:
    """Return a row as `docker stats --format json` prints it, from two stats documents."""

    def pair(first: str, second: str) -> str:
        return f"{human_decimal(usage[first] or 0)} / {human_decimal(usage[second] or 0)}"

    memory, limit = usage["memory_bytes"] or 0, usage["memory_limit_bytes"] or 0
    short_id = str(stats.get("id", ""))[:12]
    return {
        "BlockIO": pair("blk_read_bytes", "blk_write_bytes"),
        "CPUPerc": f"{_cpu_percent(stats, before):.2f}%",
        "Container": short_id,
        "ID": short_id,
        "MemPerc": f"{memory / limit * 100 if limit else 0.0:.2f}%",
        "MemUsage": f"{human_binary(memory)} / {human_binary(limit)}",
        "Name": str(stats.get("name", "")).lstrip("/"),
        "NetIO": pair("net_rx_bytes", "net_tx_bytes"),
        "PIDs": str(usage["pids"] or 0),
    }


def _cpu_percent(stats: dict[str, Any], before: dict[str, Any]) -> float:
    new, old = stats.get("cpu_stats") or {}, before.get("cpu_stats") or {}

    def total(cpu: dict[str, Any]) -> float:
        return float((cpu.get("cpu_usage") or {}).get("total_usage", 0))

    used = total(new) - total(old)
    system = new.get("system_cpu_usage", 0) - old.get("system_cpu_usage", 0)
    if system <= 0 or used < 0:
        return 0.0
    return float(used / system * new.get("online_cpus", 1) * 100)


class Demultiplexer:
    """Takes the frames off a container's log stream (8-byte headers unless it has a TTY)."""

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._sink = sink
        self._buffer = b""
        self._left = 0
        self._plain: bool | None = None

    def feed(self, data: bytes) -> None:
        """Pass the payload of the next bytes on to the sink."""
        if self._plain is None:
            self._buffer += data
            if len(self._buffer) < 8:
                return
            data, self._buffer = self._buffer, b""
            self._plain = data[0] not in (0, 1, 2) or data[1:4] != b"\0\0\0"
        if self._plain:
            self._sink(data)
            return
        self._buffer += data
        while self._buffer:
            if self._left:
                piece = self._buffer[: self._left]
                self._sink(piece)
                self._left -= len(piece)
                self._buffer = self._buffer[len(piece) :]
            elif len(self._buffer) >= 8:
                self._left = int.from_bytes(self._buffer[4:8], "big")
                self._buffer = self._buffer[8:]
            else:
                return

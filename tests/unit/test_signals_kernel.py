"""Signals of what Linux counts: network, control groups, devices, the Go runtime's limits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_signals import NODES, P, Scenario, get, value

from wktriage.bundle.bundle import Bundle
from wktriage.core.model import SignalSet
from wktriage.judging.signals import catalogue, compute
from wktriage.judging.signals.go_limits import parse_memory_limit

SIM = "wk-sim"
NAMES = (*NODES, SIM)
ADDED = [n for n, e in catalogue().items() if e["source"] == "resources.jsonl" and "tcp" in n]


def counted(
    root: Path,
    counters: Callable[[str, int], dict[str, int]],
    namespace: Callable[[str], int] = NAMES.index,
) -> SignalSet:
    """Return the signals of a run of which the kernel's counters were sampled every 5 s."""

    def resource(name: str, second: int) -> dict[str, Any]:
        sampled = counters(name, second)
        if second % 5 or not sampled:
            return {}
        return {"kernel": {"network_namespace": namespace(name), **sampled}}

    return Scenario(root, resource=resource).signals()


def test_without_the_kernels_counters_all_is_unknown_and_says_why(tmp_path: Path) -> None:
    signals = counted(tmp_path, lambda _name, _second: {})
    assert ADDED
    for name in ADDED:
        assert value(signals, name, "wk-node1" if name.startswith("node_") else None) is None
    assert "kernel" in str(get(signals, "sim_tcp_connects_failed").why_unknown)


def test_counters_tell_of_the_window_and_of_the_one_that_differs(tmp_path: Path) -> None:
    def counters(name: str, second: int) -> dict[str, int]:
        lossy = name == "wk-node2"
        return {
            # What the start of a run loses is no business of the window.
            "tcp_timeouts": 50 + (second if lossy else 0),
            "tcp_segments_sent": 100 * second,
            "tcp_segments_retransmitted": 25 * second if lossy else 0,
            "link_tx_bytes": 1000 * second,
            "listen_overflows": 3 if lossy and second >= 70 else 0,
        }

    signals = counted(tmp_path, counters)
    assert [value(signals, "node_tcp_timeouts", n) for n in NODES] == [0, 60, 0]
    assert value(signals, "node_tcp_timeouts") == 60
    assert value(signals, "node_tcp_retransmit_ratio", "wk-node2") == pytest.approx(0.2)
    assert value(signals, "node_listen_overflows") == 3
    assert value(signals, "node_link_send_rate", "wk-node1") == 1000
    assert value(signals, "node_link_send_rate") == 3000
    assert value(signals, "node_link_receive_rate") is None


def test_a_process_that_started_anew_counts_from_nothing(tmp_path: Path) -> None:
    signals = counted(
        tmp_path, lambda _n, s: {"major_faults": 1000 + s if s < 70 else s - 70, "tcp_timeouts": 0}
    )
    # 25 until the last sample before it, 30 since.
    assert value(signals, "node_major_fault_rate", "wk-node1") == pytest.approx(55 / 60, rel=1e-5)


def test_processes_that_share_a_namespace_are_not_told_apart(tmp_path: Path) -> None:
    signals = counted(
        tmp_path,
        lambda _n, s: {"tcp_timeouts": s, "tcp_connects_failed": s, "memory_limit_hits": s},
        lambda name: 7 if name == "wk-node3" else 1,
    )
    assert [value(signals, "node_tcp_timeouts", n) for n in NODES] == [None, None, 60]
    assert "shares" in str(get(signals, "node_tcp_timeouts", "wk-node1").why_unknown)
    assert value(signals, "sim_tcp_connects_failed") is None
    assert value(signals, "node_memory_limit_hits", "wk-node1") == 60


def test_ports_and_descriptors_at_their_highest(tmp_path: Path) -> None:
    def counters(_name: str, second: int) -> dict[str, int]:
        return {
            "tcp_sockets": 20 if second == 75 else 10,
            "tcp_time_wait": 5,
            "port_range_low": 40000,
            "port_range_high": 40099,
            "open_descriptors": 90 if second == 80 else 30,
            "descriptor_limit": 100,
        }

    signals = counted(tmp_path, counters)
    assert value(signals, "sim_ports_used") == 0.25
    assert value(signals, "sim_descriptors_used") == 0.9
    assert value(signals, "node_descriptors_used", "wk-node1") == 0.9
    assert value(signals, "node_time_wait_sockets") == 5


def test_pressure_is_a_share_of_the_time(tmp_path: Path) -> None:
    signals = counted(tmp_path, lambda _n, s: {"memory_pressure_us": 250_000 * s})
    assert value(signals, "node_memory_pressure", "wk-node2") == 0.25
    assert value(signals, "sim_memory_pressure") == 0.25
    assert value(signals, "node_io_pressure") is None


def test_the_engines_bytes_tell_the_rate_of_a_link_too(tmp_path: Path) -> None:
    signals = Scenario(tmp_path, resource=lambda _n, s: {"net_rx_bytes": 5 * s}).signals()
    assert value(signals, "node_link_receive_rate", "wk-node1") == 5
    assert value(signals, "node_link_send_rate") is None


def test_hostile_counters_are_unknown(tmp_path: Path) -> None:
    rows: Any = [[1], "x", {"tcp_timeouts": "9"}, {"tcp_timeouts": True, "secret": 1}, None]
    signals = Scenario(tmp_path, resource=lambda _n, s: {"kernel": rows[s % len(rows)]}).signals()
    assert value(signals, "node_tcp_timeouts") is None


# -- devices --------------------------------------------------------------------------------------


def with_devices(root: Path, devices: Callable[[int], Any], data_dirs: bool = True) -> SignalSet:
    scenario = Scenario(root)
    scenario.build()
    rows = [json.loads(line) for line in (root / "host.jsonl").read_text().splitlines()]
    scenario.put(
        "host.jsonl", ({**row, "devices": devices(second)} for second, row in enumerate(rows))
    )
    if data_dirs:
        nodes = [{"name": n, "id": i, "data_dir": f"/d/{n}"} for i, n in enumerate(NODES)]
        scenario.put("topology.json", json.dumps({"nodes": nodes}))
    return compute(Bundle.open(root), strict=True)


def device(name: str, paths: list[str], second: int, slow: int) -> dict[str, Any]:
    return {
        "name": name, "paths": paths, "reads": 0, "read_ms": 0, "writes": 10 * second,
        "write_ms": 10 * slow * second, "busy_ms": 10 * slow * second, "in_flight": 1,
        "queued_ms": 20 * slow * second, "flushes": 5 * second, "flush_ms": 5 * slow * second,
    }  # fmt: skip


def test_each_nodes_own_device_is_measured(tmp_path: Path) -> None:
    def devices(second: int) -> list[dict[str, Any]]:
        return [
            device("sda", ["/d/wk-node1", "/d/wk-node2"], second, 2),
            device("sdb", ["/d/wk-node3"], second, 90),
        ]

    signals = with_devices(tmp_path, devices)
    times = [value(signals, "node_device_write_time", n) for n in NODES]
    assert times == [0.002, 0.002, 0.09]
    assert value(signals, "node_device_flush_time", "wk-node3") == 0.09
    assert value(signals, "node_device_utilisation", "wk-node3") == pytest.approx(0.9)
    assert value(signals, "node_device_queue", "wk-node3") == pytest.approx(1.8)
    assert value(signals, "node_device_service_time") == 0.09


def test_one_device_is_that_of_all_and_one_at_rest_has_no_time(tmp_path: Path) -> None:
    signals = with_devices(tmp_path, lambda _s: [device("sda", ["/d"], 0, 1)], data_dirs=False)
    assert value(signals, "node_device_utilisation", "wk-node1") == 0
    assert value(signals, "node_device_write_time") is None


@pytest.mark.parametrize("devices", [None, [], [3], [{"name": "a"}], {"name": "a"}])
def test_devices_that_were_not_recorded_are_unknown(tmp_path: Path, devices: Any) -> None:
    signals = with_devices(tmp_path, lambda _s: devices)
    assert value(signals, "node_device_write_time") is None


# -- the Go runtime -------------------------------------------------------------------------------


def test_a_runtime_near_its_memory_limit(tmp_path: Path) -> None:
    def scrape(node: str, when: str) -> dict[str, float]:
        return {
            "go_memstats_sys_bytes": 50 << 20,
            "go_memstats_heap_released_bytes": 10 << 20,
            "go_memstats_mcache_inuse_bytes": 64 * 1208.0,
            "go_memstats_mcache_sys_bytes": 5 * 13 * 1208.0,
            "go_gc_duration_seconds_count": 100.0 if when == "before" else 700.0,
            "go_gc_duration_seconds_sum": 1.0 if when == "before" else 7.0,
            P + "gateway_connections_active": 1,
        }

    node_env = {"inputs": {"node_env": {"GOMEMLIMIT": "50MiB"}}}
    scenario = Scenario(
        tmp_path,
        scrape=scrape,
        resource=lambda _n, _s: {"cpu_limit_cores": 0.25, "cpu_limited": True},
        files={"fingerprint.json": json.dumps(node_env)},
    )
    signals = scenario.signals()
    assert value(signals, "node_go_memory_used", "wk-node1") == pytest.approx(0.8)
    assert value(signals, "node_processors", "wk-node1") == 64
    assert value(signals, "node_processors_per_cpu") == 64


def test_a_memory_limit_is_read_from_the_compose_file_too(tmp_path: Path) -> None:
    compose = "services:\n  wk-node2:\n    environment: {GOMEMLIMIT: 100B}\n"
    scenario = Scenario(
        tmp_path,
        scrape=lambda _n, _w: {"go_memstats_sys_bytes": 80, "go_memstats_heap_released_bytes": 5},
        files={"compose-config.yml": compose},
    )
    signals = scenario.signals()
    used = [value(signals, "node_go_memory_used", n) for n in NODES]
    assert used == [None, 0.75, None]


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("40MiB", 40 << 20),
        ("1024", 1024),
        (2048, 2048),
        ("off", None),
        ("-1", None),
        ("4 GB", None),
    ],
)
def test_memory_limits_are_written_as_go_takes_them(text: object, limit: int | None) -> None:
    assert parse_memory_limit(text) == limit

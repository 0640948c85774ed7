"""What the kernel counts for a process, its network and its control group; and for devices."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from tests.unit.collectstack import Stack

from wkcollect.devices import Devices, device_of
from wkcollect.kernel import KernelCounters
from wkcollect.proc import Proc
from wktriage.core import schemas

HERE = pytest.mark.skipif(not Path("/proc/self/net/snmp").exists(), reason="needs Linux")

SNMP = "Tcp: ActiveOpens AttemptFails EstabResets OutSegs RetransSegs\nTcp: 5 1 2 900 9\n"
NETSTAT = (
    "TcpExt: ListenOverflows ListenDrops TCPTimeouts New\nTcpExt: 3 4 5 6\nIpExt: A\nIpExt: 1\n"
)
DEV = (
    "Inter-|   Receive\n face |bytes\n"
    "    lo: 9 9 9 9 0 0 0 0 9 9 9 9 0 0 0 0\n"
    "  eth0: 100 2 0 1 0 0 0 0 50 3 0 7 0 0 0 0\n"
    "  eth1:1000 20 0 0 0 0 0 0 500 30 1 0 0 0 0 0\n"
)


def fake_host(root: Path, cgroup: str, files: dict[str, str]) -> Proc:
    """Return a Proc whose process 7 and control groups are the given files below ``root``."""
    everything = {
        "proc/7/cgroup": cgroup,
        "proc/7/limits": "Limit\nMax open files            120                  4096       files\n",
        "proc/7/fd/0": "", "proc/7/fd/1": "", "proc/7/ns/net": "",
        "proc/7/stat": "7 (a) b) S " + " ".join(str(n) for n in range(1, 30)),
        "proc/7/net/snmp": SNMP, "proc/7/net/netstat": NETSTAT, "proc/7/net/dev": DEV,
        "proc/7/net/sockstat": "sockets: used 9\nTCP: inuse 12 orphan 1 tw 30 alloc 14 mem 2\n",
        **files,
    }  # fmt: skip
    for name, text in everything.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    proc = Proc()
    proc.root, proc.cgroups = str(root / "proc"), str(root / "cgroup")
    return proc


def test_counters_of_a_container_under_control_groups_of_version_1(tmp_path: Path) -> None:
    bytes_file = "254:0 Read 10\n254:0 Write 30\n254:0 Total 40\n7:1 Write 5\nTotal 45\n"
    proc = fake_host(
        tmp_path,
        "5:memory:/docker/ab12\n4:blkio:/docker/ab12\n0::/\n",
        {
            "cgroup/memory/docker/ab12/memory.failcnt": "17\n",
            "cgroup/memory/docker/ab12/memory.oom_control": "under_oom 0\noom_kill 2\n",
            "cgroup/blkio/docker/ab12/blkio.throttle.io_service_bytes": bytes_file,
        },
    )
    counters = KernelCounters(proc).sample(7, "ab12")
    assert counters is not None
    assert counters["descriptor_limit"] == 120
    assert counters["open_descriptors"] > 0
    assert counters["tcp_segments_retransmitted"] == 9
    assert counters["listen_overflows"] == 3
    assert counters["tcp_time_wait"] == 30
    assert (counters["link_rx_bytes"], counters["link_tx_bytes"]) == (1100, 550)
    assert (counters["link_rx_drops"], counters["link_tx_drops"]) == (1, 7)
    assert counters["major_faults"] == 9
    assert (counters["memory_limit_hits"], counters["memory_oom_kills"]) == (17, 2)
    assert (counters["io_read_bytes"], counters["io_write_bytes"]) == (10, 35)
    assert "cpu_pressure_us" not in counters
    row = schemas.load("resource_row")["properties"]["kernel"]["properties"]
    assert counters.keys() <= row.keys()


def test_counters_of_a_container_under_control_groups_of_version_2(tmp_path: Path) -> None:
    group = "cgroup/system.slice/docker-ab12.scope/"
    proc = fake_host(
        tmp_path,
        "0::/system.slice/docker-ab12.scope\n",
        {
            group + "memory.events": "low 0\nhigh 4\nmax 5\noom 1\noom_kill 1\n",
            group + "io.stat": "8:0 rbytes=1 wbytes=2 rios=3 wios=4\n8:16 wbytes=8 wios=6\n",
            group + "cpu.pressure": "some avg10=1.00 avg60=0 avg300=0 total=77\nfull total=1\n",
        },
    )
    counters = KernelCounters(proc).sample(7, "ab12")
    assert counters is not None
    assert [counters[f"memory_{k}"] for k in ("high_hits", "limit_hits", "oom_kills")] == [4, 5, 1]
    assert (counters["io_write_bytes"], counters["io_writes"]) == (10, 10)
    assert counters["cpu_pressure_us"] == 77
    assert "io_pressure_us" not in counters


def test_what_is_damaged_costs_itself_and_no_other(tmp_path: Path) -> None:
    files = {
        "proc/7/stat": "7 (a",
        "proc/7/net/snmp": "Tcp: A\n",
        "proc/7/net/dev": "a\nb\neth0: x",
    }
    counters = KernelCounters(fake_host(tmp_path, "0::/\n", files)).sample(7)
    assert counters is not None
    assert counters["descriptor_limit"] == 120
    assert not any(k.startswith(("link_", "tcp_segments", "major")) for k in counters)


def test_a_process_of_another_machine_with_that_pid_is_not_taken(tmp_path: Path) -> None:
    proc = fake_host(tmp_path, "0::/user.slice\n", {})
    assert KernelCounters(proc).sample(7, "ab12") is None
    assert KernelCounters(proc).sample(8, "ab12") is None
    assert KernelCounters(Proc(hidden=True)).sample(os.getpid()) is None


@HERE
def test_counters_of_a_real_process() -> None:
    counters = KernelCounters(Proc())
    first = counters.sample(os.getpid())
    with socket.create_server(("127.0.0.1", 0)) as server:
        clients = [socket.create_connection(server.getsockname()) for _ in range(5)]
        second = counters.sample(os.getpid())
    for client in clients:
        client.close()
    assert first is not None
    assert second is not None
    assert second["open_descriptors"] - first["open_descriptors"] == 6
    assert second["tcp_connects"] - first["tcp_connects"] >= 5
    assert second["port_range_low"] < second["port_range_high"]


@HERE
def test_rows_hold_what_the_kernel_counts(stack: Stack) -> None:
    stack.spec["nodes"][0]["data_dir"] = str(Path(__file__).parent)
    stack.sim.run()
    stack.start()
    stack.finish()
    rows = [r for r in stack.rows("resources.jsonl") if r["name"] == "wk-node1"]
    sampled = [r["kernel"] for r in rows if "kernel" in r]
    assert 1 <= len(sampled) < len(rows)
    assert sampled[-1]["open_descriptors"] > 0
    assert schemas.check_rows(stack.evidence / "resources.jsonl", "resource_row") is None
    assert schemas.check_rows(stack.evidence / "host.jsonl", "host_row") is None


def test_devices_are_those_under_the_directories(tmp_path: Path) -> None:
    (tmp_path / "diskstats").write_text(
        " 8 0 sda 10 0 20 30 40 0 50 60 0 70 80 0 0 0 0 90 100\n 8 16 sdb 1 0 2 3 4 0 5 6 0 7 8\n"
    )
    proc = Proc()
    proc.root = str(tmp_path)
    devices = Devices(proc, [])
    assert devices.sample() is None
    devices._paths = {"sda": ["/data"], "sdb": ["/other"]}
    assert devices.sample() == [
        {"name": "sda", "paths": ["/data"], "reads": 10, "read_bytes": 10240, "read_ms": 30,
         "writes": 40, "write_bytes": 25600, "write_ms": 60, "in_flight": 0, "busy_ms": 70,
         "queued_ms": 80, "flushes": 90, "flush_ms": 100},
        {"name": "sdb", "paths": ["/other"], "reads": 1, "read_bytes": 1024, "read_ms": 3,
         "writes": 4, "write_bytes": 2560, "write_ms": 6, "in_flight": 0, "busy_ms": 7,
         "queued_ms": 8, "flushes": None, "flush_ms": None},
    ]  # fmt: skip


def test_a_directory_without_a_device_has_none() -> None:
    assert device_of("/proc") is None
    assert device_of("/no/such/place") is None

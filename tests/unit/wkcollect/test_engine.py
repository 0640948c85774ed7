"""What is read from the container engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.standin import serving
from tests.unit.collectstack import Stack

from wkcollect import limits
from wkcollect.engine import Demultiplexer


def stats(cpu: int) -> dict[str, Any]:
    return {
        "id": "0123456789abcdef", "name": "/p-wk-node1-1",
        "cpu_stats": {"cpu_usage": {"total_usage": cpu}, "system_cpu_usage": cpu * 8,
                      "online_cpus": 2, "throttling_data": {"periods": 4, "throttled_periods": 1,
                                                           "throttled_time": 500_000_000}},
        "memory_stats": {"usage": 3 << 20, "limit": 1 << 30,
                         "stats": {"total_inactive_file": 1 << 20}},
        "networks": {"eth0": {"rx_bytes": 1234, "tx_bytes": 10}},
        "blkio_stats": {"io_service_bytes_recursive": [{"op": "Read", "value": 7},
                                                       {"op": "Write", "value": 9}]},
        "pids_stats": {"current": 12},
    }  # fmt: skip


def engine_answers(name: str) -> dict[str, Any]:
    ticks = iter(range(1, 1000))
    log = b"2026-01-02T00:00:00.000000000Z hello\n"
    return {
        "/containers/json": [{"Names": ["/" + name], "State": "running"}],
        f"/containers/{name}/json": {
            "State": {"Status": "running", "Running": True, "OOMKilled": False, "ExitCode": 0,
                      "StartedAt": "2026-01-01T00:00:00.123456789Z"},
            "RestartCount": 2, "HostConfig": {"CpuQuota": 50_000, "CpuPeriod": 100_000},
        },
        f"/containers/{name}/stats": lambda _full: stats(next(ticks) * 10**9),
        f"/containers/{name}/logs": b"\x01\0\0\0" + len(log).to_bytes(4, "big") + log,
        "/events": json.dumps(
            {"Action": "pause", "timeNano": 1_767_225_600_500_000_000,
             "Actor": {"Attributes": {"name": name, "image": "i", "label": "no"}}}
        ).encode() + b"\n",
    }  # fmt: skip


def test_containers_are_read_from_the_engine(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DOCKER_STATS_INTERVAL", 0.3)
    name = "p-wk-node1-1"
    with serving(engine_answers(name), tmp_path / "e.sock"):
        stack.spec["docker_socket"] = str(tmp_path / "e.sock")
        stack.spec["nodes"][0]["handle"] = {"kind": "container", "id": None, "name": name}
        stack.sim.run()
        stack.start()
        assert stack.finish()["valid"] is True
    row = [r for r in stack.rows("resources.jsonl") if r["name"] == "wk-node1"][-1]
    assert row["state"] == "running"
    assert row["cpu_limit_cores"] == 0.5
    assert row["cpu_limited"] is True
    assert row["throttled_seconds"] == 0.5
    assert row["memory_bytes"] == 2 << 20
    assert (row["net_rx_bytes"], row["blk_write_bytes"], row["pids"]) == (1234, 9, 12)
    assert row["started_at"] == "2026-01-01T00:00:00.123Z"
    table = stack.rows("docker-stats.jsonl")
    assert table[0]["CPUPerc"] == "25.00%"
    assert table[0]["MemUsage"] == "2MiB / 1GiB"
    assert table[0]["NetIO"] == "1.23kB / 10B"
    assert table[0]["ID"] == "0123456789ab"
    (event,) = stack.rows("events.jsonl")
    assert event == {
        "time": "2026-01-01T00:00:00.500Z", "name": "wk-node1", "action": "pause",
        "attributes": {"image": "i", "name": name},
    }  # fmt: skip
    log = (stack.evidence / "logs/compose/wk-node1.log").read_text()
    assert log == "2026-01-02T00:00:00.000000000Z hello\n"


def test_without_an_engine_the_run_goes_on(stack: Stack) -> None:
    stack.spec["nodes"][0]["handle"] = {"kind": "container", "id": "x", "name": "x"}
    stack.sim.run()
    stack.start()
    assert stack.finish()["valid"] is True
    rows = [r for r in stack.rows("resources.jsonl") if r["name"] == "wk-node1"]
    assert {r["cpu_seconds"] for r in rows} == {None}
    assert {r["state"] for r in rows} == {None}
    assert (stack.evidence / "logs/compose/wk-node1.log.err").exists()


def test_terminal_logs_are_taken_as_they_are() -> None:
    got: list[bytes] = []
    frames = Demultiplexer(got.append)
    for piece in (b"plain", b" text\n"):
        frames.feed(piece)
    assert b"".join(got) == b"plain text\n"


def test_frames_split_anywhere_are_put_together() -> None:
    frame = b"\x02\0\0\0\0\0\0\x05hello" + b"\x01\0\0\0\0\0\0\x03abc"
    for size in (1, 3, 8, 100):
        got: list[bytes] = []
        frames = Demultiplexer(got.append)
        for at in range(0, len(frame), size):
            frames.feed(frame[at : at + size])
        assert b"".join(got) == b"helloabc"

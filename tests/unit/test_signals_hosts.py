"""Signals of single hosts: foreign load, the worst one's name, lost hosts, clocks that were set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_signals import NODES, Scenario, at

from wktriage.bundle.bundle import Bundle
from wktriage.bundle.host_evidence import fell_silent
from wktriage.core.model import SignalSet
from wktriage.core.times import parse_time
from wktriage.judging.signals import compute
from wktriage.judging.verdict import judge

IDLE = {"h1": 150.0, "h2": 20.0, "h3": 180.0}
"""Idle ticks a second of each host's two CPUs, 200 ticks a second."""

HEARD = "2026-01-01T00:00:50.000Z"


def spread(root: Path, *, rows: bool = True, **more: Any) -> Scenario:
    """Return a scenario with a node on each of three hosts, the simulator on the third."""
    scenario = Scenario(root, cpu=lambda n, s: 0.1 * s, **more)
    scenario.build()
    nodes = [
        {"name": n, "id": i, "host": f"h{i}"} for i, n in enumerate(NODES, 1)
    ]  # fmt: skip
    (root / "topology.json").write_text(
        json.dumps({"nodes": nodes, "sim": {"name": "wk-sim", "host": "h3"}})
    )
    if rows:
        with (root / "host.jsonl").open("w") as out:
            for s in range(101):
                for host, idle in IDLE.items():
                    row = {
                        "sample_time": at(s), "host": host, "ncpu": 2,
                        "cpu_total_ticks": 200 * s, "cpu_idle_ticks": idle * s,
                        "cpu_iowait_ticks": 0, "collector_cpu_seconds": 0.0,
                        "disks": [{"free_bytes": 30 if host == "h1" else 90, "total_bytes": 100}],
                    }  # fmt: skip
                    out.write(json.dumps(row) + "\n")
    return scenario


def signals(root: Path) -> SignalSet:
    return compute(Bundle.open(root), strict=True)


def test_foreign_load_is_that_of_the_host_that_has_most(tmp_path: Path) -> None:
    spread(tmp_path)
    found = signals(tmp_path)
    # h2: 1.8 of 2 cores are busy, its node takes 0.1.
    assert found.value("foreign_cpu_cores") == pytest.approx(1.7)
    assert found.value("foreign_cpu_of_host") == pytest.approx(0.85)
    assert found.value("busiest_host") == "h2"
    assert found.value("fullest_disk_host") == "h1"
    # h3 has a node and the simulator.
    assert found.value("containers_cpu_of_host") == pytest.approx(0.1)


def test_a_host_that_cannot_tell_leaves_foreign_load_unknown(tmp_path: Path) -> None:
    spread(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "resources.jsonl").read_text().splitlines()]
    kept = [row for row in rows if row["name"] != NODES[0]]
    (tmp_path / "resources.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    found = signals(tmp_path)
    assert found.value("foreign_cpu_of_host") is None
    assert found.value("containers_cpu_of_host") == pytest.approx(0.1)


def test_one_host_needs_no_name(tmp_path: Path) -> None:
    found = Scenario(tmp_path).signals()
    for name in ("busiest_host", "fullest_disk_host"):
        assert found.value(name) is None
        signal = found.get(name)
        assert signal is not None
        assert signal.why_unknown == "there is one host"


def test_a_lost_host_is_named_in_the_verdict(tmp_path: Path) -> None:
    spread(tmp_path)
    collectors = [
        {"name": "collector", "host": "h1", "status": "ok", "error": None},
        {"name": "collector", "host": "h2", "status": "failed", "error": "nothing fetched"},
    ]
    (tmp_path / "manifest.json").write_text(json.dumps({"collectors": collectors, "files": []}))
    assert signals(tmp_path).value("hosts_lost") == "h2"
    first = judge(Bundle.open(tmp_path))["unknown"][0]
    assert (first["signal"], first["what"]) == ("hosts_lost", "what happened on h2")


def test_a_host_that_fell_silent_takes_its_nodes_with_it(tmp_path: Path) -> None:
    spread(tmp_path)
    silent = f"nothing could be fetched from this host: {fell_silent(parse_time(HEARD) or 0)}"
    collectors = [
        {"name": "collector", "host": "h1", "status": "failed", "error": "unpacked to nothing"},
        {"name": "collector", "host": "h2", "status": "failed", "error": silent},
    ]
    (tmp_path / "manifest.json").write_text(json.dumps({"collectors": collectors, "files": []}))
    found = signals(tmp_path)
    assert found.value("hosts_silent") == f"h2 (last heard {HEARD})"
    on_h2 = [node for node in NODES if found.value("node_host_silent", node)]
    assert 0 < len(on_h2) < len(NODES)
    signal = found.get("node_host_silent", on_h2[0])
    assert signal is not None
    assert signal.since == HEARD


def test_no_host_is_lost(tmp_path: Path) -> None:
    spread(tmp_path)
    collectors = [{"name": "collector", "host": "h1", "status": "partial", "error": None}]
    (tmp_path / "manifest.json").write_text(json.dumps({"collectors": collectors, "files": []}))
    assert signals(tmp_path).value("hosts_lost") == "none"
    assert all(row["signal"] != "hosts_lost" for row in judge(Bundle.open(tmp_path))["unknown"])


@pytest.mark.parametrize(
    ("steps", "size", "host"),
    [((0.0, -90.0, 0.2), 90.0, "h2"), ((0.0, 0.0, 0.0), 0.0, "none"), ((None,), None, None)],
)
def test_a_clock_that_was_set(
    tmp_path: Path, steps: tuple[float | None, ...], size: float | None, host: str | None
) -> None:
    spread(tmp_path)
    hosts = [{"host": f"h{n}", "step_s": step} for n, step in enumerate(steps, 1)]
    (tmp_path / "clocks.json").write_text(json.dumps({"schema_version": 1, "hosts": hosts}))
    found = signals(tmp_path)
    assert found.value("clock_step") == size
    assert found.value("clock_step_host") == host
    said = [row for row in judge(Bundle.open(tmp_path))["unknown"] if row["signal"] == "clock_step"]
    assert len(said) == (1 if size else 0)
    if said:
        assert "h2 logged" in said[0]["what"]


@pytest.mark.parametrize("seconds", [0, 5])
def test_profiles_in_the_window_are_said(tmp_path: Path, seconds: int) -> None:
    spread(tmp_path)
    window = json.loads((tmp_path / "window.json").read_text())
    profile: dict[str, Any] = {"start": at(60), "end": at(65), "fenced": True, "fence_reason": None}
    if seconds:
        profile["onset"] = {"at": at(60), "reason": "send_errors rose", "seconds": seconds}
    (tmp_path / "window.json").write_text(json.dumps({**window, "profile": profile}))
    assert signals(tmp_path).value("profiled_in_window_seconds") == seconds
    rows = judge(Bundle.open(tmp_path))["unknown"]
    said = [row for row in rows if row["signal"] == "profiled_in_window_seconds"]
    assert len(said) == bool(seconds)

"""What was chosen, what was observed, and the CPU that something else used."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from wktriage.bundle import fingerprint
from wktriage.bundle.files import EvidenceFiles

TOPOLOGY: dict[str, Any] = {"driver": "compose", "nodes": [{"host": "here"}]}
RUN: dict[str, Any] = {
    "scenario": "custom", "mode": "clean", "mode_measured": "accumulated", "profile_seconds": 10,
    "workload": {"users": 4, "person_channels": 1, "group_channels": 0, "group_members": 2,
                 "rate": "1/s", "concurrency": 8, "warmup": "10s", "verify_recv": "none",
                 "uid_prefix": "t1-u", "scenario": "custom"},
    "node_env": {"WK_LOG_FORMAT": "json"}, "node_config_sha256": "c", "image": "i:1",
    "git_revision": "r", "git_diff_sha256": "d", "hosts": ["here"], "connect_rate": None,
    "image_digest": "sha256:1", "data_bytes_at_start": 5,
}  # fmt: skip


def stamp(second: int) -> str:
    return f"2026-01-01T00:00:{second:02d}.000Z"


def bundle(root: Path, *, node_cpu: list[float], busy: float = 1.0) -> Path:
    """Ten seconds of a host of two cores, ``busy`` cores busy, one node and a collector."""
    (root / "window.json").write_text(json.dumps({"start": stamp(10), "end": stamp(20)}))
    hosts, nodes = [], []
    for index, second in enumerate(range(10, 21)):
        hosts.append(
            {"sample_time": stamp(second), "host": "here", "ncpu": 2,
             "cpu_total_ticks": 200 * index, "cpu_idle_ticks": (200 - 100 * busy) * index,
             "cpu_iowait_ticks": 0, "collector_cpu_seconds": 0.02 * index,
             "disks": [{"path": "/a", "free_bytes": 9}, {"path": "/b", "free_bytes": 7}]}
        )  # fmt: skip
        nodes.append(
            {"sample_time": stamp(second), "name": "wk-node1", "cpu_seconds": node_cpu[index]}
        )
    before = {**nodes[0], "sample_time": stamp(1), "cpu_seconds": 0.0}
    (root / "host.jsonl").write_text("".join(json.dumps(r) + "\n" for r in hosts))
    (root / "resources.jsonl").write_text(
        "".join(json.dumps(r) + "\n" for r in [before, *nodes]) + "torn {"
    )
    return root


def foreign_cpu(root: Path) -> float | None:
    files = EvidenceFiles(root)
    files.list_files()
    return fingerprint.foreign_cpu(files)


def test_three_parts_and_measured_mode(tmp_path: Path) -> None:
    root = bundle(tmp_path, node_cpu=[0.25 * n for n in range(11)])
    facts = {"here": {"kernel": "Linux 6", "cpu_model": "m", "ncpu": 2, "boot_id": "b"}}
    made = fingerprint.build(RUN, TOPOLOGY, root, facts)
    assert made["inputs"]["mode"] == "accumulated"
    assert made["inputs"]["profiled"] == "after"
    assert "uid_prefix" not in made["inputs"]["workload"]
    assert made["derived"] == {"image_digest": "sha256:1"}
    assert made["observed"]["disk_free_bytes"] == 7
    assert made["observed"]["boot_id"] == "b"
    # One core busy; 0.25 of it the node's, 0.02 the collector's.
    assert made["observed"]["foreign_cpu"] == pytest.approx(0.73)


@pytest.mark.parametrize(
    ("asked", "profiled"),
    [
        ({"profile": "onset"}, "onset"),
        ({"profile": "after"}, "after"),
        ({"profile": "onset", "profile_seconds": 0}, "none"),
        ({"profile_seconds": None}, None),
    ],
)
def test_it_says_when_profiles_were_asked_for(
    tmp_path: Path, asked: dict[str, Any], profiled: str | None
) -> None:
    root = bundle(tmp_path, node_cpu=[0.0] * 11)
    made = fingerprint.build({**RUN, **asked}, TOPOLOGY, root, {})
    assert made["inputs"]["profiled"] == profiled


def test_bundles_that_only_say_whether_they_were_profiled_are_compared_all_the_same() -> None:
    def with_profiles(value: object) -> dict[str, Any]:
        return {"inputs": {"profiled": value}}

    assert fingerprint.compare(with_profiles(True), with_profiles("after")) == []
    assert fingerprint.compare(with_profiles(False), with_profiles("none")) == []
    assert fingerprint.compare(with_profiles(True), with_profiles("onset")) == ["profiled"]


def test_counter_that_fell_is_a_restart(tmp_path: Path) -> None:
    cpu = [100 + 0.25 * n for n in range(6)] + [0.25 * n for n in range(1, 6)]
    root = bundle(tmp_path, node_cpu=cpu)
    assert foreign_cpu(root) == pytest.approx(0.73)


def test_unknown_stays_unknown(tmp_path: Path) -> None:
    assert foreign_cpu(tmp_path) is None
    root = bundle(tmp_path, node_cpu=[0.0] * 11)
    (root / "resources.jsonl").unlink()
    assert foreign_cpu(root) is None
    made = fingerprint.build({**RUN, "profile_seconds": None}, TOPOLOGY, root, {})
    assert made["observed"]["kernel"] is None
    assert made["inputs"]["profiled"] is None


def test_replay_shows_what_was_observed_then(tmp_path: Path) -> None:
    recorded = {"observed": {"kernel": "Linux 5", "foreign_cpu": 0.5, "boot_id": "then"}}
    made = fingerprint.build(
        RUN, {**TOPOLOGY, "driver": "replay"}, tmp_path, {"here": {"kernel": "now"}}, recorded
    )
    assert made["observed"]["kernel"] == "Linux 5"
    assert made["observed"]["foreign_cpu"] == 0.5
    assert made["observed"]["boot_id"] is None
    assert made["inputs"]["driver"] == "replay"


def test_compare_names_each_input_that_differs(tmp_path: Path) -> None:
    one = fingerprint.build(RUN, TOPOLOGY, tmp_path, {})
    other = copy.deepcopy(one)
    assert fingerprint.compare(one, other) == []
    other["inputs"]["workload"]["rate"] = "2/s"
    other["inputs"]["node_env"]["WK_X"] = "1"
    other["observed"]["kernel"] = "other"
    assert fingerprint.compare(one, other) == ["node_env.WK_X", "workload.rate"]


def test_unknown_inputs_are_not_equal(tmp_path: Path) -> None:
    one = fingerprint.build({**RUN, "git_diff_sha256": None}, TOPOLOGY, tmp_path, {})
    assert fingerprint.compare(one, copy.deepcopy(one)) == ["git_diff_sha256"]

"""Runs that nobody finishes: their evidence is kept, said to be interrupted, and judged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_topology import sample

from wktriage.bundle import assembly
from wktriage.core.errors import InfraError
from wktriage.run import interruption, recovery
from wktriage.run.baseline import Twin
from wktriage.run.record import RunPaths, begin, end, mark, note_interruption

RUN: dict[str, Any] = {
    "schema_version": 1,
    "bundle_id": "20260101T000000Z-custom-abcd",
    "scenario": "custom",
    "mode": "clean",
    "driver": "compose",
    "purpose": "target",
    "project": "wktriage-unit-test",
    "duration": 15,
    "profile_seconds": 0,
    "connect_rate": None,
    "workload": {
        "scenario": "custom",
        "users": 40,
        "person_channels": 10,
        "group_channels": 3,
        "group_members": 10,
        "rate": "0.25/s",
        "concurrency": 128,
        "warmup": "10s",
        "verify_recv": "none",
        "uid_prefix": "t1-u",
        "connect_rate": None,
    },
    "node_env": {},
    "boot_id": "b",
    "wall": {},
}
FAILED = {
    "category": "send_path",
    "component": "node_process",
    "nodes": ["wk-node2"],
    "confidence": 0.9,
    "reasons": [{"text": "it does not answer"}],
}


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path / "runs", str(RUN["bundle_id"]))


@pytest.fixture(autouse=True)
def no_docker(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    removed: list[str] = []

    def remove(_docker: object, project: str) -> bool:
        removed.append(project)
        return True

    monkeypatch.setattr("wktriage.stack.compose.driver.remove", remove)
    return removed


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_an_interrupted_run_becomes_a_judged_bundle(paths: RunPaths, no_docker: list[str]) -> None:
    begin(paths, RUN, pid=dead_pid())
    sample().write(paths.topology_file)
    assert recovery.finalise_all(paths.runs_dir) == [paths.bundle]
    manifest = json.loads((paths.bundle / "manifest.json").read_text())
    # The collector had not begun either, and that is said as well.
    assert manifest["interrupted"].split("; ")[0] == recovery.CONTROLLER_GONE
    assert manifest["complete"] is False
    verdict = json.loads((paths.bundle / "verdict.json").read_text())
    assert verdict["category"] == "insufficient_evidence"
    assert no_docker == ["wktriage-unit-test"]
    assert not paths.work.exists()
    assert recovery.finalise_all(paths.runs_dir) == []


def test_what_a_killed_process_had_half_put_together_goes(paths: RunPaths) -> None:
    begin(paths, RUN, pid=dead_pid())
    sample().write(paths.topology_file)
    half = paths.runs_dir / f"{assembly.scratch_prefix(paths.bundle)}x" / "hosts"
    other = paths.runs_dir / ".assemble-another-run-x"
    for folder in (half, other):
        folder.mkdir(parents=True)
    recovery.finalise_all(paths.runs_dir)
    assert not half.parent.exists()
    assert other.is_dir()


def test_a_run_that_its_user_ended_says_so_in_its_summary(paths: RunPaths) -> None:
    begin(paths, RUN, pid=dead_pid())
    sample().write(paths.topology_file)
    assert note_interruption(paths, interruption.BY_USER)
    recovery.finalise_all(paths.runs_dir)
    manifest = json.loads((paths.bundle / "manifest.json").read_text())
    assert manifest["interrupted"].split("; ")[0] == interruption.BY_USER
    summary = (paths.bundle / "summary.md").read_text()
    assert "did not reach the end of its window: interrupted by the user" in summary
    assert "disturbed from outside" not in summary


def test_there_is_no_mark_to_note_an_interruption_in_after_a_run(paths: RunPaths) -> None:
    assert note_interruption(paths, interruption.BY_USER) is False


def test_a_run_that_had_created_nothing_leaves_nothing(paths: RunPaths) -> None:
    begin(paths, RUN, pid=dead_pid())
    recovery.finalise_all(paths.runs_dir)
    assert not paths.bundle.exists()
    assert not paths.pending_file.exists()


def test_a_running_run_is_left_alone(paths: RunPaths) -> None:
    begin(paths, RUN, pid=os.getpid())
    sample().write(paths.topology_file)
    assert recovery.finalise_all(paths.runs_dir) == []
    assert paths.pending_file.exists()


def test_a_run_on_other_machines_waits_for_a_command_that_can_ask_them(paths: RunPaths) -> None:
    begin(paths, RUN, pid=dead_pid(), remote=["here", "there"])
    sample().write(paths.topology_file)
    assert note_interruption(paths, interruption.BY_USER)
    assert recovery.finalise_all(paths.runs_dir) == []
    assert recovery.finalise_all(paths.runs_dir, asked=["elsewhere"]) == []
    assert recovery.to_fetch(paths.runs_dir, ["elsewhere"]) == []
    (run,) = recovery.to_fetch(paths.runs_dir, ["there", "elsewhere"])
    assert run["paths"]["collector"] == str(paths.collector)
    assert run["stack"] == {"driver": "compose", "project": "wktriage-unit-test"}
    assert run["reason"] == interruption.BY_USER
    assert recovery.finalise_all(paths.runs_dir, asked=["there"]) == [paths.bundle]
    assert recovery.to_fetch(paths.runs_dir, ["there"]) == []


def test_no_runs_directory_is_nothing_to_do(tmp_path: Path) -> None:
    assert recovery.finalise_all(tmp_path / "none") == []


def test_a_refused_run_points_at_its_baseline(
    paths: RunPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    baseline = tmp_path / "20260101T000000Z-smoke-default-beef"
    baseline.mkdir()
    sample().write(baseline / "topology.json")
    (baseline / "manifest.json").write_text(json.dumps({"created": "2026-01-01T00:00:00.000Z"}))
    monkeypatch.setattr(recovery, "verdict_of", lambda _b: FAILED)
    bundle = recovery.refuse(paths, RUN, baseline, pid=os.getpid())
    reference = json.loads((bundle / "references" / "baseline.json").read_text())
    assert reference["bundle_id"] == baseline.name
    assert reference["healthy"] is False
    assert reference["nodes"] == ["wk-node2"]
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert "refused by baseline" in manifest["interrupted"]
    assert not paths.pending_file.exists()
    monkeypatch.undo()
    assert recovery.verdict_of(bundle)["category"] == "baseline_health"


@pytest.mark.parametrize(
    ("change", "searched"),
    [({"mode_measured": "accumulated"}, True), ({"mode_measured": "clean"}, False), ({}, False)],
)
def test_only_a_run_that_stood_on_old_data_has_a_twin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], searched: bool
) -> None:
    seen: list[Any] = []

    def find(runs_dir: Path, inputs: Any, image: str, **_more: Any) -> Twin:
        seen.append((runs_dir, inputs["mode"], image))
        return Twin({"passed": True})

    monkeypatch.setattr(recovery, "find_twin", find)
    run_file, topology_file = tmp_path / "run.json", tmp_path / "topology.json"
    run_file.write_text(json.dumps({**RUN, "image_digest": "sha256:a", **change}))
    sample().write(topology_file)
    found = recovery.refer_twin(tmp_path, run_file, topology_file)
    if searched:
        assert json.loads(found["clean-twin"].read_text()) == {"passed": True}
        assert seen == [(tmp_path, "accumulated", "sha256:a")]
    else:
        assert (found, seen) == ({}, [])


def test_a_replay_looks_for_no_twin(tmp_path: Path) -> None:
    run_file, topology_file = tmp_path / "run.json", tmp_path / "topology.json"
    run_file.write_text(json.dumps({**RUN, "mode_measured": "accumulated"}))
    topology_file.write_text(json.dumps({"driver": "replay", "nodes": []}))
    assert recovery.refer_twin(tmp_path, run_file, topology_file) == {}


def test_the_guard_finishes_when_the_controller_is_gone(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    begin(paths, RUN, pid=controller.pid)
    asked: list[Path] = []

    def finalise(runs_dir: Path) -> list[Path]:
        asked.append(runs_dir)
        return []

    def end(_seconds: float) -> None:
        controller.kill()
        controller.communicate()

    monkeypatch.setattr(recovery, "finalise_all", finalise)
    monkeypatch.setattr(recovery.time, "sleep", end)
    recovery.watch(paths, controller.pid)
    assert asked == [paths.runs_dir]


def test_the_guard_ends_with_the_run(paths: RunPaths) -> None:
    begin(paths, RUN, pid=os.getpid())
    end(paths)
    recovery.watch(paths, os.getpid())


def test_a_bundle_that_cannot_be_made_keeps_no_stack_running(
    paths: RunPaths, no_docker: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(paths, RUN, pid=dead_pid())
    sample().write(paths.topology_file)

    def full(*_: Any, **__: Any) -> None:
        raise InfraError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(recovery, "assemble_interrupted", full)
        with pytest.raises(InfraError):
            recovery.finalise_all(paths.runs_dir)
    assert no_docker == ["wktriage-unit-test"]
    assert paths.pending_file.exists()
    assert recovery.finalise_all(paths.runs_dir) == [paths.bundle]


def test_why_a_task_failed_is_the_reason_and_not_the_controller(paths: RunPaths) -> None:
    begin(paths, RUN, pid=dead_pid())
    sample().write(paths.topology_file)
    mark(paths, "failed", failed={"task": "Make the bundle", "message": "No space left on device"})
    recovery.finalise_all(paths.runs_dir)
    manifest = json.loads((paths.bundle / "manifest.json").read_text())
    assert manifest["interrupted"].startswith(
        "task 'Make the bundle' failed: No space left on device"
    )
    assert recovery.CONTROLLER_GONE not in manifest["interrupted"]


def test_what_was_half_created_is_taken_down(paths: RunPaths, no_docker: list[str]) -> None:
    begin(paths, RUN, pid=dead_pid())
    recovery.finalise_all(paths.runs_dir)
    assert no_docker == ["wktriage-unit-test"]


def test_the_guard_ends_a_controller_that_hangs_after_its_interruption(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ignores what asks it to end, as a task does that was just being started.
    script = "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); input()"
    controller = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE)
    begin(paths, RUN, pid=controller.pid)
    note_interruption(paths, interruption.BY_USER)
    monkeypatch.setattr(recovery, "HUNG_SECONDS", 0.0)
    monkeypatch.setattr(recovery, "WATCH_SECONDS", 0.05)
    recovery.watch(paths, controller.pid)
    controller.communicate()
    assert controller.returncode == -signal.SIGKILL
    assert not paths.pending_file.exists()

"""The record of a run: pending until it is closed, found when its controller is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wktriage import runstate
from wktriage.core.errors import UsageError

RUN = {"schema_version": 1, "driver": "compose", "project": "wktriage", "wall": {}}


@pytest.fixture
def paths(tmp_path: Path) -> runstate.RunPaths:
    return runstate.RunPaths(tmp_path / "runs", "20260101T000000Z-custom-abcd")


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_living_run_is_not_interrupted(paths: runstate.RunPaths) -> None:
    runstate.begin(paths, RUN, pid=os.getpid())
    assert runstate.interrupted(paths.runs_dir) == []
    pending = json.loads(paths.pending_file.read_text())
    assert pending["collector_dir"] == str(paths.collector)


def test_a_dead_one_is_and_keeps_its_files(paths: runstate.RunPaths) -> None:
    runstate.begin(paths, RUN, pid=dead_pid())
    assert runstate.interrupted(paths.runs_dir) == [paths]
    assert paths.run_file.exists()


def test_a_torn_mark_still_names_its_run(paths: runstate.RunPaths) -> None:
    runstate.begin(paths, RUN, pid=os.getpid())
    paths.pending_file.write_text("{")
    assert runstate.interrupted(paths.runs_dir) == [paths]


def test_closing_leaves_the_bundle_only(paths: runstate.RunPaths) -> None:
    runstate.begin(paths, RUN, pid=os.getpid())
    (paths.bundle / "status.jsonl").write_text("")
    runstate.end(paths)
    assert not paths.work.exists()
    assert runstate.interrupted(paths.runs_dir) == []
    assert (paths.bundle / "status.jsonl").exists()


def test_a_bundle_is_written_once(paths: runstate.RunPaths) -> None:
    runstate.begin(paths, RUN, pid=os.getpid())
    with pytest.raises(UsageError, match="written once"):
        runstate.begin(paths, RUN, pid=os.getpid())


def test_phases_add_up_and_outlive_the_run(paths: runstate.RunPaths) -> None:
    runstate.begin(paths, RUN, pid=os.getpid(), since="2026-01-01T00:00:00.000Z")
    runstate.mark(paths, "up")
    wall = runstate.mark(paths, "watch")
    assert wall["preflight"] > 1000
    assert wall["total"] == pytest.approx(wall["preflight"] + wall["up"] + wall["watch"])
    runstate.end(paths)
    assert runstate.mark(paths, "judge")["judge"] >= 0


def test_a_mark_takes_over_what_the_driver_found(paths: runstate.RunPaths) -> None:
    runstate.begin(paths, RUN, pid=os.getpid())
    (paths.work / "stack.json").write_text(json.dumps({"image_digest": "sha256:a"}))
    runstate.mark(paths, "create", failed={"task": "t", "message": "m" * 9999})
    run = json.loads(paths.run_file.read_text())
    assert run["image_digest"] == "sha256:a"
    assert run["wall"]["create"] >= 0
    assert len(run["failed"]["message"]) == 2000


def test_times_are_utc_with_milliseconds() -> None:
    now = runstate.utc_now()
    assert len(now) == len("2026-01-01T00:00:00.000Z")
    assert now.endswith("Z")

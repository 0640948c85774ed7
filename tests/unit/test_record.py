"""The record of a run: pending until it is closed, found when its controller is gone."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wktriage.core.errors import InfraError, UsageError
from wktriage.core.times import utc_now
from wktriage.run.record import (
    RunPaths,
    begin,
    end,
    interrupted,
    mark,
    note_interruption,
    why_unfinished,
)

RUN = {"schema_version": 1, "driver": "compose", "project": "wktriage", "wall": {}}


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path / "runs", "20260101T000000Z-custom-abcd")


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_living_run_is_not_interrupted(paths: RunPaths) -> None:
    begin(paths, RUN, pid=os.getpid())
    assert interrupted(paths.runs_dir) == []
    pending = json.loads(paths.pending_file.read_text())
    assert pending["collector_dir"] == str(paths.collector)


def test_a_dead_one_is_and_keeps_its_files(paths: RunPaths) -> None:
    begin(paths, RUN, pid=dead_pid())
    assert interrupted(paths.runs_dir) == [paths]
    assert paths.run_file.exists()


def test_a_torn_mark_still_names_its_run(paths: RunPaths) -> None:
    begin(paths, RUN, pid=os.getpid())
    paths.pending_file.write_text("{")
    assert interrupted(paths.runs_dir) == [paths]


def test_closing_leaves_the_bundle_only(paths: RunPaths) -> None:
    begin(paths, RUN, pid=os.getpid())
    (paths.bundle / "status.jsonl").write_text("")
    end(paths)
    assert not paths.work.exists()
    assert interrupted(paths.runs_dir) == []
    assert (paths.bundle / "status.jsonl").exists()


def test_a_bundle_is_written_once(paths: RunPaths) -> None:
    begin(paths, RUN, pid=os.getpid())
    with pytest.raises(UsageError, match="written once"):
        begin(paths, RUN, pid=os.getpid())


def test_phases_add_up_and_outlive_the_run(paths: RunPaths) -> None:
    begin(paths, RUN, pid=os.getpid(), since="2026-01-01T00:00:00.000Z")
    mark(paths, "up")
    wall = mark(paths, "watch")
    assert wall["preflight"] > 1000
    assert wall["total"] == pytest.approx(wall["preflight"] + wall["up"] + wall["watch"])
    end(paths)
    assert mark(paths, "judge")["judge"] >= 0


def test_a_mark_takes_over_what_the_driver_found(paths: RunPaths) -> None:
    begin(paths, RUN, pid=os.getpid())
    (paths.work / "stack.json").write_text(json.dumps({"image_digest": "sha256:a"}))
    mark(paths, "create", failed={"task": "t", "message": "m" * 9999})
    run = json.loads(paths.run_file.read_text())
    assert run["image_digest"] == "sha256:a"
    assert run["wall"]["create"] >= 0
    assert len(run["failed"]["message"]) == 2000


def test_times_are_utc_with_milliseconds() -> None:
    now = utc_now()
    assert len(now) == len("2026-01-01T00:00:00.000Z")
    assert now.endswith("Z")


def fill(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be written while what was reserved still takes its place."""

    def full(file: int) -> None:
        if paths.reserve_file.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)


def test_a_full_disk_can_still_be_told(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(paths, RUN, pid=os.getpid())
    assert why_unfinished(paths) is None
    fill(paths, monkeypatch)
    mark(paths, "watch", failed={"task": "Make the bundle", "message": "No space left on device"})
    assert why_unfinished(paths) == "task 'Make the bundle' failed: No space left on device"
    assert note_interruption(paths, "interrupted by the user")
    assert why_unfinished(paths) == "interrupted by the user"
    end(paths)
    assert list(paths.pending_file.parent.iterdir()) == []


def test_without_anything_in_reserve_the_full_disk_is_an_error(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(paths, RUN, pid=os.getpid())
    paths.reserve_file.unlink()

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InfraError, match="free some space"):
        mark(paths, "watch")

"""What the lab asks of one process on its host: its state, and limits that are given back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible.module_utils import wk_limits


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """The directory of a process that sleeps."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    directory = tmp_path / f"limits{process.pid}" / "wk-node1"
    directory.mkdir(parents=True)
    (directory / "pid").write_text(f"{process.pid} mark\n")
    (directory / "process.json").write_text(json.dumps({"unit": None}))
    yield directory
    process.kill()
    process.wait()


def ask(*argv: object) -> str:
    program = [sys.executable, wk_limits.__file__, *map(str, argv)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def pid_of(place: Path) -> int:
    return int((place / "pid").read_text().split()[0])


def test_the_state_of_a_process_is_told(place: Path) -> None:
    first = json.loads(ask("state", place))
    assert first["state"] == "running"
    os.kill(pid_of(place), signal.SIGSTOP)
    end = time.monotonic() + 5
    while (state := json.loads(ask("state", place)))["state"] != "paused":
        assert time.monotonic() < end
    assert state["started"] == first["started"]
    os.kill(pid_of(place), signal.SIGKILL)
    while json.loads(ask("state", place))["state"] != "exited":
        assert time.monotonic() < end
    with pytest.raises(RuntimeError, match="wk-node1 does not run"):
        ask("descriptors", place, 20)


def test_descriptors_are_limited_and_given_back(place: Path) -> None:
    had = json.loads(ask("state", place))["descriptors"]
    ask("descriptors", place, 40)
    ask("descriptors", place, 20)
    assert json.loads(ask("state", place))["descriptors"] == 20
    ask("descriptors", place, 0)
    assert json.loads(ask("state", place))["descriptors"] == had
    ask("descriptors", place, 0)
    assert json.loads(ask("state", place))["descriptors"] == had


@pytest.mark.skipif(
    os.geteuid() != 0 or not os.access(wk_limits.place("cpu", "/"), os.W_OK),
    reason="control groups can't be made here",
)
def test_cpu_is_limited_by_a_group_that_goes_again(place: Path) -> None:
    before = wk_limits.own_path(pid_of(place), "cpu")
    ask("cpus", place, 0.5)
    ask("cpus", place, 0.25)
    assert json.loads(ask("state", place))["cpus"] == pytest.approx(0.25)
    group = Path(wk_limits.place("cpu", wk_limits.own_path(pid_of(place), "cpu")))
    assert group.name == f"wktriage-{place.parent.name}-wk-node1"
    ask("cpus", place, 0)
    assert json.loads(ask("state", place))["cpus"] is None
    assert wk_limits.own_path(pid_of(place), "cpu") == before
    assert not group.exists()
    ask("cpus", place, 0)


FILLING = """\
set -e
mount -t tmpfs -o size=8m tmpfs {top}
mkdir -p {top}/data/node1
{program} fill {place} 1 {top}/data/node1
{program} state {place}
{program} unfill {place}
{program} state {place}
ls {top}/data
touch {top}/precious
! {program} fill {place} 1 {top}/data/node1
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"]).returncode != 0,
    reason="nothing can be mounted here",
)
def test_only_a_volume_of_the_data_alone_is_filled(place: Path, tmp_path: Path) -> None:
    top = tmp_path / "volume"
    top.mkdir()
    script = FILLING.format(top=top, place=place, program=f"{sys.executable} {wk_limits.__file__}")
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    filled, freed, *left = done.stdout.splitlines()
    assert 0.5 < json.loads(filled)["filled_mb_left"] <= 1
    assert json.loads(freed)["filled_mb_left"] is None
    assert left == ["node1"]
    assert "holds more than the stack's data" in done.stderr


def test_the_volume_of_the_host_itself_is_never_filled(place: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(RuntimeError, match="only one of its own is filled"):
        ask("fill", place, 1, tmp_path / "data" / "node1")
    assert list((tmp_path / "data").iterdir()) == []

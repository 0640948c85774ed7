"""The stack's lock: who holds it, and that the dead hold nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wktriage.core.errors import InfraError
from wktriage.run import lock

NOW = "2026-01-01T00:00:00.000Z"


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_a_living_holder_is_named(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    path = lock.lock_path("p", directory=tmp_path)
    lock.acquire(path, pid=other.pid, run_id="theirs", now=NOW)
    with pytest.raises(InfraError, match=rf"process {other.pid} of .* run theirs, since {NOW}"):
        lock.acquire(path, pid=os.getpid(), run_id="mine", now=NOW)
    assert not lock.release(path, pid=os.getpid())


def test_a_dead_holder_is_taken_over(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    path = lock.lock_path("p", directory=tmp_path)
    lock.acquire(path, pid=other.pid, run_id="theirs", now=NOW)
    other.kill()
    other.wait()
    dead = lock.acquire(path, pid=os.getpid(), run_id="mine", now=NOW)
    assert dead is not None
    assert dead.run_id == "theirs"
    assert lock.release(path, pid=os.getpid())
    assert not path.exists()


def test_a_reused_pid_is_not_the_holder(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    path = lock.lock_path("p", directory=tmp_path)
    lock.acquire(path, pid=other.pid, run_id="theirs", now=NOW)
    held = json.loads(path.read_text())
    path.write_text(json.dumps({**held, "pid_start": "1"}))
    assert lock.acquire(path, pid=os.getpid(), run_id="mine", now=NOW) is not None


def test_a_holder_on_another_host_counts_as_alive(tmp_path: Path) -> None:
    path = lock.lock_path("p", directory=tmp_path)
    holder = {"pid": 1, "pid_start": "0", "user": "u", "host": "elsewhere.example"}
    path.write_text(json.dumps({**holder, "run_id": "r", "since": NOW}))
    with pytest.raises(InfraError, match=r"elsewhere\.example"):
        lock.acquire(path, pid=os.getpid(), run_id="mine", now=NOW)


def test_the_same_process_may_take_it_again(tmp_path: Path) -> None:
    path = lock.lock_path("p", directory=tmp_path)
    for run_id in ("baseline", "target"):
        assert lock.acquire(path, pid=os.getpid(), run_id=run_id, now=NOW) is None
    held = lock.read(path)
    assert held is not None
    assert held.run_id == "target"


@pytest.mark.parametrize("torn", ["", "{", "[]", '{"pid": 1}'])
def test_a_torn_lock_file_holds_nothing(tmp_path: Path, torn: str) -> None:
    path = lock.lock_path("p", directory=tmp_path)
    path.write_text(torn)
    assert lock.acquire(path, pid=os.getpid(), run_id="mine", now=NOW) is None


def test_two_stacks_do_not_meet(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    lock.acquire(lock.lock_path("a", directory=tmp_path), pid=other.pid, run_id="x", now=NOW)
    path = lock.lock_path("b", directory=tmp_path)
    assert lock.acquire(path, pid=os.getpid(), run_id="y", now=NOW) is None

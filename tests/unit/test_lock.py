"""The stack's lock: who holds it, and that the dead hold nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import time
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
    assert list(tmp_path.iterdir()) == []


def test_a_reused_pid_is_not_the_holder(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    path = lock.lock_path("p", directory=tmp_path)
    lock.acquire(path, pid=other.pid, run_id="theirs", now=NOW)
    (file,) = tmp_path.iterdir()
    held = json.loads(file.read_text())
    file.write_text(json.dumps({**held, "pid_start": "1"}))
    assert lock.acquire(path, pid=os.getpid(), run_id="mine", now=NOW) is not None


def planted(path: Path, name: str = "x", **fields: object) -> Path:
    """Write a lock file as any user can."""
    holder = {"pid": 1, "pid_start": "0", "user": "u", "host": "elsewhere.example"}
    file = path.with_name(f"{path.name}.{name}")
    file.write_text(json.dumps({**holder, "run_id": "r", "since": NOW, **fields}))
    return file


def test_a_holder_on_another_host_counts_as_alive(tmp_path: Path) -> None:
    path = lock.lock_path("p", directory=tmp_path)
    planted(path)
    with pytest.raises(InfraError, match=r"elsewhere\.example"):
        lock.acquire(path, pid=os.getpid(), run_id="mine", now=NOW)


def test_a_holder_on_another_host_does_not_count_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lock.lock_path("p", directory=tmp_path)
    file = planted(path)
    # Its own idea of its age changes nothing.
    os.utime(file, (time.time() + 1e9,) * 2)
    later = time.time() + lock.LEASE_S + 1
    monkeypatch.setattr(time, "time", lambda: later)
    dead = lock.acquire(path, pid=os.getpid(), run_id="mine", now=NOW)
    assert dead is not None
    assert dead.host == "elsewhere.example"


@pytest.mark.skipif(not Path("/proc/1/stat").exists(), reason="needs /proc")
def test_nobody_locks_by_naming_a_process_of_another(tmp_path: Path) -> None:
    path = lock.lock_path("p", directory=tmp_path)
    start = lock.process_start(os.getpid())
    file = planted(path, pid=os.getpid(), pid_start=start, host=socket.gethostname())
    locks = lock._locks(path)
    assert locks[0].alive()
    assert not dataclasses.replace(locks[0], owner=os.getuid() + 4711).alive()
    file.unlink()


def test_what_is_planted_under_a_locks_name_keeps_nobody_out(tmp_path: Path) -> None:
    path = lock.lock_path("p", directory=tmp_path)
    precious = tmp_path / "precious"
    precious.write_text("mine")
    path.symlink_to(precious)
    for name in ("guard", "new", str(os.getpid())):
        path.with_name(f"{path.name}.{name}").symlink_to(precious)
    os.mkfifo(path.with_name(path.name + ".fifo"))
    path.with_name(path.name + ".dir").mkdir()
    path.with_name(path.name + ".big").write_bytes(b"[" * 100_000)
    planted(path, "odd", pid="1", pid_start=[])
    assert lock.acquire(path, pid=os.getpid(), run_id="mine", now=NOW) is None
    assert precious.read_text() == "mine"
    held = lock.read(path)
    assert held is not None
    assert held.run_id == "mine"


def test_of_many_that_ask_at_once_one_gets_it(tmp_path: Path) -> None:
    path = lock.lock_path("p", directory=tmp_path)
    script = (
        "import os, sys; from pathlib import Path; from wktriage.run import lock\n"
        "from wktriage.core.errors import InfraError\n"
        "sys.stdin.readline()\n"
        "try:\n"
        f"    lock.acquire(Path({str(path)!r}), pid=os.getpid(), run_id='r', now='n')\n"
        "    print('got', flush=True)\n"
        "except InfraError:\n"
        "    print('not', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in asking:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.stdout.readline().strip() for process in asking if process.stdout]
    for process in asking:
        process.communicate("end\n")
    assert answers.count("got") == 1


def test_a_lock_follows_no_link_and_others_can_read_it(tmp_path: Path) -> None:
    path = lock.lock_path("p", directory=tmp_path)
    lock.acquire(path, pid=os.getpid(), run_id="mine", now=NOW)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o644
    assert len(file.name) > len(path.name) + 16


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
    path.with_name(path.name + ".x").write_text(torn)
    assert lock.acquire(path, pid=os.getpid(), run_id="mine", now=NOW) is None


def test_two_stacks_do_not_meet(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    lock.acquire(lock.lock_path("a", directory=tmp_path), pid=other.pid, run_id="x", now=NOW)
    path = lock.lock_path("b", directory=tmp_path)
    assert lock.acquire(path, pid=os.getpid(), run_id="y", now=NOW) is None

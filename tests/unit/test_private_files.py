"""Derived files go where they were sent and nowhere else, whole or not at all."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wktriage.core import private_files
from wktriage.core.errors import InfraError, UsageError


def link(path: Path) -> None:
    path.symlink_to(path.parent / "precious")


def dangling(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


def device(path: Path) -> None:
    path.symlink_to("/dev/null")


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path.parent)  # The path of a socket is short.
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


IRREGULAR: list[Callable[[Path], None]] = [
    link, dangling, device, listening, os.mkfifo, Path.mkdir,
]  # fmt: skip


@pytest.mark.parametrize("plant", IRREGULAR, ids=lambda p: p.__name__)
def test_what_is_no_regular_file_is_refused(plant: Callable[[Path], None], tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    target = tmp_path / "verdict.json"
    plant(target)
    before = target.lstat().st_ino
    with pytest.raises(UsageError, match="not a regular file, and is not replaced"):
        private_files.write(target, b"new")
    assert private_files.read(target, 10) is None
    assert precious.read_text() == "mine"
    assert target.lstat().st_ino == before
    assert not (tmp_path / "nowhere").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["precious", "verdict.json"]


def test_the_other_names_of_a_file_keep_what_they_had(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    target = tmp_path / "verdict.json"
    target.hardlink_to(precious)
    private_files.write(target, b"new")
    assert precious.read_text() == "mine"
    assert target.read_bytes() == b"new"


def test_a_written_file_is_its_owners_alone(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "file"
    old = os.umask(0)
    try:
        private_files.write(target, b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert stat.S_IMODE(target.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_is_the_machines_fault_and_leaves_the_old_file(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "verdict.json"
    target.write_text("old")

    def full(_file: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InfraError, match="cannot be written") as caught:
        private_files.write(target, b"new")
    assert caught.value.exit_code == 6
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_grows_too_large_is_not_half_written(tmp_path: Path) -> None:
    target = tmp_path / "verdict.json"
    target.write_text("old")
    script = (
        "import resource; from pathlib import Path; from wktriage.core import private_files\n"
        "from wktriage.core.errors import InfraError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        f"    private_files.write(Path({str(target)!r}), b'x' * 10_000)\n"
        "except InfraError as exc:\n"
        "    print(exc)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "File too large" in done.stdout, done.stderr
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_no_permission_is_the_callers_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="choose another directory"):
        private_files.write(tmp_path / "file" / "verdict.json", b"x")


def test_killed_at_any_moment_the_file_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "verdict.json"
    script = (
        "from pathlib import Path; from wktriage.core import private_files\n"
        "print('go', flush=True)\n"
        "for n in range(10**9):\n"
        f"    private_files.write(Path({str(target)!r}), str(n % 10).encode() * 200_000)\n"
    )
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        while not target.exists():
            pass
        process.kill()
        process.communicate()
        data = target.read_bytes()
        assert data == data[:1] * 200_000


@given(st.binary(max_size=5000), st.binary(max_size=5000))
def test_what_was_written_last_is_there(tmp_path_factory: pytest.TempPathFactory, first: bytes,
                                        second: bytes) -> None:  # fmt: skip
    target = tmp_path_factory.mktemp("w") / "file"
    for data in (first, second):
        private_files.write(target, data)
        assert private_files.read(target, 10_000) == data
    assert list(target.parent.iterdir()) == [target]

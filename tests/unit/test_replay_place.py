"""What the stand-ins' program unpacks, and the directory it lies in on a host."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from wkreplay.__main__ import main
from wkreplay.archive import unpack
from wkreplay.errors import ReplayError
from wkreplay.place import MARKER
from wktriage.core import zipapps


def _archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:xz") as tar:
        for member, data in members:
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", ["/etc/x", "a/../../x", ".."])
def test_archives_cannot_climb_out(tmp_path: Path, name: str) -> None:
    archive = _archive(tmp_path / "a.tar.xz", (tarfile.TarInfo(name), b"x"))
    with pytest.raises(ReplayError, match="unsafe name"):
        unpack(archive, tmp_path / "out")


def test_archives_hold_plain_files_only(tmp_path: Path) -> None:
    link = tarfile.TarInfo("a/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(ReplayError, match="not a plain file"):
        unpack(_archive(tmp_path / "a.tar.xz", (link, b"")), tmp_path / "out")


def test_damaged_archive_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "a.tar.xz").write_bytes(b"not xz at all")
    with pytest.raises(ReplayError, match="cannot unpack"):
        unpack(tmp_path / "a.tar.xz", tmp_path / "out")


@pytest.fixture(scope="module")
def packed() -> Path:
    """The program as a host gets it."""
    return zipapps.build("wkreplay")


def run(program: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(program), *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_only_a_directory_of_ours_is_replaced_or_removed(tmp_path: Path, packed: Path) -> None:
    place = tmp_path / "replay"
    assert run(packed, "create", "--dir", str(place)).returncode == 0
    assert (place / "wkreplay.pyz").read_bytes() == packed.read_bytes()
    (place / "left-over").touch()
    assert run(packed, "create", "--dir", str(place)).returncode == 0
    assert not (place / "left-over").exists()
    assert run(packed, "remove", "--dir", str(place)).stdout == "removed\n"
    assert not place.exists()
    again = run(packed, "remove", "--dir", str(place))
    assert (again.returncode, again.stdout) == (0, "nothing there\n")


def test_unpacked_program_cannot_be_copied_to_a_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["create", "--dir", str(tmp_path / "replay")]) == 2
    assert "only the packed program" in capsys.readouterr().err
    assert not (tmp_path / "replay").exists()


@pytest.mark.parametrize("kind", ["no marker", "linked marker", "link"])
def test_a_foreign_directory_is_left_alone(tmp_path: Path, packed: Path, kind: str) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "mine.txt").touch()
    place = foreign
    if kind == "linked marker":
        (tmp_path / "marker").touch()
        (foreign / MARKER).symlink_to(tmp_path / "marker")
    elif kind == "link":
        (foreign / MARKER).touch()
        place = tmp_path / "link"
        place.symlink_to(foreign)
    for command in ("create", "remove"):
        done = run(packed, command, "--dir", str(place))
        assert done.returncode == 2
        assert "lacks the marker" in done.stderr
    assert (foreign / "mine.txt").exists()

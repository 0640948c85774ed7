"""Archives from elsewhere are unpacked whole and safe, or not at all."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import shutil
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from wktriage.bundle import archive, host_evidence
from wktriage.core.errors import InfraError, UsageError


def make(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:xz") as tar:
        for member, data in members:
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def link(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return member


@pytest.mark.parametrize(
    ("member", "says"),
    [
        (tarfile.TarInfo("/etc/x"), "outside the archive"),
        (tarfile.TarInfo("a/../../x"), "outside the archive"),
        (tarfile.TarInfo(".."), "outside the archive"),
        (link("a/link"), "not a regular file"),
    ],
)
def test_unsafe_member_costs_a_bundle_its_whole_archive(
    tmp_path: Path, member: tarfile.TarInfo, says: str
) -> None:
    data = b"" if member.issym() else b"x"
    packed = make(tmp_path / "a.tar.xz", (tarfile.TarInfo("a/good"), b"x"), (member, data))
    with pytest.raises(UsageError, match=says):
        archive.unpack_bundle(packed, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.xz"]


def test_unsafe_member_is_left_out_where_the_rest_is_wanted(tmp_path: Path) -> None:
    packed = make(
        tmp_path / "a.tar.xz", (link("a/link"), b""), (tarfile.TarInfo("a/good"), b"content")
    )
    refused = archive.unpack(packed, tmp_path / "out", archive.BUNDLE_LIMITS)
    assert refused == ["'a/link': not a regular file"]
    assert (tmp_path / "out" / "a" / "good").read_bytes() == b"content"
    assert not (tmp_path / "out" / "a" / "link").is_symlink()


def test_too_much_is_refused(tmp_path: Path) -> None:
    packed = make(
        tmp_path / "a.tar.xz", (tarfile.TarInfo("a/1"), b"xx"), (tarfile.TarInfo("a/2"), b"yy")
    )
    few = archive.Limits(members=1, member_bytes=9, total_bytes=9)
    small = archive.Limits(members=9, member_bytes=1, total_bytes=9)
    short = archive.Limits(members=9, member_bytes=9, total_bytes=3)
    assert archive.unpack(packed, tmp_path / "few", few) == ["the rest: more than the limits allow"]
    assert len(archive.unpack(packed, tmp_path / "small", small)) == 2
    assert archive.unpack(packed, tmp_path / "short", short) == [
        "the rest: more than the limits allow"
    ]
    assert not (tmp_path / "short" / "a" / "2").exists()


def test_damaged_archive_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "a.tar.xz").write_bytes(b"not xz at all")
    with pytest.raises(InfraError, match="cannot be unpacked"):
        archive.unpack(tmp_path / "a.tar.xz", tmp_path / "out", archive.BUNDLE_LIMITS)
    with pytest.raises(UsageError, match="cannot be unpacked"):
        archive.unpack_bundle(tmp_path / "a.tar.xz", tmp_path / "out")


def test_bundle_has_one_top_directory_and_a_new_target(tmp_path: Path) -> None:
    members = [(tarfile.TarInfo(f"{top}/x"), b"x") for top in ("a", "b")]
    packed = make(tmp_path / "a.tar.xz", *members)
    with pytest.raises(UsageError, match="expected one top directory, found 2"):
        archive.unpack_bundle(packed, tmp_path / "out")
    one = make(tmp_path / "one.tar.xz", members[0])
    assert archive.unpack_bundle(one, tmp_path / "out") == tmp_path / "out"
    assert (tmp_path / "out" / "x").read_bytes() == b"x"
    with pytest.raises(UsageError, match="exists"):
        archive.unpack_bundle(one, tmp_path / "out")


def test_a_flipped_byte_anywhere_is_told_in_words(tmp_path: Path) -> None:
    members = [(tarfile.TarInfo(f"a/{n}"), bytes([n]) * 900) for n in range(4)]
    plain = lzma.decompress(make(tmp_path / "a.tar.xz", *members).read_bytes())
    for wrap in (bytes, lzma.compress, gzip.compress, bz2.compress):
        data = wrap(plain)
        for at in range(0, len(data), max(1, len(data) // 60)):
            packed = tmp_path / "bad"
            packed.write_bytes(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])
            with contextlib.suppress(UsageError):
                archive.unpack_bundle(packed, tmp_path / "out")
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
            assert host_evidence.read("h", packed, tmp_path / "host").problem
            shutil.rmtree(tmp_path / "host")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE])
def test_a_header_of_gigabytes_is_not_read(kind: bytes, tmp_path: Path) -> None:
    member = tarfile.TarInfo("a/x")
    member.type, member.size = kind, 3 << 30
    packed = tmp_path / "a.tar"
    with packed.open("wb") as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT))
        file.truncate(4 << 30)
    with pytest.raises(UsageError, match="header"):
        archive.unpack_bundle(packed, tmp_path / "out")


def test_headers_that_follow_each_other_for_ever_are_damage(tmp_path: Path) -> None:
    member = tarfile.TarInfo("a/x")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 0
    packed = tmp_path / "a.tar"
    packed.write_bytes(member.tobuf(tarfile.GNU_FORMAT) * 5000)
    with pytest.raises(UsageError):
        archive.unpack_bundle(packed, tmp_path / "out")


def test_members_without_end_are_refused_and_not_remembered(tmp_path: Path) -> None:
    packed = tmp_path / "a.tar"
    packed.write_bytes(tarfile.TarInfo("a/x").tobuf(tarfile.GNU_FORMAT) * 100_000)
    limits = archive.Limits(members=2000, member_bytes=10, total_bytes=10)
    tracemalloc.start()
    refused = archive.unpack(packed, tmp_path / "out", limits)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused == ["the rest: more than the limits allow"]
    assert most < 3_000_000


def test_what_is_skipped_is_bounded_too(tmp_path: Path) -> None:
    packed = tmp_path / "a.tar"
    member = tarfile.TarInfo("a/x")
    member.size = 1 << 40
    with packed.open("wb") as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT))
        file.truncate(1 << 41)
    with pytest.raises(UsageError, match="limits"):
        archive.unpack_bundle(packed, tmp_path / "out")

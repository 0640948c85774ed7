"""Archives, unpacked as what they are: material from elsewhere that may be hostile or damaged."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from wktriage.core.errors import InfraError, UsageError


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold: members, bytes of one member, bytes in all."""

    members: int
    member_bytes: int
    total_bytes: int


BUNDLE_LIMITS = Limits(members=20_000, member_bytes=1 << 30, total_bytes=2 << 30)
"""Far above any recorded bundle, below what fills a disk."""

_BLOCK = 1 << 20
_REFUSALS = 1000
_OPENERS: tuple[tuple[bytes, Callable[[Path], IO[bytes]]], ...] = (
    (b"\xfd7zXZ", lambda path: cast("IO[bytes]", lzma.LZMAFile(path))),  # noqa: SIM115 (closed below)
    (b"\x1f\x8b", lambda path: cast("IO[bytes]", gzip.GzipFile(path))),
    (b"BZh", lambda path: cast("IO[bytes]", bz2.BZ2File(path))),
)

# What Python's own readers of archives raise for damaged ones: flipped bytes trip them anywhere.
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError, ValueError,
           LookupError, ArithmeticError, TypeError, RecursionError, MemoryError)  # fmt: skip


def unpack(
    archive: Path,
    target: Path,
    limits: Limits,
    problem: Callable[[PurePosixPath], str | None] = lambda name: None,
) -> list[str]:
    """Write the regular files of a tar archive below ``target``; return what was refused, and why.

    Links, devices, absolute paths and ``..`` are refused, and so is everything beyond the limits,
    and each name for which ``problem`` returns a reason. A damaged archive yields what comes
    before the damage. Raises InfraError when nothing of it can be read.
    """
    refused: list[str] = []
    total = number = 0
    try:
        with _opened(archive, limits) as tar:
            while (member := tar.next()) is not None:
                # The list grows without a use here.
                cast("Any", tar).members = []
                number += 1
                total += max(0, member.size)
                if number > limits.members or total > limits.total_bytes:
                    refused.append("the rest: more than the limits allow")
                    break
                if member.isdir():
                    continue
                name = PurePosixPath(member.name)
                reason = _reason(member, name, limits) or problem(name)
                if reason:
                    if len(refused) < _REFUSALS:
                        refused.append(f"{str(name)[:120]!r}: {reason}")
                    continue
                source = tar.extractfile(member)
                if source is None:
                    continue
                path = target / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with source, path.open("wb") as out:
                    shutil.copyfileobj(source, out, _BLOCK)
    except _DAMAGE as exc:
        reason = str(exc)[:200] or type(exc).__name__
        if not any(target.rglob("*")):
            raise InfraError(f"{archive} cannot be unpacked: {reason}") from exc
        refused.append(f"the rest: the archive is damaged: {reason}")
    return refused


class _Bounded:
    """An open archive, uncompressed, of which nobody reads or skips more than is allowed."""

    def __init__(self, source: IO[bytes], most: int) -> None:
        self._source, self._most = source, most

    def read(self, size: int = -1) -> bytes:
        # Names and extended headers are read whole, however long they say they are.
        if not 0 <= size <= _BLOCK:
            raise tarfile.ReadError("a header is longer than 1 MiB")
        return self._source.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 0 and offset > self._most:
            raise tarfile.ReadError("the archive holds more than the limits allow")
        return self._source.seek(offset, whence)

    def tell(self) -> int:
        return self._source.tell()


@contextmanager
def _opened(archive: Path, limits: Limits) -> Iterator[tarfile.TarFile]:
    with archive.open("rb") as handle:
        magic = handle.read(8)
    opener = next((o for m, o in _OPENERS if magic.startswith(m)), None)
    with archive.open("rb") if opener is None else opener(archive) as source:
        most = 2 * limits.total_bytes + 4096 * limits.members
        bounded = cast("IO[bytes]", _Bounded(source, most))
        with tarfile.open(fileobj=bounded, mode="r:") as tar:
            yield tar


def _reason(member: tarfile.TarInfo, name: PurePosixPath, limits: Limits) -> str | None:
    if not member.isreg() or member.issparse():
        return "not a regular file"
    if name.is_absolute() or ".." in name.parts:
        return "outside the archive"
    if member.size > limits.member_bytes:
        return f"larger than {limits.member_bytes} bytes"
    return None


def unpack_bundle(archive: Path, target: Path) -> Path:
    """Unpack a bundle into the new directory ``target`` (without the archive's top directory).

    Raises UsageError when the target exists, or the archive is not a whole and safe one with one
    top directory; then no target is left.
    """
    if target.exists():
        raise UsageError(f"{target} exists: name a directory that does not")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unpack-") as temporary:
        try:
            refused = unpack(archive, Path(temporary), BUNDLE_LIMITS)
        except InfraError as exc:
            raise UsageError(str(exc)) from exc
        if refused:
            raise UsageError(f"{archive.name}: {refused[0]}")
        tops = list(Path(temporary).iterdir())
        if len(tops) != 1 or not tops[0].is_dir():
            raise UsageError(f"{archive.name}: expected one top directory, found {len(tops)}")
        tops[0].rename(target)
    return target


@contextmanager
def opened(bundle: Path) -> Iterator[Path]:
    """Yield a bundle as a directory; an archive is unpacked for the time being.

    Raises UsageError when the archive is not a safe one or holds no bundle.
    """
    if not bundle.is_file():
        yield bundle
        return
    with tempfile.TemporaryDirectory(prefix="wktriage-") as temporary:
        yield unpack_bundle(bundle, Path(temporary) / "bundle")

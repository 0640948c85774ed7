"""Archives, unpacked as what they are: material from elsewhere that may be hostile or damaged."""

from __future__ import annotations

import lzma
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from wktriage.core.errors import InfraError, UsageError


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold: members, bytes of one member, bytes in all."""

    members: int
    member_bytes: int
    total_bytes: int


BUNDLE_LIMITS = Limits(members=200_000, member_bytes=2 << 30, total_bytes=2 << 30)
"""Far above any recorded bundle, below what fills a disk."""


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
    total = 0
    try:
        with tarfile.open(archive, "r:*") as tar:
            for number, member in enumerate(tar):
                if member.isdir():
                    continue
                if number >= limits.members or total + member.size > limits.total_bytes:
                    refused.append("the rest: more than the limits allow")
                    break
                name = PurePosixPath(member.name)
                reason = _reason(member, name, limits) or problem(name)
                if reason:
                    refused.append(f"{str(name)[:120]!r}: {reason}")
                    continue
                source = tar.extractfile(member)
                if source is None:
                    continue
                path = target / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with source, path.open("wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
                total += member.size
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError) as exc:
        if not any(target.rglob("*")):
            raise InfraError(f"{archive} cannot be unpacked: {exc}") from exc
        refused.append(f"the rest: the archive is damaged: {exc}")
    return refused


def _reason(member: tarfile.TarInfo, name: PurePosixPath, limits: Limits) -> str | None:
    if not member.isreg():
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

"""Archives, unpacked as what they are: material from elsewhere that may be hostile or damaged."""

from __future__ import annotations

import lzma
import shutil
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from wktriage.core.errors import InfraError


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold: members, bytes of one member, bytes in all."""

    members: int
    member_bytes: int
    total_bytes: int


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
                    refused.append("the rest: too much")
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
        refused.append(f"the rest: archive is damaged: {exc}")
    return refused


def _reason(member: tarfile.TarInfo, name: PurePosixPath, limits: Limits) -> str | None:
    if not member.isreg():
        return "no plain file"
    if name.is_absolute() or ".." in name.parts:
        return "outside of the archive"
    if member.size > limits.member_bytes:
        return f"larger than {limits.member_bytes} bytes"
    return None

"""An incident's archive, unpacked on a host: it may come from anywhere."""

from __future__ import annotations

import lzma
import shutil
import tarfile
import zlib
from pathlib import Path

from wkreplay.errors import ReplayError

MAX_ARCHIVE_BYTES = 2 << 30


def unpack(archive: Path, target: Path) -> None:
    """Unpack an incident into the new directory ``target`` (the bundle, without a top directory).

    Raises ReplayError when the target exists, and for an archive with anything but plain files in
    one top directory: links, devices, absolute or climbing names, more than 2 GiB.
    """
    if target.exists():
        raise ReplayError(f"{target} exists: name a directory that does not")
    temporary = target.with_name(target.name + ".new")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        _extract(archive, temporary).rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _extract(archive: Path, target: Path) -> Path:
    """Write the archive's files below ``target`` and return its one top directory there."""
    total = 0
    tops = set()
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                parts = Path(member.name).parts
                if member.name.startswith("/") or ".." in parts or not parts:
                    raise ReplayError(f"{archive.name}: unsafe name {member.name[:80]!r}")
                if not (member.isfile() or member.isdir()):
                    raise ReplayError(f"{archive.name}: {member.name[:80]!r} is not a plain file")
                total += member.size
                if total > MAX_ARCHIVE_BYTES:
                    raise ReplayError(
                        f"{archive.name}: unpacks to more than {MAX_ARCHIVE_BYTES} bytes"
                    )
                tops.add(parts[0])
                path = target.joinpath(*parts)
                if member.isdir():
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                source = tar.extractfile(member)
                if source is not None:
                    with source, path.open("wb") as out:
                        shutil.copyfileobj(source, out, 1 << 20)
    except (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        raise ReplayError(f"cannot unpack {archive}: {error}") from error
    if len(tops) != 1:
        raise ReplayError(f"{archive.name}: expected one top directory, found {len(tops)}")
    return target / tops.pop()

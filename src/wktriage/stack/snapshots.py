"""Named snapshots of a data root: runs on accumulated data that all begin with the same data.

``<data root>-snapshots/<name>/`` holds the nodes' directories and ``snapshot.json``. Only a data
root with the harness's own marker is put back from one: what was there before is removed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from wktriage.core.errors import UsageError
from wktriage.core.json_files import read_object
from wktriage.stack import data_root as roots

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
FACTS = "snapshot.json"
LARGEST = 20 * 1024**3
"""Bytes of the largest data that is kept: each run copies all of it, which takes minutes."""
SPARE = 1024**3
"""Bytes that stay free on the disk: below 10 % of it, latency would be no evidence either."""
_BLOCK = 1024 * 1024


def directory(data_root: Path) -> Path:
    """Return where the snapshots of a data root lie: beside it, since `clean` empties it."""
    return data_root.with_name(f"{data_root.name}-snapshots")


def take(data_root: Path, nodes: Sequence[str], name: str) -> dict[str, Any]:
    """Keep the nodes' data under a name; one that is there already is taken as it is.

    Returns its name, sha256 and bytes. Raises UsageError when there is no data, it is too large,
    does not fit on the disk, or cannot be read.
    """
    kept = directory(data_root) / _checked(name)
    if (known := read_object(kept / FACTS)) is not None:
        return known
    roots.check(data_root, wipe=True)
    total = roots.data_bytes(data_root, nodes)
    if not total:
        raise UsageError(f"data_root {data_root} holds no data to keep: run once without it")
    _fits(total, data_root)
    beside = kept.with_name(f".{name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        facts = {"name": name, "sha256": _copy(data_root, beside, nodes), "bytes": total}
        (beside / FACTS).write_text(json.dumps(facts) + "\n")
        beside.rename(kept)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return facts


def restore(
    data_root: Path, nodes: Sequence[str], name: str, *, as_root: roots.RemoveAsRoot | None
) -> dict[str, Any]:
    """Put the data of a snapshot back in place of what is there; return what it is.

    Raises UsageError when there is none of that name, it is not what it was, or does not fit.
    """
    kept = directory(data_root) / _checked(name)
    facts = read_object(kept / FACTS)
    if facts is None:
        there = ", ".join(sorted(p.parent.name for p in kept.parent.glob(f"*/{FACTS}"))) or "none"
        raise UsageError(f"no snapshot {name!r} beside {data_root}; there are: {there}")
    roots.wipe(data_root, as_root=as_root)
    roots.prepare(data_root, (), project="")
    _fits(int(facts["bytes"]), data_root)
    if _copy(kept, data_root, nodes) != facts["sha256"]:
        raise UsageError(
            f"snapshot {name!r} is not what it was when it was taken: remove {kept}, and take a "
            "new one"
        )
    return facts


def _checked(name: str) -> str:
    if not NAME.match(name):
        raise UsageError(f"data_snapshot {name!r}: use lower-case letters, digits and '-' only")
    return name


def _fits(total: int, data_root: Path) -> None:
    if total > LARGEST:
        raise UsageError(
            f"{data_root} holds {_size(total)}, and a snapshot of more than {_size(LARGEST)} is "
            "not taken: every run would copy it. Use less data, or a clean control"
        )
    free = shutil.disk_usage(data_root.parent).free
    if total + SPARE > free:
        raise UsageError(
            f"{_size(total)} of data do not fit: the disk of {data_root} has {_size(free)} free, "
            f"and {_size(SPARE)} must stay free. Free some, or name a data_root on another disk"
        )


def _copy(source: Path, target: Path, nodes: Sequence[str]) -> str:
    """Copy the nodes' directories without their logs; return the hash of all that was copied."""
    digest = hashlib.sha256()
    try:
        for node in sorted(nodes):
            for path in _files(source / node):
                rel = path.relative_to(source)
                to = target / rel
                to.parent.mkdir(parents=True, exist_ok=True)
                digest.update(f"{rel.as_posix()}\0{path.stat().st_size}\0".encode())
                with path.open("rb") as data, to.open("xb") as out:
                    while block := data.read(_BLOCK):
                        digest.update(block)
                        out.write(block)
    except OSError as exc:
        raise UsageError(
            f"the data in {source} cannot be copied: {exc}. Where containers wrote it as another "
            "user, run this as that user or as root"
        ) from exc
    return digest.hexdigest()


def _files(top: Path) -> Iterator[Path]:
    """Yield the regular files of a node's directory in order; links are passed over."""

    def give_up(exc: OSError) -> None:
        raise exc

    if not top.exists():
        return
    for folder, names, files in os.walk(top, onerror=give_up, followlinks=False):
        if folder == str(top) and "logs" in names:
            names.remove("logs")
        names.sort()
        for name in sorted(files):
            path = Path(folder) / name
            if not path.is_symlink() and path.is_file():
                yield path


def _size(total: int) -> str:
    return f"{total / 1024**3:.1f} GiB" if total >= 1024**3 else f"{total / 1024**2:.1f} MiB"

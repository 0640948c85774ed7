"""The harness's own data root: its marker, what `clean` removes, and what is in it."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from wktriage.core.errors import UsageError

MARKER = ".wktriage-data-root"


def check(data_root: Path, *, wipe: bool) -> None:
    """Raise UsageError when the harness must not use (``wipe``: must not empty) this directory.

    A directory is ours when it is absent, empty, or holds the marker file.
    """
    if data_root.is_symlink():
        raise UsageError(
            f"data_root {data_root} is a symbolic link, and the harness follows none: "
            "name the directory itself"
        )
    resolved = data_root.resolve()
    if resolved in {Path("/"), Path.home().resolve()}:
        raise UsageError(f"data_root {data_root} cannot be / or a home directory: name a new one")
    if not data_root.exists():
        return
    if not data_root.is_dir():
        raise UsageError(f"data_root {data_root} is not a directory")
    if wipe and not has_marker(data_root) and any(data_root.iterdir()):
        raise UsageError(
            f"data_root {data_root} holds files but no {MARKER}, so mode=clean will not empty "
            "it: name an empty directory, or use mode=accumulated if it is the data you mean"
        )


def has_marker(data_root: Path) -> bool:
    """Tell whether the marker is there as a regular file (a link to one does not count)."""
    try:
        return stat.S_ISREG((data_root / MARKER).lstat().st_mode)
    except OSError:
        return False


def prepare(data_root: Path, nodes: Iterable[str], *, project: str) -> None:
    """Create the data root with its marker (when it was empty) and a directory for each node."""
    data_root.mkdir(parents=True, exist_ok=True)
    if not has_marker(data_root) and not any(data_root.iterdir()):
        marker = {"what": "data of the WuKongIM triage harness", "project": project}
        (data_root / MARKER).write_text(json.dumps(marker) + "\n")
    for node in nodes:
        (data_root / node).mkdir(exist_ok=True)


def data_bytes(data_root: Path, nodes: Iterable[str]) -> int | None:
    """Return the bytes of node data on disk, logs left out; None when they cannot be read.

    Zero is what `clean` means: nothing that a node could replay.
    """
    total = 0

    def give_up(exc: OSError) -> None:
        raise exc

    try:
        for node in nodes:
            top = data_root / node
            if not top.exists():
                continue
            for folder, names, files in os.walk(top, onerror=give_up, followlinks=False):
                if folder == str(top) and "logs" in names:
                    names.remove("logs")
                total += sum((Path(folder) / f).lstat().st_size for f in files)
    except OSError:
        return None
    return total


def measured_mode(total: int | None) -> str | None:
    """Name the mode that the data directories show: clean, accumulated, or None (unknown)."""
    return None if total is None else "clean" if total == 0 else "accumulated"


RemoveAsRoot = Callable[[Path, list[str]], None]
"""Removes entries, by name, of a directory that the caller may not write."""


def wipe(data_root: Path, *, as_root: RemoveAsRoot | None) -> bool:
    """Empty the data root but for its marker; tell whether anything was removed.

    What the caller may not delete is left to ``as_root``: containers write as root. Raises
    UsageError without a marker, or when neither way works.
    """
    check(data_root, wipe=True)
    if not data_root.exists():
        return False
    entries = sorted(e for e in data_root.iterdir() if e.name != MARKER)
    denied: list[Path] = []
    for entry in entries:
        try:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        except PermissionError:
            denied.append(entry)
    by_hand = f"remove it yourself: sudo rm -rf {data_root}/node*"
    if denied and as_root is None:
        raise UsageError(f"files in {data_root} belong to another user; {by_hand}")
    if denied and as_root is not None:
        as_root(data_root, [e.name for e in denied])
        if any(e.exists() for e in denied):
            raise UsageError(f"files in {data_root} could not be removed; {by_hand}")
    return bool(entries)

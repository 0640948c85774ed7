"""Files that only their owner reads, written whole or not at all, through no link."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
from pathlib import Path

from wktriage.core.errors import UsageError


def write(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` (mode 0600): a new file beside it, synced, then renamed over it.

    The directory must be there. Raises UsageError when it is a link, or cannot be written to.
    """
    try:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as exc:
        raise UsageError(f"{path.parent}: is no directory of its own: {exc.strerror}") from exc
    beside = f".{path.name}.{secrets.token_hex(8)}"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(beside, flags, 0o600, dir_fd=directory), "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(beside, path.name, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)
    except OSError as exc:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside, dir_fd=directory)
        raise UsageError(f"{path}: cannot be written: {exc.strerror}") from exc
    finally:
        os.close(directory)


def directory(path: Path) -> Path:
    """Make a private directory (mode 0700) and missing parents. Raises UsageError."""
    # Parents are made with the common mode otherwise.
    wanted = [path, *itertools.takewhile(lambda parent: not parent.exists(), path.parents)]
    try:
        for missing in reversed(wanted):
            missing.mkdir(mode=0o700, exist_ok=True)
    except OSError as exc:
        raise UsageError(f"{path}: cannot be made: {exc.strerror}") from exc
    if path.is_symlink():
        raise UsageError(f"{path}: is a link; give the directory itself")
    return path

"""The one way to write a file that others may have got at: new, private, whole, through no link.

A file is written under a name that nobody can guess, and renamed over the old one. What
stands there and is no regular file (a link, a FIFO, a device, a directory) is refused; of a file
with several names only this name is replaced.
"""

from __future__ import annotations

import errno
import itertools
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from wktriage.core.errors import InfraError, TriageError, UsageError

PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
# What a person mends by naming another place; anything else is the machine's.
_ASKED_WRONG = frozenset({
    errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP,
    errno.EEXIST, errno.ENOENT, errno.EINVAL,
})  # fmt: skip


def write(path: Path, data: bytes, *, mode: int = PRIVATE_FILE, synced: bool = True) -> None:
    """Write a file whole or not at all; its directory is made, private, when it is missing.

    ``synced``: it outlasts a power cut as well. That waits for the disk (some 25 ms a file); what
    can be made again from other files does without.

    Raises UsageError when the place cannot take it (no permission, no regular file there),
    InfraError when the machine cannot (disk full, input/output error). Nothing is left then.
    """
    try:
        _make(path.parent)
        parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise failure(path, exc) from exc
    try:
        _replace(parent, path, data, mode, synced=synced)
    except OSError as exc:
        raise failure(path, exc) from exc
    finally:
        os.close(parent)


def _replace(parent: int, path: Path, data: bytes, mode: int, *, synced: bool) -> None:
    # Everything goes by the open directory: its name may be made to mean another meanwhile.
    _refuse_irregular(parent, path)
    fresh = f".{path.name[:100]}.{secrets.token_hex(8)}"
    file = os.open(fresh, _NEW, mode, dir_fd=parent)
    try:
        with os.fdopen(file, "wb") as handle:
            os.fchmod(handle.fileno(), mode)
            handle.write(data)
            handle.flush()
            if synced:
                os.fsync(handle.fileno())
        _refuse_irregular(parent, path)
        os.rename(fresh, path.name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh, dir_fd=parent)
        raise
    if synced:
        os.fsync(parent)


def _refuse_irregular(parent: int, path: Path) -> None:
    try:
        mode = os.stat(path.name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise UsageError(
            f"{path} is {kind(mode)}, not a regular file, and is not replaced: remove it, or "
            "write to another directory"
        )


def kind(mode: int) -> str:
    """Say in words what kind of file a mode is of."""
    for test, word in (
        (stat.S_ISLNK, "a link"),
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    ):
        if test(mode):
            return word
    return "a regular file"


def read(path: Path, cap: int, *, follow: bool = False) -> bytes | None:
    """Return at most ``cap`` bytes of a regular file; None when there is none.

    Waits for nobody (a FIFO), and goes through a link only to ``follow`` it. Raises OSError when
    the file cannot be read.
    """
    try:
        file = os.open(path, _READ if follow else _READ | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as exc:
        # A link; a socket or a device without a driver.
        if exc.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.ENODEV):
            return None
        raise
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        return None
    with os.fdopen(file, "rb") as handle:
        return handle.read(cap)


def directory(path: Path) -> Path:
    """Make a directory that only its owner can enter, with missing ones above it; return it.

    One that is there stays as it is. Raises UsageError when it is a link, or cannot be made.
    """
    try:
        _make(path)
    except OSError as exc:
        raise failure(path, exc) from exc
    if path.is_symlink():
        raise UsageError(f"{path} is a link: give the directory itself")
    return path


def _make(path: Path) -> None:
    # Parents are made with the common mode otherwise.
    missing = [path, *itertools.takewhile(lambda parent: not parent.exists(), path.parents)]
    for each in reversed(missing):
        each.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)


def failure(path: Path, exc: OSError) -> TriageError:
    """Return the error to raise when ``path`` cannot be written."""
    reason = exc.strerror or str(exc)
    if exc.errno in _ASKED_WRONG:
        return UsageError(f"{path} cannot be written: {reason}: choose another directory")
    hint = ""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = ": free some space and run the same command again"
    return InfraError(f"{path} cannot be written: {reason}{hint}")

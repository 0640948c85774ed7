"""Files that are whole whenever somebody looks, and rows that are on disk at once."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

from wkcollect.values import compact_json, parse_json


def write_atomic(path: str, data: bytes) -> None:
    """Write bytes so that a reader sees the old or the new file, never half of one."""
    part = path + ".part"
    with open(part, "wb") as handle:
        handle.write(data)
    os.replace(part, path)


RESERVE_BYTES = 4 << 20
FULL = (errno.ENOSPC, errno.EDQUOT)


class Reserve:
    """Room that is kept back on a disk, for the end of a run whose disk fills (RESERVE_BYTES)."""

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, "reserve")

    def keep(self) -> None:
        """Take the room; do without where there is none."""
        with suppress(OSError):
            write_atomic(self._path, b"\1" * RESERVE_BYTES)

    def use(self, write: Callable[[], Any]) -> None:
        """Write something; once more with the room kept back, when the disk is full."""
        try:
            write()
        except OSError as error:
            if error.errno not in FULL or not os.path.exists(self._path):
                raise
            os.remove(self._path)
            write()


def read_json(path: str) -> Any:
    """Return the JSON document of a file, or None."""
    try:
        with open(path, "rb") as handle:
            return parse_json(handle.read())
    except (OSError, ValueError):
        return None


class Rows:
    """A JSON-lines file; every row is on disk before the next sample is taken."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._handle: IO[str] | None = None
        self._lock = threading.Lock()

    def add(self, row: dict[str, Any]) -> None:
        """Append one row."""
        text = compact_json(row)
        with self._lock:
            if self._handle is None:
                self._handle = open(self._path, "a", encoding="ascii", errors="replace")
            self._handle.write(text + "\n")
            self._handle.flush()

    def close(self) -> None:
        """Close the file; a later row opens it again."""
        with self._lock:
            if self._handle is not None:
                self._handle.close()
                self._handle = None

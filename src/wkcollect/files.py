"""Files that are whole whenever somebody looks, and rows that are on disk at once."""

from __future__ import annotations

import os
import threading
from typing import IO, Any

from wkcollect.values import compact_json, parse_json


def write_atomic(path: str, data: bytes) -> None:
    """Write bytes so that a reader sees the old or the new file, never half of one."""
    part = path + ".part"
    with open(part, "wb") as handle:
        handle.write(data)
    os.replace(part, path)


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

"""The evidence directory of a run: its files, its rows, and who collected what."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from wkcollect.files import Rows, write_atomic
from wkcollect.http import Unanswered
from wkcollect.tally import Tally
from wkcollect.values import describe


class Evidence:
    """Writes below one directory, from any thread; ``name`` is always relative to it."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._tallies: dict[str, Tally] = {}
        self._rows: dict[str, Rows] = {}
        self._lock = threading.Lock()

    def path(self, name: str) -> str:
        """Return the path of a file, its folder made. Raises OSError.

        A directory that somebody removed is not made anew: nobody would look for it there.
        """
        os.stat(self._directory)
        full = os.path.join(self._directory, name)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        return full

    def tally(self, collector: str) -> Tally:
        """Return the tally of a collector."""
        return self._tallies.setdefault(collector, Tally(collector))

    def tallies(self) -> list[Tally]:
        """Return all tallies by name."""
        return [self._tallies[name] for name in sorted(self._tallies)]

    def add_row(self, collector: str, name: str, row: dict[str, Any]) -> None:
        """Append a row to a JSON-lines file on behalf of a collector."""
        if name not in self._rows:
            with self._lock:
                self._rows.setdefault(name, Rows(self.path(name)))
        self._rows[name].add(row)
        self.tally(collector).add_file(name)

    def add_file(self, collector: str, name: str, content: bytes) -> None:
        """Write a whole file on behalf of a collector."""
        write_atomic(self.path(name), content)
        self.tally(collector).add_file(name)

    def add_error(self, collector: str, name: str, reason: str) -> None:
        """Say in <name>.err why there is no such file."""
        self.add_file(collector, name + ".err", (reason + "\n").encode())

    def store(self, collector: str, name: str, fetch: Callable[[], bytes]) -> bool:
        """Write what fetch() returns, or <name>.err with the reason; say whether it was fetched."""
        began = time.monotonic()
        tally = self.tally(collector)
        try:
            self.add_file(collector, name, fetch())
            tally.note(True, began=began)
            return True
        except (Unanswered, OSError) as error:
            self.add_error(collector, name, describe(error))
            tally.note(False, describe(error), getattr(error, "timeout", False), began)
            return False

    def close(self) -> None:
        """Close the files with rows."""
        for rows in list(self._rows.values()):
            rows.close()

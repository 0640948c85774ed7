"""Recorded rows in the order of their times."""

from __future__ import annotations

import bisect
import contextlib
from typing import NamedTuple

from wkreplay.files import Row
from wkreplay.times import parse_time


class Event(NamedTuple):
    """Something recorded at a moment (nanoseconds)."""

    at: int
    row: Row


class Timeline:
    """Recorded rows in the order of their times."""

    def __init__(self, events: list[Event]) -> None:
        self.events = sorted(events, key=lambda event: event.at)
        self._times = [event.at for event in self.events]

    def at(self, moment: int) -> Event | None:
        """Return the newest event at or before the moment."""
        index = bisect.bisect_right(self._times, moment)
        return self.events[index - 1] if index else None

    def until(self, moment: int) -> list[Event]:
        """Return all events at or before the moment."""
        return self.events[: bisect.bisect_right(self._times, moment)]

    def after(self, moment: int) -> Event | None:
        """Return the first event after the moment."""
        index = bisect.bisect_right(self._times, moment)
        return self.events[index] if index < len(self.events) else None


def events_of(rows: list[Row], key: str = "sample_time") -> list[Event]:
    """Return the rows that say under ``key`` when they were taken, each with that moment."""
    events = []
    for row in rows:
        with contextlib.suppress(ValueError):
            events.append(Event(parse_time(str(row.get(key))), row))
    return events

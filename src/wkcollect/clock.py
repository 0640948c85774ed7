"""Times: ISO text, a wall clock that cannot step, slots of a cadence and how late they were."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime

from wkcollect import limits

_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]00:?00)?$")


def iso(epoch: float) -> str:
    """Return epoch seconds as ISO 8601 UTC with milliseconds."""
    ms = round(epoch * 1000)
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000))
    return f"{seconds}.{ms % 1000:03d}Z"


def parse_iso(text: object) -> float | None:
    """Return the epoch seconds of an ISO 8601 UTC time, or None."""
    match = _ISO.match(str(text))
    if not match:
        return None
    try:
        moment = datetime.strptime(f"{match.group(1)} {match.group(2)}+0000", "%Y-%m-%d %H:%M:%S%z")
    except ValueError:
        return None
    return moment.timestamp() + float(match.group(3) or 0)


def parse_iso_nanos(text: object) -> float | None:
    """Return the epoch seconds of a time with nanoseconds, cut to milliseconds, or None."""
    return parse_iso(re.sub(r"(\.\d{3})\d*Z$", r"\1Z", str(text)))


class Clock:
    """The controller's wall time, which only moves forward: one reading plus the monotonic clock.

    ``ahead`` is by how many seconds this host's own clock is ahead of the controller's.
    """

    def __init__(self, ahead: float = 0.0) -> None:
        self.ahead = ahead
        self._base = time.time() - time.monotonic() - ahead

    def wall(self, mono: float | None = None) -> float:
        """Return the epoch seconds of a monotonic moment (default: now)."""
        return self._base + (time.monotonic() if mono is None else mono)

    def iso(self, mono: float | None = None) -> str:
        """Return the ISO form of a monotonic moment (default: now)."""
        return iso(self.wall(mono))

    def mono(self, wall: float) -> float:
        """Return the monotonic moment of epoch seconds."""
        return wall - self._base


def first_slot(agreed: float | None, interval: float, now: float) -> float:
    """Return when to begin (all in seconds on the monotonic clock).

    That is the agreed moment, or the next slot of a cadence that began then when it is over; now
    when nothing was agreed, or a moment so far ahead that a clock was set meanwhile.
    """
    if agreed is None or agreed - now > limits.BEGIN_WITHIN:
        return now
    return max(agreed, agreed - (agreed - now) // interval * interval)


class Cadence:
    """The slots start + n * interval, in seconds; late ones are skipped and counted."""

    def __init__(self, start: float, interval: float, over: threading.Event) -> None:
        self.start = start
        self.interval = interval
        self.missed = 0
        self._over = over

    def slots(self) -> Iterator[tuple[int, float, float]]:
        """Yield (n, due, lateness) until over is set; due is on the monotonic clock."""
        number = 0
        while not self._over.is_set():
            due = self.start + number * self.interval
            delay = due - time.monotonic()
            if delay > 0 and self._over.wait(delay):
                return
            yield number, due, time.monotonic() - due
            following = int((time.monotonic() - self.start) // self.interval) + 1
            following = max(number + 1, following)
            self.missed += following - number - 1
            number = following


def spread(lateness: Sequence[float]) -> dict[str, float | None]:
    """Return p50, p99 and max of lateness (seconds in, milliseconds out), nearest rank."""
    if not lateness:
        return {"p50": None, "p99": None, "max": None}
    ordered = sorted(lateness)

    def rank(share: float) -> float:
        return round(ordered[max(0, int(-(-share * len(ordered) // 1)) - 1)] * 1000, 2)

    return {"p50": rank(0.5), "p99": rank(0.99), "max": round(ordered[-1] * 1000, 2)}

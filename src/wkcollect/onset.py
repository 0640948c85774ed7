"""The moment when a run goes wrong inside its window: profiles then, once.

After a run that stalled, a profile shows an idle server; taken while it stalls, it shows why.
"""

from __future__ import annotations

import re
import threading
import time
from typing import Any

from wkcollect.profiles import Profiles
from wkcollect.run import Run
from wkcollect.values import number
from wkcollect.window import Window

SHORT = 0.9
"""A publication with less than this share of the offered messages is one too few."""

SILENT_SECONDS = 25.0
"""The simulator publishes its counters every 10 s: nothing for so long means nothing was sent."""

LONGEST = 5.0
"""Seconds of CPU profile inside a window, at most: it disturbs what is measured."""

_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)/([smh])\Z")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_KINDS = (
    ("person_channels", "person_rate_per_channel"),
    ("group_channels", "group_rate_per_channel"),
)


def offered(status: dict[str, Any]) -> float | None:
    """Return the messages a second that the simulator offers; None when it does not say."""
    config = status.get("config")
    if not isinstance(config, dict):
        return None
    total = 0.0
    for channels, rate in _KINDS:
        match = _RATE.match(str(config.get(rate)))
        if match is not None:
            total += (number(config.get(channels)) or 0) * float(match[1]) / _SECONDS[match[2]]
    return total or None


def broken(window: Window, now: float) -> str | None:
    """Say which criterion does not hold any more since the window began; None when all hold."""
    start, status = window.start, window.latest
    if start is None or status is None:
        return None
    for place, name in ((1, "send_errors"), (2, "recv_errors")):
        if (number(status.get(name)) or 0) > window.opening[place]:
            return name + " rose"
    offer = offered(status)
    if offer is None:
        return None
    rate = window.rate
    inside = rate.value is not None and rate.since >= start - window.interval
    if inside and (rate.value or 0) < SHORT * offer:
        sent = f"{rate.value:.4g} of {offer:.4g} messages/s"
        return sent + " were sent between two publications"
    if now - max(start, rate.moved_at) > SILENT_SECONDS:
        return f"no message was sent for {SILENT_SECONDS:g} s"
    return None


class Onset:
    """Waits for the onset in a thread, and has the profiles taken then."""

    def __init__(self, run: Run, profiles: Profiles) -> None:
        self._run = run
        self._profiles = profiles
        self._thread: threading.Thread | None = None

    def watch(self) -> None:
        """Begin to wait, if that was asked for."""
        if self._run.spec.get("profile", "after") == "onset":
            self._thread = self._run.spawn("pprof-cpu", self._wait)

    def finish(self) -> None:
        """Wait for profiles that are being taken; the window must have ended."""
        if self._thread is not None:
            self._thread.join()

    def _wait(self) -> None:
        run, window = self._run, self._run.window
        reason = None
        with window.changed:
            while reason is None:
                if window.end is not None or run.stop_reason is not None:
                    return
                window.changed.wait(0.5)
                reason = broken(window, time.monotonic())
        run.note("onset: " + reason)
        self._profiles.at_onset(reason, LONGEST)

"""Reads a host's clock from the controller."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from wktriage.bundle.clocks import Reading
from wktriage.core.errors import InfraError
from wktriage.core.json_files import read_object
from wktriage.core.times import iso

ROUNDS = 3
GOOD_SECONDS = 0.05
"""An answer that is known so well is not asked for again: samples are a second apart."""

COMMAND = ("-ISc", "import time; print(repr(time.time()))")
"""Arguments of the host's Python that print its time. It loads nothing else, so it answers soon."""


def measure(ask: Callable[[], float], clock: Callable[[], float] = time.time) -> Reading:
    """Return how far a host's clock is ahead; ``ask`` returns its epoch seconds.

    The host read its clock somewhere between question and answer, so half of the way is what can't
    be told. An answer that took long is asked for again, and the fastest counts.
    """
    readings: list[Reading] = []
    while len(readings) < ROUNDS:
        before = clock()
        there = ask()
        readings.append(between(before, there, clock()))
        if readings[-1]["uncertainty_s"] <= GOOD_SECONDS:
            break
    return min(readings, key=lambda reading: float(reading["uncertainty_s"]))


def between(before: float, there: float, after: float) -> Reading:
    """Return how far a host's clock is ahead, from what it said between two of the controller's.

    All are epoch seconds. The way there and the way back count as equal, as in NTP.
    """
    return {
        "offset_s": round(there - (before + after) / 2, 6),
        "uncertainty_s": round(max(0.0, after - before) / 2, 6),
        "at": iso((before + after) / 2),
    }


def told(output: str) -> float:
    """Return the time that a host printed, in epoch seconds: the last line of ``output``.

    What a login script prints before it is not the time. Raises InfraError without a time.
    """
    last = (output.strip().splitlines() or [""])[-1]
    try:
        return float(last)
    except ValueError:
        raise InfraError(f"the host's clock cannot be read: it said {last[:80]!r}") from None


def note(file: Path, moment: str, reading: Reading) -> None:
    """Keep a reading as that of ``before`` or ``after`` the run, beside the other."""
    file.parent.mkdir(parents=True, exist_ok=True)
    readings = {**(read_object(file) or {}), moment: dict(reading)}
    file.write_text(json.dumps(readings, indent=2, sort_keys=True) + "\n")

"""Reads a host's clock from the controller."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wktriage.bundle.clocks import Reading
from wktriage.core.errors import InfraError
from wktriage.core.json_files import read_object
from wktriage.core.times import iso

ROUNDS = 3
COMMAND = ("-ISc", "import time; print(repr(time.time()))")
"""Arguments of the host's Python that print its time. It loads nothing else, so it answers soon."""


def measure(ask: Callable[[], float], clock: Callable[[], float] = time.time) -> Reading:
    """Return how far a host's clock is ahead; ``ask`` returns its epoch seconds.

    Of several answers the fastest counts: the host read its clock somewhere between question and
    answer, so half of the way is what can't be told.
    """
    best: dict[str, Any] = {}
    for _ in range(ROUNDS):
        before = clock()
        there = ask()
        after = clock()
        uncertainty = (after - before) / 2
        if not best or uncertainty < best["uncertainty_s"]:
            middle = (before + after) / 2
            best = {
                "offset_s": round(there - middle, 6),
                "uncertainty_s": round(uncertainty, 6),
                "at": iso(middle),
            }
    return best


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

"""Slots of a cadence, and how late they were."""

from __future__ import annotations

import threading
import time

import pytest

from wkcollect.clock import Cadence, spread


def test_cadence_skips_late_slots_and_counts_them() -> None:
    over = threading.Event()
    cadence = Cadence(time.monotonic(), 0.05, over)
    taken = []
    for number, due, lateness in cadence.slots():
        taken.append((number, due))
        assert lateness >= 0
        if number == 1:
            time.sleep(0.12)
        if len(taken) == 4:
            over.set()
    assert cadence.missed >= 2
    assert taken[-1][0] == 3 + cadence.missed
    assert taken[-1][1] == pytest.approx(cadence.start + taken[-1][0] * 0.05)


def test_spread_is_by_nearest_rank() -> None:
    assert spread([]) == {"p50": None, "p99": None, "max": None}
    found = spread([n / 1000 for n in range(1, 101)])
    assert found == {"p50": 50.0, "p99": 99.0, "max": 100.0}

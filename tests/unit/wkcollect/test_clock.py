"""Slots of a cadence, and how late they were."""

from __future__ import annotations

import threading
import time

import pytest
from tests.unit.collectstack import Stack

from wkcollect.clock import Cadence, first_slot, spread
from wkcollect.run import Run


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


@pytest.mark.parametrize(
    ("agreed", "begins"),
    [
        (None, 100.0),
        (103.5, 103.5),
        (100.0, 100.0),
        (96.4, 100.4),  # late: at the next slot of those that are in time
        (9000.0, 100.0),  # nobody waits for a moment that a clock that was set has named
    ],
)
def test_samples_begin_at_the_agreed_moment(agreed: float | None, begins: float) -> None:
    assert first_slot(agreed, 1.0, 100.0) == pytest.approx(begins)


def test_hosts_begin_at_once_whatever_their_clocks_say(stack: Stack) -> None:
    agreed = time.time() + 3
    for ahead in (0.0, 90.0):
        run = Run({**stack.spec, "clock_ahead_s": ahead, "begin_at": agreed - ahead})
        assert run.clock.wall(run.began) == pytest.approx(agreed - ahead, abs=0.001)
        assert run.began == pytest.approx(run.launched + 3, abs=0.5)

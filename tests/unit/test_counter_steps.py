"""What was counted between two publications, and how long that was."""

from __future__ import annotations

import pytest

from wktriage.bundle.readers.jsonl import Row
from wktriage.bundle.readers.status import Sample
from wktriage.judging.signals.counter_steps import steps


def sample(asked: float, sent: float | None, took: float = 0.002) -> Sample:
    row = Row(1, asked, {"took_ms": took * 1000})
    state = None if sent is None else "running"
    return Sample(row, asked, state, "r", sent or 0.0, 0.0, 0.0, 1.0, 0.0, "", {})


def sampled(published: dict[float, float], late: dict[int, float] | None = None) -> list[Sample]:
    """Return a sample a second for half a minute; answers of some seconds take longer (s)."""
    samples = []
    for second in range(31):
        took = (late or {}).get(second, 0.002)
        sent = max((n for at, n in published.items() if at <= second + took), default=0.0)
        samples.append(sample(float(second), sent, took))
    return samples


PUBLISHED = {5.1: 1000.0, 15.1: 3500.0, 25.1: 6000.0}


@pytest.mark.parametrize("late", [{}, {5: 0.2}, {15: 0.2}, {5: 0.2, 25: 0.3}])
def test_a_step_is_as_long_as_the_simulator_made_it(late: dict[int, float]) -> None:
    assert [(s.sent, s.seconds) for s in steps(sampled(PUBLISHED, late), (5.0, 30.0))] == [
        (2500.0, 10.0),
        (2500.0, 10.0),
    ]


def test_a_publication_that_was_late_is_no_sampling_error() -> None:
    published = {5.1: 1000.0, 17.6: 3500.0}
    assert [s.seconds for s in steps(sampled(published), (5.0, 25.0))][:1] == [12.0]


def test_what_happened_while_nobody_answered_is_as_long_as_it_looks() -> None:
    samples = [s if not 12 <= s.time < 17 else sample(s.time, None) for s in sampled(PUBLISHED)]
    assert [s.seconds for s in steps(samples, (5.0, 30.0))] == [11.0, 9.0]

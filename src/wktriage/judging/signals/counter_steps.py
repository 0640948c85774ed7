"""The steps of the simulator's counters, from one publication to the next."""

from __future__ import annotations

from dataclasses import dataclass

from wktriage.bundle.readers.status import Sample

PUBLISHED_S = 10.0
"""Time (s) between two publications of the simulator's counters (devsim/runner.go)."""

STALL_S = 15.0
"""Seconds without a new counter value, from which on the counters stand still (published: 10)."""


@dataclass(frozen=True)
class Step:
    """What was counted between two publications of the counters.

    ``before`` are the answers that came just before the two, None where there was none, or where a
    step does not run from one publication to another.
    """

    first: Sample
    last: Sample
    before: tuple[Sample, Sample] | None = None

    @property
    def seconds(self) -> float:
        """Length of the step: whole intervals of publication, as far as samples can tell.

        A publication is seen up to one sample late, so two of them may seem a second too close or
        too far apart: a tenth of the rate.
        """
        seen = self.last.time - self.first.time
        whole = PUBLISHED_S * round(seen / PUBLISHED_S)
        if self.before is None or whole <= 0:
            return seen
        least = self.before[1].time - self.first.answered
        most = self.last.answered - self.before[0].time
        return whole if least <= whole <= most else seen

    @property
    def sent(self) -> float:
        """Messages sent."""
        return self.last.sent - self.first.sent

    @property
    def send_errors(self) -> float:
        """Failed sends."""
        return self.last.send_errors - self.first.send_errors

    @property
    def recv_errors(self) -> float:
        """Failed receives."""
        return self.last.recv_errors - self.first.recv_errors


def steps(samples: list[Sample], window: tuple[float, float] | None) -> list[Step]:
    """Return the counter steps whose middle lies in the window.

    The counters are published every ten seconds, so a step runs from one publication to the next.
    Counters that stand still for long at the end make a last step of their own. A restart of the
    simulator begins anew.
    """
    if window is None:
        return []
    counted: list[Step] = []
    mark: Sample | None = None
    before_mark: Sample | None = None
    last: Sample | None = None
    previous: Sample | None = None
    for sample in samples:
        before, previous = previous, sample if sample.state is not None else None
        if sample.state is None:
            continue
        if last is not None and (
            sample.run_id != last.run_id or sample.total < last.total or sample.sent < last.sent
        ):
            mark = None
        last = sample
        if mark is None:
            before_mark = None
            if sample.state == "running":
                mark = sample
            continue
        if sample.total > mark.total:
            both = None if before is None or before_mark is None else (before_mark, before)
            counted.append(Step(mark, sample, both))
            mark, before_mark = sample, before
    if mark is not None and last is not None and last.time - mark.time >= STALL_S:
        counted.append(Step(mark, last))
    start, end = window
    return [
        s for s in counted if start <= (s.first.time + s.last.time) / 2 and s.last.time <= end + 1
    ]

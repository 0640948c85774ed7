"""The steps of the simulator's counters, from one publication to the next."""

from __future__ import annotations

from dataclasses import dataclass

from wktriage.bundle.readers.status import Sample

STALL_S = 15.0
"""Seconds without a new counter value, from which on the counters stand still (published: 10)."""


@dataclass(frozen=True)
class Step:
    """What was counted between two publications of the counters."""

    first: Sample
    last: Sample

    @property
    def seconds(self) -> float:
        """Length of the step."""
        return self.last.time - self.first.time

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
    last: Sample | None = None
    for sample in samples:
        if sample.state is None:
            continue
        if last is not None and (
            sample.run_id != last.run_id or sample.total < last.total or sample.sent < last.sent
        ):
            mark = None
        last = sample
        if mark is None:
            if sample.state == "running":
                mark = sample
            continue
        if sample.total > mark.total:
            counted.append(Step(mark, sample))
            mark = sample
    if mark is not None and last is not None and last.time - mark.time >= STALL_S:
        counted.append(Step(mark, last))
    start, end = window
    return [
        s for s in counted if start <= (s.first.time + s.last.time) / 2 and s.last.time <= end + 1
    ]

"""The small recordings that the stand-ins' tests read."""

from __future__ import annotations

from pathlib import Path

from wkreplay.recording import Recording
from wkreplay.surfaces.base import Clock
from wkreplay.times import parse_time

FIXTURES = Path(__file__).parents[1] / "fixtures" / "replay"


def at(second: float) -> int:
    return parse_time("2026-11-01T10:00:00Z") + int(second * 1e9)


def clock(recording: Recording) -> Clock:
    """Return a clock that does not shift, so that answers show recorded times."""
    return Clock(recording, recording.begin / 1e9)

"""What a person sees while a run is watched: state, users, messages, errors, time left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wktriage.cli.console import elapsed
from wktriage.core.terminal import visible

PLAIN_INTERVAL_S = 10.0
# The collector writes its state every second; this many seconds without change mean that it hangs,
# died, or that its whole host stands still.
STALL_SECONDS = 10.0
PHASE_WORDS = {
    "starting": "starting",
    "waiting": "waiting for the load",
    "before-scrape": "window",
    "window": "window",
    "after-scrape": "metrics after the window",
    "profile": "CPU profiles",
    "heap": "heap and goroutines",
    "logs": "logs",
    "done": "collected",
}


def _counted(number: Any, noun: str) -> str:
    return f"{_count(number)} {noun}" + ("" if number == 1 else "s")


def _count(value: Any) -> str:
    return "?" if value is None else f"{value:,}".replace(",", " ")


def parts(state: Mapping[str, Any]) -> list[str]:
    """Return the pieces of a progress line; what is unknown is a question mark or left out."""
    phase = str(state.get("phase"))
    pieces = [PHASE_WORDS.get(phase, visible(phase))]
    if phase in ("starting", "waiting"):
        sim = state.get("sim_state")
        pieces.append(f"simulator {visible(str(sim))[:20]}" if sim else "simulator not answering")
    if state.get("users_total") is not None:
        pieces.append(
            f"{_count(state.get('users_connected'))}/{_count(state['users_total'])} users"
        )
    if phase not in ("starting", "waiting"):
        rate = state.get("rate")
        pieces.append(f"{'?' if rate is None else f'{rate:g}'} msg/s")
        pieces.append(f"{_count(state.get('messages_sent'))} sent")
    errors = [state.get(k) for k in ("send_errors", "recv_errors")]
    if errors == [0, 0]:
        pieces.append("no errors")
    elif any(e is not None for e in errors):
        sends, receives = errors
        pieces.append(f"{_counted(sends, 'failed send')}, {_counted(receives, 'failed receive')}")
    left = state.get("seconds_left")
    if left is not None:
        pieces.append(f"{elapsed(left + 0.5)} left")
    elif phase in ("starting", "waiting"):
        pieces.append(elapsed(state.get("elapsed_s") or 0))
    return pieces


def plain(state: Mapping[str, Any]) -> str:
    """Return a progress line for a log."""
    return "  ".join(parts(state))


def render(state: Mapping[str, Any], width: int) -> str:
    """Return a progress line for a terminal of ``width`` columns, a bar of the window in front."""
    text = "  ".join(parts(state))
    left, seconds = state.get("seconds_left"), state.get("window_seconds")
    if left is not None and seconds:
        done = min(20, max(0, round(20 * (1 - left / seconds))))
        text = "\u2588" * done + "\u2591" * (20 - done) + "  " + text
    return text[: max(0, width - 1)]


@dataclass
class Watch:
    """Follows the states of one collector: what to print, and whether it still lives.

    Times are seconds on the caller's monotonic clock.
    """

    state: dict[str, Any] = field(default_factory=dict)
    _changed: float | None = None
    _printed: float | None = None
    _printed_phase: str | None = None

    def update(self, state: Mapping[str, Any] | None, now: float) -> None:
        """Take what was read; None when nothing could be read."""
        if self._changed is None:
            self._changed = now
        if state is not None and state.get("elapsed_s") != self.state.get("elapsed_s"):
            self.state, self._changed = dict(state), now

    @property
    def done(self) -> bool:
        """Whether the collector has finished."""
        return bool(self.state.get("done"))

    def stalled(self, now: float) -> bool:
        """Whether nothing was heard for longer than a living collector would take."""
        return self._changed is not None and now - self._changed > STALL_SECONDS

    def line(self, now: float) -> str | None:
        """Return the line to print now, None when it is not time for one (plain output only)."""
        if not self.state:
            return None
        phase = str(self.state.get("phase"))
        phase = PHASE_WORDS.get(phase, phase)
        due = self._printed is None or now - self._printed >= PLAIN_INTERVAL_S
        if not due and phase == self._printed_phase:
            return None
        self._printed, self._printed_phase = now, phase
        return plain(self.state)

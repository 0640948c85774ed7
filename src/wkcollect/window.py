"""The measured window: when it opens, what is wrong with it, and the phases around it.

The simulator's status samples drive it: the load runs, its counters move, it restarts.
"""

from __future__ import annotations

import threading
import time
from typing import Any, NamedTuple

from wkcollect.clock import Clock, iso, parse_iso_nanos, spread
from wkcollect.values import SCHEMA_VERSION, number, one_line

COUNTERS = ("messages_sent", "send_errors", "recv_errors")


class Base(NamedTuple):
    """The counters that the next status sample is compared with."""

    sim_run_id: Any
    counters: list[float]
    since: float


class Rate:
    """Messages a second between the last two samples in which the counter moved.

    ``since`` and ``moved_at`` are when they were taken, on the monotonic clock.
    """

    def __init__(self) -> None:
        self.value: float | None = None
        self.since = self.moved_at = 0.0
        self._last: tuple[float, float, Any] | None = None

    def follow(self, sent: float, now: float, sim_run_id: Any) -> None:
        """Take the next sample of the counter."""
        last = self._last
        if last is None or last[2] != sim_run_id or sent < last[0]:
            self._last, self.value = (sent, now, sim_run_id), None
            self.moved_at = now
        elif sent > last[0]:
            self.value = (sent - last[0]) / max(0.001, now - last[1])
            self.since, self.moved_at = last[1], now
            self._last = (sent, now, sim_run_id)


class Window:
    """The phases of a run and the window. Hold ``changed`` to read more than one attribute.

    ``start`` and ``end`` are on the monotonic clock, ``opening`` are the counters at the start.
    ``changed`` is notified at each status sample.
    """

    def __init__(self, clock: Clock, seconds: float, interval: float) -> None:
        self.changed = threading.Condition()
        self.seconds = seconds
        self.interval = interval
        self.phases: list[dict[str, Any]] = []
        self.start: float | None = None
        self.end: float | None = None
        self.sim_run_id: Any = None
        self.latest: dict[str, Any] | None = None
        self.latest_at: float | None = None
        self.base: Base | None = None
        self.opening: list[float] = []
        self.rate = Rate()
        self.lateness: list[float] = []
        self.invalid: str | None = None
        self.interrupted: str | None = None
        self._clock = clock
        self._running_since: str | None = None
        self._moved_at: str | None = None
        self._remark: str | None = None
        self._restarted: str | None = None
        self._answered = self._unanswered = 0

    @property
    def phase(self) -> str:
        """Return the name of the current phase."""
        return str(self.phases[-1]["name"]) if self.phases else "starting"

    @property
    def opened(self) -> bool:
        """Say whether the measured window has begun (failures before it are normal)."""
        return self.start is not None

    @property
    def valid(self) -> bool:
        """Say whether the window can be judged."""
        return self.opened and not self.invalid

    @property
    def reason(self) -> str | None:
        """Return why the window is invalid, or what there is to say of a valid one."""
        if self.invalid or self.opened:
            return self.invalid or self._remark
        return "the window did not begin"

    def begin(self, phase: str, mono: float | None = None) -> None:
        """End the current phase and begin another at a monotonic moment (default: now)."""
        moment = self._clock.iso(mono)
        if self.phases and self.phases[-1]["end"] is None:
            self.phases[-1]["end"] = moment
        self.phases.append({"name": phase, "start": moment, "end": None})

    def invalidate(self, reason: str) -> None:
        """Make the window invalid; the first reason stays."""
        self.invalid = self.invalid or reason

    def follow(
        self, status: dict[str, Any] | None, due: float, began: float, lateness: float
    ) -> None:
        """Take the next status sample: None when there was no answer. Times are monotonic."""
        with self.changed:
            if status is not None:
                self.latest, self.latest_at = status, began
                self._follow(status, due, began)
            if self.start is not None and due >= self.start:
                end = self.start + self.seconds if self.end is None else self.end
                if due < end - 1e-6:
                    self.lateness.append(lateness)
                    self._answered += status is not None
                    self._unanswered += status is None
            self.changed.notify_all()

    def _follow(self, status: dict[str, Any], due: float, began: float) -> None:
        counters = [number(status.get(k)) or 0 for k in COUNTERS]
        sim_run_id = status.get("run_id")
        self.rate.follow(counters[0], began, sim_run_id)
        if self.start is None:
            if status.get("state") != "running":
                self.base, self._running_since = None, None
            elif self.base is None or self.base.sim_run_id != sim_run_id:
                self.base = Base(sim_run_id, counters, time.monotonic())
                since = parse_iso_nanos(status.get("last_transition_at"))
                self._running_since = iso(
                    since - self._clock.ahead if since else self._clock.wall(began)
                )
            elif any(now > then for now, then in zip(counters, self.base.counters)):
                self._moved_at = self._clock.iso(began)
                self._open(due, Base(sim_run_id, counters, began))
        elif self._restarted is None and self.end is None and self.base is not None:
            if sim_run_id != self.sim_run_id:
                self._restarted = "its run id changed"
            elif any(now < then for now, then in zip(counters, self.base.counters)):
                self._restarted = "its counters fell"
            if self._restarted:
                self._restarted += " at " + self._clock.iso(began)
            self.base = Base(sim_run_id, counters, began)

    def open_unmoved(self, base: Base, settle: float) -> None:
        """Open the window now: a load that runs and moves nothing is evidence too."""
        self._remark = f"no counter moved within {settle:g} s of running"
        self._open(time.monotonic(), base)

    def _open(self, start: float, base: Base) -> None:
        self.start, self.sim_run_id, self.base = start, base.sim_run_id, base
        self.opening = base.counters

    def judge_samples(self) -> None:
        """Make the window invalid when the load restarted in it or was silent for most of it."""
        if self._restarted:
            self.invalidate("the simulator restarted in the window: " + self._restarted)
        if self._unanswered > self._answered:
            self.invalidate(
                f"the simulator did not answer {self._unanswered} of "
                f"{self._unanswered + self._answered} status requests in the window"
            )

    def slots_due(self, now: float) -> int:
        """Return how many status slots of the window were due until ``now``."""
        if self.start is None:
            return 0
        end = min(now, self.end or self.start + self.seconds)
        return max(0, round((end - self.start) / self.interval - 1e-6))

    def iso(self, mono: float | None) -> str | None:
        """Return the ISO form of a monotonic moment, None for None."""
        return None if mono is None else self._clock.iso(mono)

    def document(self, cost: dict[str, Any], profile: dict[str, Any]) -> dict[str, Any]:
        """Return window.json, with the collector's own cost and the fences of the CPU profile."""
        due, taken = self.slots_due(time.monotonic()), len(self.lateness)
        return {
            "schema_version": SCHEMA_VERSION,
            "valid": self.valid,
            "reason": self.reason,
            "start": self.iso(self.start),
            "end": self.iso(self.end),
            "asked_seconds": self.seconds,
            "running_since": self._running_since,
            "warmup_over": self._running_since,
            "counters_moved_at": self._moved_at,
            "sim_run_id": one_line(self.sim_run_id),
            "interrupted": self.interrupted,
            "phases": self.phases,
            "cadence": {
                "interval_s": self.interval,
                "due": due,
                "taken": taken,
                "missed": max(0, due - taken),
                "jitter_ms": spread(self.lateness),
            },
            "collector": [cost],
            "profile": profile,
        }


def document_of_the_dead(state: dict[str, Any]) -> dict[str, Any]:
    """Return window.json of a collector that died, from the last state that it published."""
    reason = f"the collector died in phase {state.get('phase')}"
    end = state.get("window_end")
    if end is None and state.get("window_start"):
        end = state.get("sample_time")
    return {
        "schema_version": SCHEMA_VERSION,
        "valid": False,
        "reason": reason,
        "start": state.get("window_start"),
        "end": end,
        "asked_seconds": state.get("window_seconds"),
        "running_since": None,
        "warmup_over": None,
        "counters_moved_at": None,
        "sim_run_id": None,
        "interrupted": reason,
        "phases": state.get("phases", []),
        "cadence": {
            "interval_s": None,
            "due": state.get("samples_due"),
            "taken": state.get("samples_taken"),
            "missed": None,
            "jitter_ms": spread([]),
        },
        "collector": [
            {
                "host": state.get("host"),
                "cpu_seconds": None,
                "wall_seconds": state.get("elapsed_s"),
            }
        ],
        "profile": {"start": None, "end": None, "fenced": False, "fence_reason": reason},
    }

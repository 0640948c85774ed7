"""What experiments say, as cases keep it: plain data, read without any statistics library."""

from __future__ import annotations

import msgspec

from wktriage.experiments.effects import Direction, Outcome


class SignalOutcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one signal says.

    ``shift``, ``low`` and ``high`` are shares of the control's value when ``relative`` (0.1 is
    10 % more), else in the signal's unit; None where there is no finite one. ``level`` is the risk
    that the interval really takes, ``beyond`` what it had to lie beyond to support. ``noise`` says
    of what the noise floor was measured, or that it was not. ``more_pairs`` is how many more pairs
    would decide; None when decided, or when no such number can be told.
    """

    signal: str
    direction: Direction
    outcome: Outcome
    why: str
    control: tuple[float, ...]
    treatment: tuple[float, ...]
    relative: bool
    shift: float | None = None
    low: float | None = None
    high: float | None = None
    level: float = 0.0
    p: float | None = None
    min_effect: float = 0.0
    noise_floor: float | None = None
    noise: str = ""
    beyond: float = 0.0
    more_pairs: int | None = None
    missing: int = 0


class CounterOutcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one counter (or yes-or-no fact) says: runs in which it was there, on each side.

    ``appeared``: in no control run, but in some treatment run; ``went``: the reverse.
    ``more_pairs`` is how many more pairs would decide; None when decided, when no such number can
    be told, and for an error counter that nothing was expected of.
    """

    what: str
    text: str
    control: tuple[int, ...]
    treatment: tuple[int, ...]
    outcome: Outcome
    p: float | None
    appeared: bool
    went: bool
    more_pairs: int | None = None


class Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """In how many runs of a side a predicate held, did not, or could not be told."""

    yes: int
    no: int
    unknown: int

    @property
    def runs(self) -> int:
        """All runs."""
        return self.yes + self.no + self.unknown

    def __str__(self) -> str:
        unknown = f", unknown in {self.unknown}" if self.unknown else ""
        return f"in {self.yes} of {self.runs}{unknown}"


class ExperimentOutcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The outcome of an experiment at one look.

    ``expected`` and ``falsified`` say in how many treatment runs the registered predicates held,
    ``expected_in_control`` the same of the control. ``errors`` are the error counters that rose in
    any run. ``level`` is what this look spent of alpha.
    """

    registration_sha256: str
    outcome: Outcome
    why: str
    signals: tuple[SignalOutcome, ...]
    facts: tuple[CounterOutcome, ...]
    errors: tuple[CounterOutcome, ...]
    expected: Seen
    expected_in_control: Seen
    falsified: Seen
    level: float
    more_pairs: int | None = None
    schema_version: int = 1

    @property
    def noise_measured(self) -> bool:
        """Whether the host's own noise was known for every signal that was measured."""
        return all(signal.noise_floor is not None for signal in self.signals)

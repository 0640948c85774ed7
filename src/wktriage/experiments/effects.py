"""What an experiment may find: an outcome, a direction, and the smallest effect that matters."""

from __future__ import annotations

import math
import re
from enum import StrEnum

import msgspec

from wktriage.core.errors import UsageError

_SIZE = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<percent>%?)\Z")


class Outcome(StrEnum):
    """What an experiment says of its hypothesis."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"


class Direction(StrEnum):
    """Which way a signal is expected to move from control to treatment."""

    INCREASE = "increase"
    DECREASE = "decrease"
    EITHER = "either"


class MinEffect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The smallest effect that matters: a share of the control's value, or in the signal's unit."""

    size: float
    relative: bool

    def __post_init__(self) -> None:
        if not (math.isfinite(self.size) and self.size >= 0):
            raise ValueError("the smallest effect that matters must be zero or more")
        if self.relative and self.size >= 1:
            raise ValueError("a relative smallest effect must be below 100 %")

    def __str__(self) -> str:
        return f"{self.size * 100:g} %" if self.relative else f"{self.size:g}"

    @classmethod
    def parse(cls, text: str) -> MinEffect:
        """Read ``10%`` (of the control's value) or ``0.05`` (in the signal's unit).

        Raises UsageError for anything else.
        """
        parts = _SIZE.match(str(text).strip())
        if parts is None:
            raise UsageError(
                f"min_effect {text!r} is no size: give a share such as 10% or a number in the "
                "signal's unit such as 0.05"
            )
        relative = bool(parts["percent"])
        try:
            return cls(float(parts["number"]) / (100 if relative else 1), relative)
        except ValueError as exc:
            raise UsageError(f"min_effect {text!r}: {exc}") from exc

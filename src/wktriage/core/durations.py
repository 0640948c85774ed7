"""Durations and rates as the system under test writes them."""

from __future__ import annotations

import math
import re
from typing import Annotated

from msgspec import Meta

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)")
_DURATION = r"^(0|(\d+(\.\d+)?(h|ms|us|µs|ns|m|s))+)$"
_RATE = r"^\d+(\.\d+)?/s$"

Duration = Annotated[
    str,
    Meta(
        pattern=_DURATION,
        description="a duration such as 10s or 1m30s",
        extra={"kind": "duration"},
    ),
]
"""A Go duration in a declaration."""

Rate = Annotated[
    str,
    Meta(pattern=_RATE, description="a number a second, such as 0.25/s", extra={"kind": "rate"}),
]
"""A rate in a declaration."""


def parse_duration(value: object) -> float | None:
    """Return seconds of a Go duration (``1m30s``, ``0``) or of a number of seconds.

    None for anything else, and for what is not finite: the value may come from evidence.
    """
    if isinstance(value, str):
        text = value.strip()
        if not re.match(_DURATION, text):
            return None
        return _finite(sum(float(amount) * _UNITS[unit] for amount, unit in _PART.findall(text)))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return _finite(float(value))
    except OverflowError:
        return None


def parse_rate(value: object) -> float | None:
    """Return the number a second of a text such as ``0.25/s``; None for anything else."""
    text = value.strip() if isinstance(value, str) else ""
    return _finite(float(text.removesuffix("/s"))) if re.match(_RATE, text) else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

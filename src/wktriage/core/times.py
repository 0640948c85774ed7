"""Times in evidence: ISO 8601 to epoch seconds and back."""

from __future__ import annotations

import math
import re
import time
from datetime import UTC, datetime

_FRACTION = re.compile(r"\.(\d{6})\d+")


def parse_time(value: object) -> float | None:
    """Return epoch seconds of an ISO 8601 text (UTC when it has no zone), None when it is none."""
    if not isinstance(value, str) or not 10 <= len(value) <= 40:
        return None
    try:
        parsed = datetime.fromisoformat(_FRACTION.sub(r".\1", value))
    except ValueError:
        return None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    try:
        return parsed.timestamp()
    except (OverflowError, ValueError):
        return None


def utc_now() -> str:
    """Return the time as ISO 8601 UTC with milliseconds and Z."""
    return str(iso(time.time()))


def iso(epoch: float | None) -> str | None:
    """Return ISO 8601 UTC with milliseconds and Z; None for None or what is no time."""
    if epoch is None or not math.isfinite(epoch) or not 0 <= epoch < 253402300799:
        return None
    moment = datetime.fromtimestamp(round(epoch * 1000) / 1000, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"

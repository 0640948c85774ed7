"""What to offer instead of a name that nothing knows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LISTED_MAX = 40
"""Names that are listed when none is near; more would hide the error that they explain."""


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """Return the end of an error message: the nearest known name, or else the names there are."""
    names = sorted(str(one) for one in known)
    if near := difflib.get_close_matches(str(name), names, n=1):
        return f"; did you mean {near[0]!r}?"
    if 0 < len(names) <= LISTED_MAX:
        return f"; known are {', '.join(names)}"
    return ""

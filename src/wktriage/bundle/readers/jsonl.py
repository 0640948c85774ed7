"""Rows of JSON lines files, damaged ones counted and skipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from wktriage.bundle.files import OBJECT_FACTOR, EvidenceFiles
from wktriage.core.json_files import parse_object
from wktriage.core.times import parse_time


@dataclass(frozen=True)
class Row:
    """One JSON object of a JSON lines file, with its line number and time (epoch s or None)."""

    line: int
    time: float | None
    data: dict[str, Any]


FIGURES = 500
"""Bytes of memory that the figures taken out of a row keep."""


def rows(
    bundle: EvidenceFiles, rel: str, damaged: list[int] | None = None, *, whole: bool = True
) -> Iterator[Row]:
    """Stream the JSON objects of a file; line numbers of others are appended to ``damaged``.

    Ends where the bundle's budget does. ``whole`` says that rows are kept as they are, not only
    some figures of each.
    """
    kept = 0
    for number, raw in bundle.lines(rel):
        if not raw.strip():
            continue
        kept += FIGURES + (OBJECT_FACTOR * len(raw) if whole else 0)
        if not bundle.budget.keep(rel, kept):
            return
        data = parse_object(raw)
        if data is not None:
            yield Row(number, parse_time(data.get("sample_time", data.get("time"))), data)
        elif damaged is not None:
            damaged.append(number)


def number(value: object) -> float | None:
    """Return a finite JSON number as float; None for anything else (booleans too)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if result == result and abs(result) != float("inf") else None

"""Places on a drawn axis: points of two sides on one scale, an interval against what matters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

MARGIN = 6.0
"""Percent of an axis that is left free at each end, so that no point touches the edge."""


NEAR = 1.4
"""Percent of an axis within which two points would cover each other."""

LIFTS = (17, 9, 25, 5, 29, 13, 21)
"""Heights (px) of points that lie at the same place."""


def axis(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis that holds all values; never of no length."""
    low, high = min(values), max(values)
    if low == high:
        room = abs(low) * 0.1 or 1.0
        return low - room, high + room
    return low, high


def place(value: float, ends: tuple[float, float]) -> float:
    """Return where a value lies between the ends, in percent of the drawn width."""
    share = (value - ends[0]) / (ends[1] - ends[0])
    return round(MARGIN + share * (100 - 2 * MARGIN), 2)


def ticks(ends: tuple[float, float], most: int = 5) -> list[float]:
    """Return round numbers between the ends: 1, 2 or 5 times a power of ten apart."""
    span = ends[1] - ends[0]
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= raw)
    first = math.ceil(ends[0] / step - 1e-9)
    last = math.floor(ends[1] / step + 1e-9)
    return [n * step for n in range(first, last + 1)]


def strip(signal: Mapping[str, Any], threshold: float | None) -> dict[str, Any]:
    """Return what draws all repeats of both sides on one scale.

    ``signal`` has ``control`` and ``treatment`` (values in the order of the runs); ``threshold`` is
    the number that the expectation names, drawn as a line.
    """
    sides = {name: list(signal[name]) for name in ("control", "treatment")}
    known = [value for values in sides.values() for value in values]
    if not known:
        return {"rows": [], "ticks": [], "line": None}
    ends = axis(known if threshold is None else [*known, threshold])
    rows = [
        {
            "side": name,
            "points": _points(values, ends),
            "middle": place(median(values), ends) if values else None,
            "median": f"{median(values):.4g}" if values else "unknown",
        }
        for name, values in sides.items()
    ]
    return {
        "rows": rows,
        "ticks": [{"at": place(t, ends), "text": f"{t:.4g}"} for t in ticks(ends)],
        "line": None
        if threshold is None
        else {"at": place(threshold, ends), "text": f"{threshold:g}"},
    }


def _points(values: Sequence[float], ends: tuple[float, float]) -> list[dict[str, Any]]:
    """Return a point for each value; those that would cover each other stand above each other."""
    points: list[dict[str, Any]] = []
    for value in values:
        at = place(value, ends)
        near = sum(abs(at - other["at"]) < NEAR for other in points)
        points.append({"at": at, "down": LIFTS[near % len(LIFTS)], "text": f"{value:.4g}"})
    return points


def span(signal: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what draws the interval of a shift against the smallest effect that matters.

    None when there is no finite interval.
    """
    low, high, shift = signal["low"], signal["high"], signal["shift"]
    if low is None or high is None or shift is None:
        return None
    least, beyond = signal["min_effect"], signal["beyond"]
    factor = 100.0 if signal["relative"] else 1.0
    ends = axis([v * factor for v in (low, high, -1.6 * beyond, 1.6 * beyond, 0.0)])
    unit = " %" if signal["relative"] else ""

    def at(value: float) -> float:
        return place(value * factor, ends)

    return {
        "low": at(low),
        "width": max(0.6, round(at(high) - at(low), 2)),
        "shift": at(shift),
        "zero": at(0.0),
        "matters": {"left": at(-least), "width": round(at(least) - at(-least), 2)},
        "noise": (
            {"left": at(-beyond), "width": round(at(beyond) - at(-beyond), 2)}
            if beyond > least
            else None
        ),
        "ticks": [
            {"at": place(t, ends), "text": f"{t:+.4g}{unit}" if t else "0"} for t in ticks(ends)
        ],
    }

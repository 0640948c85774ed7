"""What the page draws over time: plots with their figures as tables, marked moments, node lanes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from wktriage.core.times import iso, parse_time
from wktriage.judging.wording import clean, show
from wktriage.report import words
from wktriage.report.timeline import Timeline

LANE_WORDS = 6
FIGURE_ROWS = 24
STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600)
"""Lengths (s) of the time steps that the figures beside a plot are averaged over."""

HUES = 4
"""Colours for nodes; more nodes than that share them. The simulator has the one after."""


def span(run: Timeline) -> list[float]:
    """Return the axis (from, to) in seconds since the window began."""
    return [round(run.start - run.zero, 2), round(run.end - run.zero, 2)]


def plots(run: Timeline) -> list[dict[str, Any]]:
    """Return the panels for the page's script: every line has its own x (s since the window began).

    A y of None is a moment at which something was asked and not answered: the line breaks there.
    """
    nodes = tuple(run.lanes)
    drawn = []
    for panel in run.panels:
        lines = []
        for line in panel.series:
            points = {round(t - run.zero, 2): _rounded(v) for t, v in line.points}
            xs = sorted(points)
            name = clean(line.name, 60)
            ys = [points[x] for x in xs]
            lines.append({"name": name, "hue": _hue(line.name, nodes), "x": xs, "y": ys})
        drawn.append(
            {
                "key": panel.key,
                "title": panel.title,
                "unit": panel.unit,
                "note": panel.note,
                "holds": panel.holds,
                "band": None if panel.band is None else [_rounded(v) for v in panel.band],
                "lines": lines,
            }
        )
    return drawn


def _hue(name: str, nodes: Sequence[str]) -> int:
    """Return the colour of a line: the same for a node in all plots, 0 (grey) for references."""
    if name in nodes:
        return 1 + nodes.index(name) % HUES
    return {"offered": 0, "whole host": 0, "receive errors": 2, "wk-sim": HUES + 1}.get(name, 1)


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")


def table(panel: Mapping[str, Any], axis: Sequence[float]) -> dict[str, Any]:
    """Return a plot as a table: least, mean and most of every line, then its mean by time step.

    ``axis`` is (from, to) in seconds.
    """
    lines = panel["lines"]
    length = axis[1] - axis[0]
    longest = STEPS[-1] * math.ceil(length / (STEPS[-1] * FIGURE_ROWS))
    step = next((n for n in STEPS if length / n <= FIGURE_ROWS), longest)
    known = [[v for v in line["y"] if v is not None] for line in lines]
    rows = [
        ("lowest", [show(min(k, default=None)) for k in known]),
        ("mean", [show(_mean(k)) for k in known]),
        ("highest", [show(max(k, default=None)) for k in known]),
    ]
    for begin in range(math.floor(axis[0] / step) * step, math.ceil(axis[1]), step):
        means = [
            _mean(
                [
                    y
                    for x, y in zip(line["x"], line["y"], strict=True)
                    if y is not None and begin <= x < begin + step
                ]
            )
            for line in lines
        ]
        if any(m is not None for m in means):
            shown = ["–" if m is None else show(m) for m in means]
            rows.append((f"{begin} to {begin + step} s", shown))
    return {"names": [line["name"] for line in lines], "rows": rows}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def marks(run: Timeline, verdict: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the moments to mark on every plot (s since the window began), in their order.

    The verdict's own is not always the first: what else fired may have begun before.
    """
    marked = []
    since = parse_time(verdict["since"])
    if since is not None:
        marked.append({"at": round(since - run.zero, 2), "kind": "since", "text": ""})
    for moment, signs in sorted(_first_signs(verdict).items()):
        at = round((parse_time(moment) or 0.0) - run.zero, 2)
        marked.append({"at": at, "kind": "sign", "text": "; ".join(sorted(signs))})
    marked.sort(key=lambda m: (m["at"], m["kind"] != "since"))
    for i, mark in enumerate(marked):
        if mark["kind"] == "since":
            category = str(verdict["category"]).replace("_", " ")
            mark["text"] = f"{category} since here" if i else "first sign of trouble"
        mark["time"] = clock(run.zero + float(str(mark["at"])))[:8]
    return marked


def _first_signs(verdict: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return by moment what the rules that fired saw first: of each rule its earliest signal."""
    signs: dict[str, set[str]] = {}
    firing = [
        {x["signal"] for x in rule["trace"] if x["result"] == "yes"}
        for rule in verdict["rules"]
        if rule["result"] == "fired" and rule["category"] != "healthy"
    ]
    for agreeing in [{name} for name in verdict["symptom"]["signs"]] + firing:
        # A signal of the worst moment tells nothing of the first.
        began = [
            (moment, name)
            for name in agreeing
            if not name.startswith("worst_")
            and isinstance(moment := verdict["signals"].get(name, {}).get("since"), str)
            and parse_time(moment) is not None
        ]
        if began:
            moment, name = min(began)
            signs.setdefault(moment, set()).add(words.first_sign(name))
    return signs


def on_axis(marked: Sequence[Mapping[str, Any]], axis: Sequence[float]) -> list[dict[str, Any]]:
    """Return the marks inside the axis (from, to in s), each with its place in per cent."""
    low, high = axis
    return [
        {**m, "left": f"{(m['at'] - low) / (high - low) * 100:.2f}"}
        for m in marked
        if low <= m["at"] <= high
    ]


def lanes(run: Timeline) -> list[dict[str, Any]]:
    """Return the node lanes as percentages of the common axis."""
    length = run.end - run.start
    drawn: list[dict[str, Any]] = []
    for node, spans in run.lanes.items():
        shown = [
            {
                "left": f"{(max(s.start, run.start) - run.start) / length * 100:.2f}",
                "width": f"{(min(s.end, run.end) - max(s.start, run.start)) / length * 100:.2f}",
                "state": s.state,
                "text": f"{s.text}, {clock(s.start)[:8]} to {clock(s.end)[:8]}",
            }
            for s in spans
        ]
        bad = [s for s in spans if s.state != "up"]
        troubles = [f"{s.text} from {clock(s.start)[:8]} for {s.end - s.start:.0f} s" for s in bad]
        if len(bad) > LANE_WORDS:
            troubles = [*troubles[:LANE_WORDS], f"and {len(bad) - LANE_WORDS} more"]
        drawn.append({"node": node, "spans": shown, "bad": troubles, "recorded": bool(spans)})
    return drawn


def clock(moment: Any) -> str:
    """Return the time of day (UTC, ms) of epoch seconds."""
    text = iso(moment) if isinstance(moment, float) else None
    return text[11:23] if text else "unknown"

"""case.html and case.md: the story of a case, run by run, for a person."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from wktriage.judging.signals import title as titled
from wktriage.judging.wording import clean
from wktriage.report import scales, words
from wktriage.report.page import asset, digest
from wktriage.report.summary import markdown

MEANS = {
    "supported": "The expected change is there, and it is larger than what matters.",
    "refuted": "The hypothesis is wrong: the expected change is not there.",
    "inconclusive": "These runs do not decide it.",
}
UNDER_WAY = "under way"
HOW = {
    "isolated": "isolated",
    "healthy": "healthy",
    "not_again": "does not recur",
    "unclassified": "not classified",
    "budget": "budget spent",
    "nothing_left": "nothing left to try",
}
"""How an investigation ended, in words."""


def render(case: Mapping[str, Any]) -> str:
    """Return case.html. ``case`` is plain data, as wktriage.experiments.telling makes it."""
    style = asset("report.css") + "\n" + asset("case.css")
    return (
        _environment(autoescape=True)
        .get_template("case.html.j2")
        .render(
            c=case,
            experiments=[_drawn(e) for e in case["experiments"]],
            means=MEANS,
            how=HOW,
            style=Markup(style),  # noqa: S704 (our own asset, not evidence)
            style_hash=digest(style),
        )
    )


def render_markdown(case: Mapping[str, Any]) -> str:
    """Return case.md: the same story as text."""
    environment = _environment(autoescape=False)
    environment.filters["md"] = markdown
    return environment.get_template("case.md.j2").render(
        c=case, experiments=[_drawn(e) for e in case["experiments"]], means=MEANS, how=HOW
    )


def outcome_lines(case: Mapping[str, Any], number: int) -> list[list[str]]:
    """Return the outcome of an experiment as pairs of label and text for a screen."""
    experiment = next(e for e in case["experiments"] if e["number"] == number)
    lines = [
        [
            "outcome",
            f"{experiment['outcome']}: {MEANS.get(experiment['outcome'], '')}".rstrip(": "),
        ],
        ["hypothesis", experiment["statement"]],
        ["changed", change(experiment["variable"])],
        ["expected", experiment["expected"]],
        ["seen", seen(experiment)],
        ["because", experiment["why"]],
    ]
    lines += [["error", error["text"]] for error in experiment["errors"]]
    if experiment["stop"]:
        lines.append(["stopped", experiment["stop"]])
    if excluded := sum(run["excluded"] is not None for run in experiment["runs"]):
        lines.append(
            ["excluded", f"{words.counted(excluded, 'disturbed run')}, listed in the case"]
        )
    if experiment["more_pairs"] and not experiment["stop"]:
        command = f"wktriage experiment -e extend={case['id']}"
        lines.append(["next", f"{command} runs {pairs(experiment['more_pairs'])}"])
    return [[label, clean(text, 600)] for label, text in lines]


def investigation_lines(case: Mapping[str, Any]) -> list[list[str]]:
    """Return the story of an investigation as pairs of label and text for a screen."""
    story = case["investigation"]
    lines = [
        ["question", case["question"]],
        ["outcome", f"{HOW.get(story['how'], story['how'])}. {story['why']}"],
        ["time", f"{story['minutes']} of {words.counted(story['budget'], 'minute')}"],
    ]
    for place, step in enumerate(story["steps"], 1):
        bundle = f" ({step['bundle']})" if step["bundle"] else ""
        lines.append([f"step {place}", f"{step['what']}: {step['came_of']}{bundle}"])
    lines += [["next", text] for text in story["next"]]
    if story["how"] in ("budget", UNDER_WAY):
        lines.append(["go on with", f"wktriage investigate -e case={case['id']} -e budget=45m"])
    return [[label, clean(text, 600)] for label, text in lines]


def pairs(number: int) -> str:
    """Return a number of pairs in words."""
    return f"{number} more {'pair' if number == 1 else 'pairs'} of runs"


def change(variable: Mapping[str, Any]) -> str:
    """Return the one variable from what to what."""
    before, after = variable["before"], variable["after"]
    return f"{variable['knob']}: {_setting(before)} -> {_setting(after)}"


def seen(experiment: Mapping[str, Any]) -> str:
    """Return in how many runs of each side the expectation held."""
    expected, control = experiment["seen"], experiment["seen_in_control"]
    if expected is None:
        return "not judged yet"
    return f"it held {_held(expected)} treatment runs and {_held(control)} control runs"


def _held(count: Mapping[str, int]) -> str:
    total = count["yes"] + count["no"] + count["unknown"]
    unknown = f" (unknown in {count['unknown']})" if count["unknown"] else ""
    return f"in {count['yes']} of {total}{unknown}"


def _setting(value: object) -> str:
    return "not set" if value is None else str(value)


def _drawn(experiment: Mapping[str, Any]) -> dict[str, Any]:
    signals = [
        {
            **signal,
            "title": titled(signal["signal"]),
            "strip": scales.strip(signal, _threshold(experiment["expected"], signal["signal"])),
            "span": scales.span(signal),
            "amount": _amount(signal, signal["shift"]),
            "between": _between(signal),
            "least": _amount(signal, signal["min_effect"], sign=False),
            "floor": (
                None
                if signal["noise_floor"] is None
                else _amount(signal, signal["noise_floor"], sign=False)
            ),
        }
        for signal in experiment["signals"]
    ]
    return {
        **experiment,
        "signals": signals,
        "change": change(experiment["variable"]),
        "seen": seen(experiment),
        "pairs": pairs(experiment["more_pairs"]) if experiment["more_pairs"] else None,
    }


def _threshold(expected: str, signal: str) -> float | None:
    match = re.search(
        rf"\b{re.escape(signal)}\s*[<>]=?\s*(-?\d+(?:\.\d+)?(?:[eE]-?\d+)?)", expected
    )
    return float(match[1]) if match else None


def _amount(signal: Mapping[str, Any], value: float | None, *, sign: bool = True) -> str:
    if value is None:
        return "unknown"
    plus = "+" if sign else ""
    return f"{value * 100:{plus}.1f} %" if signal["relative"] else f"{value:{plus}.4g}"


def _between(signal: Mapping[str, Any]) -> str | None:
    if signal["low"] is None or signal["high"] is None:
        return None
    return f"{_amount(signal, signal['low'])} to {_amount(signal, signal['high'])}"


def _environment(*, autoescape: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("wktriage.report"),
        undefined=StrictUndefined,
        autoescape=autoescape,  # noqa: S701 (Markdown: every value goes through the md filter)
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(clean=clean, counted=words.counted)
    return environment

"""summary.md: exactly the headings and fields that WuKongIM's triage skill asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from wktriage.judging.wording import clean
from wktriage.report.words import identity, next_step, settings, tampered

CAP = 700
_SPECIAL = re.compile(r"[\\`*\[\]<>|~#]|(?<!\w)_|_(?!\w)")


def markdown(value: object) -> str:
    """Return a value as one line of Markdown text that is shown as it is written."""
    return _SPECIAL.sub(lambda m: "\\" + m.group(), clean(value, CAP)) or "none"


def workload_line(scenario: Mapping[str, Any]) -> str:
    """Return the scenario's name and its workload, in the simulator's own terms."""
    load = scenario["workload"]
    shown = [f"{k}={load[k]}" for k in sorted(load) if k != "scenario" and load[k] is not None]
    return f"{scenario['name']}: {', '.join(shown)}" if shown else str(scenario["name"])


def duration_line(scenario: Mapping[str, Any]) -> str:
    """Return the window's length; without a window there is none to state."""
    seconds = scenario["duration_s"]
    return "unknown: no measured window" if seconds is None else f"{seconds:.0f} s"


def place(citation: Mapping[str, Any]) -> str:
    """Return where a citation points, short: file, line, series."""
    where = str(citation["file"])
    if citation.get("line") is not None:
        where += f":{citation['line']}"
    if citation.get("series"):
        where += f" {citation['series']}"
    return where


def reason_line(verdict: Mapping[str, Any]) -> str:
    """Return why, with the first citations of every reason, and since when.

    Reasons that would not fit are counted: a cut citation could not be followed.
    """
    since, not_before = verdict["since"], verdict["since_not_before"]
    bound = f", not before {not_before}" if not_before and not_before != since else ""
    end = f"since {since}{bound}" if since else ""
    parts: list[str] = []
    for reason in verdict["reasons"]:
        places = list(dict.fromkeys(place(c) for c in reason["citations"]))[:3]
        text = str(reason["text"]).rstrip(".") + (f" ({', '.join(places)})" if places else "")
        if parts and sum(map(len, parts)) + len(text) + len(end) > CAP - 60:
            break
        parts.append(clean(text, CAP - 160))
    left = len(verdict["reasons"]) - len(parts)
    more = f"{left} more in verdict.json" if left else ""
    return "; ".join(filter(None, [*parts, more, end])) or "no rule fired"


def render(verdict: Mapping[str, Any], cases: Sequence[Any] = ()) -> str:
    """Return summary.md for a verdict. Deterministic; nothing from evidence is templated.

    ``cases`` are :class:`wktriage.report.CaseLink`.
    """
    environment = Environment(
        loader=PackageLoader("wktriage.report"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 (Markdown: every value goes through the md filter)
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = markdown
    return environment.get_template("summary.md.j2").render(
        v=verdict,
        workload=workload_line(verdict["scenario"]),
        duration=duration_line(verdict["scenario"]),
        reason=reason_line(verdict),
        step=next_step(verdict).change,
        settings=settings(verdict),
        identity=identity(verdict),
        tampered=tampered(verdict),
        cases=cases,
    )

"""A case as plain data for screens and pages, and its pages case.html and case.md."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from wktriage.core import private_files
from wktriage.core.json_files import read_object
from wktriage.experiments import design
from wktriage.experiments.bisection.search import Search
from wktriage.experiments.case import Case, Experiment, standing
from wktriage.experiments.design import RunRecord
from wktriage.experiments.investigation import journal
from wktriage.report.case_page import UNDER_WAY
from wktriage.request import knobs

PAGES = ("case.html", "case.md")


def told(case: Case, places: Mapping[str, str]) -> dict[str, Any]:
    """Return a case as plain data: what a person may see of it now.

    ``places`` are the directories of its bundles, as far as they are known. Of an experiment that
    is under way nothing is told that could show which side leads.
    """
    document = case.document
    experiments = [_experiment(case, e, places) for e in document.experiments]
    last = experiments[-1] if experiments else None
    # A case is about one question: what answers it heads the page, not what was tried after it.
    supported = [e for e in experiments if e["outcome"] == "supported"]
    head = supported[-1] if supported else last
    statements = _statements(case)
    searched = _searched(case) if document.bisection is not None else None
    plain = msgspec.to_builtins(document)
    return {
        "id": document.id,
        "question": document.question,
        "created_at": document.created_at,
        "standing": standing(document),
        "outcome": (searched or head or {"outcome": "no experiment yet"})["outcome"],
        "bisection": searched,
        "head": head["number"] if head else None,
        "next": _next(document.id, last),
        "belief": [
            {"cause": cause, "percent": round(100 * share), "means": statements.get(cause, "")}
            for cause, share in sorted(document.belief.items(), key=lambda item: -item[1])
        ],
        "experiments": experiments,
        "investigation": _investigation(case, places),
        "eligibility": plain["eligibility"],
        "verification": plain["verification"],
        "finding": plain["finding"],
    }


def _statements(case: Case) -> dict[str, str]:
    """Return what each cause says, as far as it is written down in words of its own."""
    known = {name: h.statement for name, h in knobs.hypotheses().items() if "{" not in h.statement}
    for experiment in case.document.experiments:
        made = case.registration(experiment.number)
        known[made.cause] = made.statement
    return known


def _investigation(case: Case, places: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the steps of a case's investigation, and what it would do next; None without one."""
    document = journal.load(case)
    if document is None:
        return None
    ended = document.ended
    return {
        "minutes": round(document.spent / 60),
        "budget": round(document.budget / 60),
        "may_change": list(document.may_change),
        "how": ended.how if ended is not None else UNDER_WAY,
        "why": ended.why if ended is not None else "",
        "next": list(ended.next) if ended is not None else [],
        "steps": [
            {
                "kind": step.kind,
                "what": step.what,
                "came_of": step.came_of or UNDER_WAY,
                "bundle": step.bundle,
                "number": step.number,
                "href": _href(case, step.bundle, places),
            }
            for step in document.steps
        ],
    }


def _href(case: Case, bundle: str | None, places: Mapping[str, str]) -> str | None:
    page = Path(places.get(str(bundle), "/nowhere")) / "report.html"
    return os.path.relpath(page, case.directory) if page.is_file() else None


def write(case: Case, places: Mapping[str, str], data: Mapping[str, Any] | None = None) -> Path:
    """Write case.html and case.md into the case; return the page. ``data``: it was told already."""
    from wktriage.report import case_page

    data = told(case, places) if data is None else data
    for name, text in zip(
        PAGES, (case_page.render(data), case_page.render_markdown(data)), strict=True
    ):
        encoded = text.encode("utf-8", errors="backslashreplace")
        private_files.write(case.directory / name, encoded)
    return case.directory / PAGES[0]


def _searched(case: Case) -> dict[str, Any]:
    search = Search(case)
    return {
        "outcome": "culprit named" if search.answered() else "culprit not named",
        "answer": search.answer(),
        "skipped": [
            {"commit": search.name(skip.commit), "why": skip.why, "file": skip.file}
            for skip in search.state.skipped
        ],
    }


def _experiment(case: Case, experiment: Experiment, places: Mapping[str, str]) -> dict[str, Any]:
    made = case.registration(experiment.number)
    outcome = experiment.outcomes[-1] if experiment.outcomes else None
    plain = msgspec.to_builtins(outcome) if outcome is not None else {}
    due = design.next_run(made, experiment.runs, experiment.stop, experiment.repeats)
    judged = outcome is not None and due is None
    shown = plain if judged else {}
    registered = msgspec.to_builtins(made)
    kept = (
        "statement", "cause", "variable", "expected", "falsified_if", "registered_at", "seed",
        "stop_if", "alpha", "disturbed_if", "attribution_only", "duration",
    )  # fmt: skip
    return {
        **{name: registered[name] for name in kept},
        "number": experiment.number,
        "control": made.control.bundle_id,
        "sha256": experiment.registration_sha256,
        "min_effect": str(made.min_effect),
        "repeats": experiment.repeats,
        "registered_repeats": made.repeats,
        "order": [str(side) for side in experiment.order],
        "looks": len(experiment.outcomes),
        "judged": judged,
        "outcome": shown.get("outcome", UNDER_WAY),
        "why": shown.get("why", ""),
        "more_pairs": shown.get("more_pairs"),
        "signals": shown.get("signals", []),
        "facts": shown.get("facts", []),
        "errors": shown.get("errors", []),
        "seen": shown.get("expected"),
        "seen_in_control": shown.get("expected_in_control"),
        "stop": experiment.stop.reason if experiment.stop is not None else None,
        "progress": design.progress(
            made, experiment.runs, None, experiment.stop, experiment.repeats
        ),
        "runs": _runs(case, experiment, places, shown.get("signals", [])),
    }


def _runs(
    case: Case,
    experiment: Experiment,
    places: Mapping[str, str],
    compared: list[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Return the runs in order, each with its compared values; a run that does not count has none.

    A signal that some run could not tell has fewer values than runs: then none is put to a run.
    """
    counted = [run for run in experiment.runs if run.excluded is None]
    values: dict[str, dict[str, str]] = {run.bundle.bundle_id: {} for run in experiment.runs}
    for signal in compared:
        for side in design.Side:
            mine = [run.bundle.bundle_id for run in counted if run.side is side]
            known = signal[str(side)]
            if len(known) == len(mine):
                for name, value in zip(mine, known, strict=True):
                    values[name][signal["signal"]] = f"{value:.4g}"
    names = [signal["signal"] for signal in compared]
    rows = [_run(case, run, places) for run in experiment.runs]
    for row in rows:
        missing = "not compared" if row["excluded"] else "unknown"
        row["values"] = {name: values[row["bundle"]].get(name, missing) for name in names}
    return rows


def _run(case: Case, run: RunRecord, places: Mapping[str, str]) -> dict[str, Any]:
    directory = Path(places.get(run.bundle.bundle_id, "/nowhere"))
    verdict = read_object(directory / "verdict.json") if directory.is_dir() else None
    return {
        "place": run.place,
        "attempt": run.attempt,
        "side": str(run.side),
        "bundle": run.bundle.bundle_id,
        "href": _href(case, run.bundle.bundle_id, places),
        "excluded": run.excluded,
        "unchecked": list(run.unchecked),
        "verdict": str((verdict or {}).get("category", "unknown")),
    }


def _next(case_id: str, last: Mapping[str, Any] | None) -> str | None:
    if last is None:
        return None
    if last["outcome"] == UNDER_WAY:
        return str(last["progress"])
    if last["more_pairs"] and not last["stop"]:
        many = "pair" if last["more_pairs"] == 1 else "pairs"
        return (
            f"{last['more_pairs']} more {many} of runs would decide: "
            f"wktriage experiment -e extend={case_id}"
        )
    return None

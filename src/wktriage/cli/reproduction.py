"""A run done again, as a playbook takes it: what is asked, and what the screen says of the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wktriage.bundle.archive import opened
from wktriage.bundle.bundle import Bundle
from wktriage.cli import exit_codes
from wktriage.core.paths import runs_dir
from wktriage.core.tables import aligned
from wktriage.core.terminal import visible
from wktriage.experiments import reproduce
from wktriage.experiments.grounds import Bench
from wktriage.experiments.reproduce import Asked, Reproduction
from wktriage.judging import verdict_files

WIDEST = 40
STATUS = {
    "same": "same",
    "differs": "differs",
    "not_applicable": "not applicable",
    "unknown": "unknown",
}


def request_again(asked: Asked, bench: Bench) -> dict[str, Any]:
    """Return the task's result: ``run``, the extra vars of the new run. Raises UsageError."""
    with opened(asked.bundle) as directory:
        old = Bundle.open(directory)
        values = reproduce.request_of(old, asked, bench)
        # What a foreign bundle asks for is checked like anybody's wish, before it is shown.
        bench.check(values)
    says = [f"once more {old.bundle_id}", *reproduce.described(values)]
    return {"changed": False, "run": values, "say": [visible(line) for line in says]}


def compared(asked: Asked, bundle: Path, runs: str, *, dry: bool = False) -> dict[str, Any]:
    """Compare, write reproduction.json beside the new verdict, return the task's result."""
    if dry:
        return {"changed": True, "outcome": "", "say": []}
    with opened(asked.bundle) as directory:
        made = reproduce.compared(Bundle.open(directory), Bundle.open(bundle))
    file = reproduce.write(verdict_files.target(bundle, None, runs_dir(runs)), made)
    return {
        "changed": True,
        "outcome": made.outcome,
        "reproduction_file": str(file),
        "say": lines(made),
        "tell": {"exit_code": exit_codes.of_reproduction(made.outcome), "message": sentence(made)},
    }


def sentence(made: Reproduction) -> str:
    """Return the outcome as one sentence."""
    if made.outcome == "not compared":
        return "the two runs are of different classes of evidence and are not compared"
    verb = "agree" if made.outcome == "agree" else "differ"
    return f"verdict and cause of the two runs {verb}"


def lines(made: Reproduction) -> list[str]:
    """Return what the screen says: fields that are not the same, verdicts, numbers."""
    counts: dict[str, int] = {}
    for field in made.fields:
        counts[field.status] = counts.get(field.status, 0) + 1
    total = ", ".join(f"{STATUS[key]} {counts[key]}" for key in STATUS if key in counts)
    shown = [
        f"old run {made.one}, new run {made.other}",
        f"fields of the fingerprint: {total}",
    ]
    rows = [
        [field.path, STATUS[field.status], text(field.one), text(field.other), field.why or ""]
        for field in made.fields
        if field.status != "same"
    ]
    if rows:
        shown += aligned([["field", "", "old", "new", "why"], *rows])
    shown += [f"other class of evidence: {reason}" for reason in made.classes]
    parts = [[p.name, p.agreement, text(p.one), text(p.other)] for p in made.parts]
    shown += aligned([["part", "", "old", "new"], *parts])
    figures = [
        [f.number.signal, f.agreement, text(f.number.one), text(f.number.other)]
        for f in made.figures
    ]
    if figures:
        shown += aligned([["number", "", "old", "new"], *figures], right=(2, 3))
    return [*(visible(line) for line in shown), *made.remarks, sentence(made)]


def text(value: Any) -> str:
    """Return a value as a cell of a table."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        whole = ", ".join(value) or "none"
    else:
        structured = isinstance(value, Mapping | list)
        whole = json.dumps(value, sort_keys=True) if structured else str(value)
    return visible(whole if len(whole) <= WIDEST else f"{whole[: WIDEST - 1]}…")

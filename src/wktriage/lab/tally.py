"""How often the lab's injections took hold, and were felt: one row a run in ``lab.jsonl``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wktriage.core.json_files import parse_object

FILE = "lab.jsonl"


def add(runs_dir: Path, summary: Mapping[str, Any]) -> None:
    """Note a run by its summary. Raises OSError when the directory cannot be written."""
    with (runs_dir / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(summary, sort_keys=True) + "\n")


def table(runs_dir: Path, fault: str | None = None) -> list[list[str]]:
    """Return a row with its figures for each fault that ran (or only ``fault``), head first.

    An injection took hold when its check says so, and was felt when the run was called anything but
    healthy by what was measured.
    """
    counts: dict[str, list[int]] = {}
    file = runs_dir / FILE
    for line in file.read_bytes().splitlines() if file.is_file() else ():
        row = parse_object(line) or {}
        name = row.get("fault")
        if not isinstance(name, str) or fault not in (None, name):
            continue
        held = row.get("took_hold") is True
        felt = held and row.get("label") not in (None, "healthy")
        ran = counts.setdefault(name, [0, 0, 0])
        for place, more in enumerate((True, held, felt)):
            ran[place] += more
    rows = [[name, *map(str, counts[name])] for name in sorted(counts)]
    return [["fault", "runs", "took hold", "felt"], *rows] if rows else []

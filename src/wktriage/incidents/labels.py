"""labels.jsonl: what really happened in each recorded run, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from wktriage.core import private_files
from wktriage.core.categories import CategoryName, ComponentName
from wktriage.core.declarations import Declared, convert, shown
from wktriage.core.errors import UsageError

LABELS = "labels.jsonl"
ID = r"^[a-z0-9][a-z0-9-]{0,60}\Z"
READABLE = 0o644
"""Incidents are published: others read them."""

# Recordings that were handed over before the key was renamed still say it.
_FORMER = {"must_cite": "nodes"}


class Label(Declared, frozen=True):
    """What happened in one run.

    ``also_ok`` are other categories that describe it as well, ``nodes`` those that a verdict must
    name. ``fault_at_s`` counts from the first status sample, None when nothing was injected.
    ``checks`` are the lab's own that the fault took hold. ``element`` is what was at fault, in
    words; ``components`` are those by which a verdict may name it, () where that is not plain.
    """

    bundle: Annotated[str, Meta(pattern=ID)]
    label: CategoryName
    fault: str
    scenario: str
    title: str | None = None
    also_ok: tuple[CategoryName, ...] = ()
    nodes: tuple[str, ...] = ()
    fault_at_s: float | None = None
    baseline: str | None = None
    recorded_on: str | None = None
    checks: tuple[str, ...] = ()
    element: str | None = None
    components: tuple[ComponentName, ...] = ()


def read(path: Path) -> list[Label]:
    """Return the labels in a file.

    Raises UsageError with file, line, key and a suggestion for a row that is not as declared.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{shown(path)}: cannot be read: {exc}") from exc
    labels = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{shown(path)}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as exc:
            raise UsageError(f"{where}: is no JSON: {exc}") from exc
        if isinstance(row, dict):
            row = {_FORMER.get(key, key): value for key, value in row.items()}
        labels.append(convert(row, Label, where))
    return labels


def text(labels: Iterable[Label]) -> str:
    """Return the content of a file with these labels, in the order of their bundles."""
    rows = sorted((label.as_dict() for label in labels), key=lambda row: row["bundle"])
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write(path: Path, label: Label) -> None:
    """Write a bundle's label, in place of the one that it may have."""
    others = read(path) if path.is_file() else []
    kept = [other for other in others if other.bundle != label.bundle]
    private_files.write(path, text([*kept, label]).encode("utf-8"), mode=READABLE)

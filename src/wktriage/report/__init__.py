"""What is derived from a bundle for people: summary.md and report.html.

Both are rebuilt identically from the bundle and its verdict, and lie outside the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wktriage.bundle.bundle import Bundle
from wktriage.core.errors import UsageError
from wktriage.core.json_files import read_object


def write_all(bundle: Bundle, verdict: Mapping[str, Any], out: Path) -> list[Path]:
    """Write summary.md and report.html into ``out`` and return their paths. Raises OSError."""
    # Templates and plots: a screen, which needs the room's words only, does without.
    from wktriage.report import page, summary

    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in (
        ("summary.md", summary.render(verdict)),
        ("report.html", page.render(bundle, dict(verdict))),
    ):
        path = out / name
        path.write_bytes(text.encode("utf-8", errors="backslashreplace"))
        written.append(path)
    return written


def write_for(bundle: Path, out: Path) -> list[Path]:
    """Write the reports of the bundle in ``bundle`` from the verdict.json in ``out``.

    Raises UsageError when there is no verdict yet.
    """
    file = out / "verdict.json"
    verdict = read_object(file)
    if verdict is None:
        raise UsageError(f"{file}: no usable verdict, classify the bundle first")
    return write_all(Bundle.open(bundle), verdict, out)

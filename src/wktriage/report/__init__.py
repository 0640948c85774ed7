"""What is derived from a bundle for people: summary.md and report.html.

Both are rebuilt identically from the bundle and its verdict, and lie outside the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wktriage.bundle.bundle import Bundle
from wktriage.core import private_files
from wktriage.core.errors import UsageError
from wktriage.core.json_files import CAP, parse_object


def write_all(bundle: Bundle, verdict: Mapping[str, Any], out: Path) -> list[Path]:
    """Write summary.md and report.html into ``out`` and return their paths.

    Raises UsageError or InfraError when they cannot be written.
    """
    # Templates and plots: a screen, which needs the room's words only, does without.
    from wktriage.report import page, summary

    written = []
    for name, text in (
        ("summary.md", summary.render(verdict)),
        ("report.html", page.render(bundle, dict(verdict))),
    ):
        path = out / name
        data = text.encode("utf-8", errors="backslashreplace")
        private_files.write(path, data, synced=False)
        written.append(path)
    return written


def write_for(bundle: Path, out: Path) -> list[Path]:
    """Write the reports of the bundle in ``bundle`` from the verdict.json in ``out``.

    Raises UsageError when there is no verdict yet.
    """
    file = out / "verdict.json"
    try:
        verdict = parse_object(private_files.read(file, CAP) or b"")
    except OSError as exc:
        raise UsageError(f"{file}: cannot be read: {exc}") from exc
    if verdict is None:
        raise UsageError(f"{file}: no usable verdict, classify the bundle first")
    return write_all(Bundle.open(bundle), verdict, out)

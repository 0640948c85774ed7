"""What is derived from a bundle for people: summary.md and report.html.

Both are rebuilt identically from the bundle, its verdict and the cases that it takes part in, and
lie outside the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wktriage.bundle.bundle import Bundle
from wktriage.core import private_files
from wktriage.core.errors import UsageError
from wktriage.core.json_files import CAP, parse_object


@dataclass(frozen=True)
class CaseLink:
    """A case in which a bundle takes part, as its report links to it: ``href`` is relative."""

    id: str
    href: str
    standing: str
    question: str


def write_all(
    bundle: Bundle, verdict: Mapping[str, Any], out: Path, cases: Sequence[CaseLink] = ()
) -> list[Path]:
    """Write summary.md and report.html into ``out`` and return their paths.

    ``cases`` are linked to; what is judged anywhere else has none. Raises UsageError or InfraError
    when they cannot be written.
    """
    # Templates and plots: a screen, which needs the room's words only, does without.
    from wktriage.report import page, summary

    written = []
    for name, text in (
        ("summary.md", summary.render(verdict, cases)),
        ("report.html", page.render(bundle, dict(verdict), cases)),
    ):
        path = out / name
        data = text.encode("utf-8", errors="backslashreplace")
        private_files.write(path, data, synced=False)
        written.append(path)
    return written


def write_for(bundle: Path, out: Path, cases: Sequence[CaseLink] = ()) -> list[Path]:
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
    return write_all(Bundle.open(bundle), verdict, out, cases)

"""What one host handed in, and how its collectors fared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from wktriage.bundle import layout
from wktriage.bundle.archive import Limits, unpack
from wktriage.core import private_files, schemas
from wktriage.core.errors import InfraError
from wktriage.core.json_files import read_object
from wktriage.core.times import iso

LIMITS = Limits(members=200_000, member_bytes=1 << 30, total_bytes=8 << 30)
"""Bounds on what one host may hand in: far above any real run, below what fills a disk."""

PROBLEM = ".problem"
"""Ends the file, beside what hosts handed in, that says why one handed in nothing."""

PROBLEM_CHARS = 300
SILENT_SINCE = re.compile(r"has not answered since (\S+Z)")
"""What a problem says of a host that fell silent while the run went on, and when it last spoke."""

REPORT, STATE = "collectors.json", "state.json"
_OWN_FILES = frozenset({REPORT, STATE, "collector.log"})
_EVIDENCE_DIR = "evidence"


@dataclass
class HostEvidence:
    """What one host handed in: its directory and what its collector reports.

    ``report`` is the collector's collectors.json and ``state`` its state.json, each empty when it
    is missing or unusable. ``problem`` says what is missing or was refused, None for nothing.
    """

    host: str
    root: Path
    report: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None

    @property
    def lead(self) -> bool:
        """Whether this host watched the simulator."""
        return bool(self.report.get("lead") or self.state.get("lead"))

    @property
    def evidence(self) -> Path:
        """The directory of its files, in the bundle's layout. It need not exist."""
        return self.root / _EVIDENCE_DIR


def fell_silent(last_heard: float) -> str:
    """Return the problem of a host that last answered at that time, in epoch seconds."""
    return f"it has not answered since {iso(last_heard)}"


def known_problem(host: str, folder: Path | None) -> str | None:
    """Return what the controller met when it asked a host; None when it met nothing."""
    data = None if folder is None else private_files.read(folder / f"{host}{PROBLEM}", 1 << 16)
    return " ".join((data or b"").decode("utf-8", "replace").split())[:PROBLEM_CHARS] or None


def read(host: str, archive: Path | None, root: Path, why: str | None = None) -> HostEvidence:
    """Unpack what a host's collector packed into the new directory ``root`` and return it.

    ``why`` is known of a host that handed in nothing. Never raises for what the host sent: a
    missing or unusable archive becomes the ``problem``.
    """
    root.mkdir(parents=True)
    evidence = HostEvidence(host, root)
    if archive is None or not archive.is_file():
        evidence.problem = f"nothing could be fetched from this host: {why or 'it had nothing'}"
        return evidence
    try:
        refused = unpack(archive, root, LIMITS, _problem)
    except InfraError as exc:
        evidence.problem = str(exc)
        return evidence
    evidence.state = read_object(root / STATE) or {}
    report = read_object(root / REPORT) or {}
    if schemas.problem("collectors", report) is None:
        evidence.report = report
    if refused:
        entries = "entry" if len(refused) == 1 else "entries"
        evidence.problem = f"left out {len(refused)} {entries}, first {refused[0]}"
    elif not evidence.report:
        phase = evidence.state.get("phase", "unknown")
        evidence.problem = f"the collector died in phase {phase}"
    return evidence


def collector_rows(host: HostEvidence, broken: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the manifest's row of each collector of a host, with the names of its files.

    ``broken`` maps each JSON-lines file whose rows break their schema to what is wrong.
    """
    entries = host.report.get("collectors") or []
    if not entries:
        handed_in = set(layout.relative_files(host.evidence))
        files = [name for name in layout.ROWS if name in handed_in]
        return [_own_row(host, "partial" if files else "failed", files)]
    rows = [_own_row(host, "partial" if host.problem else "ok", [])]
    for entry in entries:
        row = {k: entry[k] for k in ("name", "status", "duration_s", "error", "files")}
        error = next((f"{n} {broken[n]}" for n in entry["files"] if n in broken), None)
        if error:
            row.update(status="partial", error=error)
        rows.append({**row, "host": host.host})
    return rows


def _own_row(host: HostEvidence, status: str, files: list[str]) -> dict[str, Any]:
    return {
        "name": "collector", "host": host.host, "status": status, "error": host.problem,
        "files": files, "duration_s": host.state.get("elapsed_s"),
    }  # fmt: skip


def _problem(name: PurePosixPath) -> str | None:
    """Return why a member of a host's archive is refused; None for one of the layout."""
    if name.as_posix() in _OWN_FILES:
        return None
    if name.parts[:1] == (_EVIDENCE_DIR,) and layout.is_evidence("/".join(name.parts[1:])):
        return None
    return "not a file of the bundle layout"

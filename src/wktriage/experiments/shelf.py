"""The bundles that lie in a runs directory: listed, and pruned without breaking what needs them.

What git refs were built to (:mod:`wktriage.stack.builds`) lies there too, and goes with its runs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from wktriage.bundle.bundle import Bundle
from wktriage.core.errors import TriageError, UsageError
from wktriage.core.json_files import read_object
from wktriage.experiments import case as cases_of
from wktriage.experiments.case import Case
from wktriage.experiments.investigation import journal
from wktriage.request import code as codes
from wktriage.run import record
from wktriage.stack import builds


class Row(msgspec.Struct, frozen=True):
    """One bundle. ``category`` is that of its verdict.json, ``not classified`` without one."""

    id: str
    created: str
    scenario: str
    mode: str
    purpose: str
    driver: str
    category: str
    confidence: float | None
    nodes: tuple[str, ...]
    complete: bool
    bytes: int


@dataclass(frozen=True)
class Built:
    """What was built of a git ref, or is left of a build that failed: where, and its bytes."""

    path: Path
    bytes: int


@dataclass(frozen=True)
class Prune:
    """What goes, and what is old enough to go and stays, with the reason; the builds that go."""

    removed: tuple[Row, ...]
    needed: tuple[tuple[Row, str], ...]
    builds: tuple[Built, ...]


def runs(runs_dir: Path) -> list[Row]:
    """Return the bundles with a readable manifest, newest first."""
    rows = []
    for path in runs_dir.glob("[!.]*/manifest.json"):
        manifest = read_object(path)
        if manifest is not None and not path.parent.is_symlink():
            rows.append(_row(path.parent, manifest))
    return sorted(rows, key=lambda row: (row.created, row.id), reverse=True)


def bundle(name: str, runs_dir: Path) -> Bundle:
    """Return a bundle by its directory, or by its id in ``runs_dir``. Raises UsageError."""
    for path in (Path(name).expanduser(), runs_dir / name):
        if path.is_dir():
            return Bundle.open(path)
    raise UsageError(f"{name}: no such directory, and no bundle in {runs_dir}")


def plan_prune(runs_dir: Path, cases_dir: Path, keep: int) -> Prune:
    """Return which bundles are removed so that the ``keep`` newest stay.

    What a case refers to stays, and what a bundle that stays names as its baseline. A case that
    cannot be read might need any of them: then nothing is pruned. Raises UsageError for that.
    A build goes when no run that stays ran it and no experiment is about its commit; it can be
    built again.
    """
    rows = runs(runs_dir)
    needed: dict[str, str] = {}
    for case_id, name in _of_cases(cases_dir):
        needed.setdefault(name, f"case {case_id} needs it")
    staying = [row.id for row in rows[:keep]] + [row.id for row in rows if row.id in needed]
    while staying:
        vouching = _baseline(runs_dir / staying.pop())
        if vouching is not None and vouching not in needed:
            needed[vouching] = "it is the baseline of a run that stays"
            staying.append(vouching)
    old = rows[keep:]
    removed = tuple(row for row in old if row.id not in needed)
    remaining = {row.id for row in rows} - {row.id for row in removed}
    return Prune(
        removed,
        tuple((row, needed[row.id]) for row in old if row.id in needed),
        tuple(_unneeded_builds(runs_dir, cases_dir, remaining)),
    )


def _unneeded_builds(runs_dir: Path, cases_dir: Path, staying: Collection[str]) -> Iterator[Built]:
    """Yield the builds that nothing needs which stays, by name.

    All are needed while a run is under way or waits to be finalised, and a young one may be under
    way itself.
    """
    directory = runs_dir / codes.DIRECTORY
    if directory.is_symlink() or not directory.is_dir() or record.under_way(runs_dir):
        return
    needed = {codes.build_of(_inputs(runs_dir / name)) for name in staying}
    commits = tuple(set(_commits_of_cases(cases_dir)))
    for entry in sorted(directory.iterdir()):
        young = time.time() - entry.lstat().st_mtime < builds.SECONDS
        if entry.name not in needed and not entry.name.startswith(commits) and not young:
            yield Built(entry, _bytes_of(entry))


def _inputs(directory: Path) -> Mapping[str, Any]:
    inputs = (read_object(directory / "fingerprint.json") or {}).get("inputs")
    return inputs if isinstance(inputs, Mapping) else {}


def _commits_of_cases(cases_dir: Path) -> Iterator[str]:
    """Yield the commits that are compared in experiments."""
    for path in sorted(cases_dir.glob(f"*/{cases_of.NAME}")):
        case = Case.load(cases_dir, path.parent.name)
        for experiment in case.document.experiments:
            variable = case.registration(experiment.number).variable
            if variable.kind == codes.CODE:
                yield from (str(variable.before), str(variable.after))


def _bytes_of(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder; links are not followed."""
    files = [path] if not path.is_dir() or path.is_symlink() else []
    if not files:
        files = [Path(where) / name for where, _, names in os.walk(path) for name in names]
    return sum(file.lstat().st_size for file in files)


def _of_cases(cases_dir: Path) -> Iterator[tuple[str, str]]:
    """Yield (case, bundle) for every bundle that a case refers to."""
    for path in sorted(cases_dir.glob(f"*/{cases_of.NAME}")):
        name = path.parent.name
        try:
            case = Case.load(cases_dir, name)
            for experiment in case.document.experiments:
                yield name, case.registration(experiment.number).control.bundle_id
                for run in experiment.runs:
                    yield name, run.bundle.bundle_id
            story = journal.load(case)
            for step in story.steps if story is not None else ():
                if step.bundle is not None:
                    yield name, step.bundle
        except TriageError as exc:
            raise UsageError(
                f"case {name} cannot be read, and might need any run: {exc}. Nothing is removed"
            ) from exc
        search = case.document.bisection
        if search is not None and search.control is not None:
            yield name, search.control
        verification = case.document.verification
        for verified in verification.runs if verification is not None else ():
            yield name, verified.bundle.bundle_id


def _baseline(directory: Path) -> str | None:
    reference = read_object(directory / "references" / "baseline.json") or {}
    name = reference.get("bundle") or reference.get("bundle_id")
    return str(name) if isinstance(name, str) else None


def _row(directory: Path, manifest: Mapping[str, Any]) -> Row:
    verdict = read_object(directory / "verdict.json") or {}
    confidence = verdict.get("confidence")
    nodes = verdict.get("nodes")
    files = manifest.get("files")
    sizes = (
        [f.get("bytes") for f in files if isinstance(f, dict)] if isinstance(files, list) else []
    )
    return Row(
        id=directory.name,
        created=str(manifest.get("created") or ""),
        scenario=str(manifest.get("scenario") or "unknown"),
        mode=str(manifest.get("mode") or "unknown"),
        purpose=str(manifest.get("purpose") or "unknown"),
        driver=str(manifest.get("driver") or "unknown"),
        category=str(verdict.get("category") or "not classified"),
        confidence=confidence if isinstance(confidence, int | float) else None,
        nodes=tuple(map(str, nodes[:6])) if isinstance(nodes, list) else (),
        complete=manifest.get("complete") is True and not manifest.get("interrupted"),
        bytes=sum(size for size in sizes if isinstance(size, int)),
    )

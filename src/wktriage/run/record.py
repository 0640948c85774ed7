"""Where a run keeps what it knows while it runs, so that the next command can finish it.

``runs_dir/<bundle_id>/`` is the bundle, ``runs_dir/.work/<bundle_id>/`` holds the harness's own
files of that run, and ``runs_dir/.pending/<bundle_id>.json`` exists from before the stack starts
until the bundle is complete. ``runs_dir/.timings/<bundle_id>.json`` keeps how long each phase took:
it lies outside, since judging comes after the bundle is closed.
"""

from __future__ import annotations

import glob
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wktriage.bundle.assembly import failure_text, scratch_prefix
from wktriage.core.errors import InfraError, UsageError
from wktriage.core.json_files import read_object, write_object
from wktriage.core.private_files import PRIVATE_DIRECTORY, directory, write
from wktriage.core.times import parse_time, utc_now
from wktriage.request.request import Request
from wktriage.run.lock import process_start

SCHEMA_VERSION = 1
RESERVE_BYTES = 256 * 1024
"""Kept back on the disk from the start, so that a disk that fills can still be told (bytes)."""


@dataclass(frozen=True)
class RunPaths:
    """The places of one run."""

    runs_dir: Path
    bundle_id: str

    @classmethod
    def of(cls, request: Request) -> RunPaths:
        """Return the places of a request's run."""
        return cls(Path(request.runs_dir), request.bundle_id)

    @property
    def bundle(self) -> Path:
        """The bundle."""
        return self.runs_dir / self.bundle_id

    @property
    def work(self) -> Path:
        """The harness's own files of the run."""
        return self.runs_dir / ".work" / self.bundle_id

    @property
    def run_file(self) -> Path:
        """What was asked and what the stack turned out to be; assemble's inputs."""
        return self.work / "run.json"

    @property
    def topology_file(self) -> Path:
        """The stack as its driver exported it."""
        return self.work / "topology.json"

    @property
    def pending_file(self) -> Path:
        """The mark of an unfinished run."""
        return self.runs_dir / ".pending" / f"{self.bundle_id}.json"

    @property
    def reserve_file(self) -> Path:
        """What is given up when the disk is full, to write down why the run failed."""
        return self.runs_dir / ".pending" / f".{self.bundle_id}.reserve"

    @property
    def timings_file(self) -> Path:
        """Seconds that each phase took."""
        return self.runs_dir / ".timings" / f"{self.bundle_id}.json"

    @property
    def collector(self) -> Path:
        """Where the collector of a local host works."""
        return self.work / "collector"

    def as_dict(self) -> dict[str, str]:
        """Return the places that playbooks need."""
        return {
            "bundle": str(self.bundle),
            "work": str(self.work),
            "run_file": str(self.run_file),
            "topology_file": str(self.topology_file),
            "collector": str(self.collector),
        }


def begin(
    paths: RunPaths,
    run: Mapping[str, Any],
    *,
    pid: int,
    since: str | None = None,
    remote: Sequence[str] = (),
) -> None:
    """Make the run's directories, its run.json and its pending mark.

    ``since`` is when the request was taken; what passed until now is phase ``preflight``.
    ``remote`` names the hosts that are other machines: only a playbook gets at what they have.
    Raises UsageError when the bundle is there already: a bundle is written once.
    """
    try:
        paths.runs_dir.mkdir(parents=True, exist_ok=True)
        paths.bundle.mkdir(mode=PRIVATE_DIRECTORY)
    except FileExistsError as exc:
        raise UsageError(f"{paths.bundle} is there already: a bundle is written once") from exc
    marks = (paths.pending_file.parent, paths.timings_file.parent)
    for path in (paths.work.parent, paths.work, *marks):
        directory(path)
    write_object(paths.run_file, run)
    write(paths.reserve_file, b"\1" * RESERVE_BYTES)
    write_object(
        paths.pending_file,
        {
            "schema_version": SCHEMA_VERSION,
            "bundle_id": paths.bundle_id,
            "bundle_dir": str(paths.bundle),
            "work_dir": str(paths.work),
            "collector_dir": str(paths.collector),
            "run_file": str(paths.run_file),
            "topology_file": str(paths.topology_file),
            "project": run.get("project"),
            "driver": run.get("driver"),
            "remote": list(remote),
            "pid": pid,
            "pid_start": process_start(pid),
            "started": utc_now(),
        },
    )
    start = since or utc_now()
    write_object(
        paths.timings_file,
        {"schema_version": SCHEMA_VERSION, "bundle_id": paths.bundle_id, "at": start, "wall": {}},
    )
    mark(paths, "preflight")


def mark(
    paths: RunPaths, phase: str, *, failed: Mapping[str, Any] | None = None
) -> dict[str, float]:
    """End a phase: note its seconds, and take over what the stack's driver has found out.

    Returns the seconds of all phases so far, with their sum as ``total``.
    """
    timings = read_object(paths.timings_file)
    if timings is None:
        raise InfraError(f"{paths.timings_file} cannot be read: the run was not opened")
    now = utc_now()
    # A clock that was set back meanwhile makes no phase shorter than nothing.
    took = max(0.0, (parse_time(now) or 0.0) - (parse_time(timings["at"]) or 0.0))
    wall: dict[str, float] = timings["wall"]
    wall[phase] = round(wall.get(phase, 0.0) + took, 3)
    wall["total"] = round(sum(v for k, v in wall.items() if k != "total"), 3)
    _note(paths, paths.timings_file, {**timings, "at": now, "wall": wall})
    run = read_object(paths.run_file)
    if run is not None:
        run.update(read_object(paths.work / "stack.json") or {})
        run["wall"] = wall
        if failed is not None:
            run["failed"] = {k: str(v)[:2000] for k, v in failed.items()}
        _note(paths, paths.run_file, run)
    return wall


BETWEEN_SECONDS = 20
"""What passes between two runs: preflight, judging, the report."""


def seconds_of(runs_dir: Path, bundle_id: str) -> float | None:
    """Return what a run took, in seconds; None when it is not known."""
    timings = read_object(RunPaths(runs_dir, bundle_id).timings_file) or {}
    total = (timings.get("wall") or {}).get("total")
    return float(total) if isinstance(total, int | float) else None


def _note(paths: RunPaths, file: Path, document: Mapping[str, Any]) -> None:
    """Write a file of the run; on a full disk with the help of what was reserved."""
    try:
        write_object(file, document)
    except InfraError:
        if not paths.reserve_file.exists():
            raise
        paths.reserve_file.unlink(missing_ok=True)
        write_object(file, document)


def note_interruption(paths: RunPaths, reason: str) -> bool:
    """Note in the mark of a run why it ends early; tell whether there is such a run."""
    pending = read_object(paths.pending_file)
    if pending is None:
        return False
    _note(paths, paths.pending_file, {**pending, "interrupted": reason})
    return True


def why_unfinished(paths: RunPaths) -> str | None:
    """Return what the run itself noted of its end, before it could close; None for nothing.

    It is better known than what can be guessed from outside.
    """
    noted = (read_object(paths.pending_file) or {}).get("interrupted")
    failed = (read_object(paths.run_file) or {}).get("failed")
    if isinstance(noted, str):
        return noted
    return failure_text(failed) if isinstance(failed, Mapping) else None


def end(paths: RunPaths) -> None:
    """Remove the pending mark and the work files: the bundle is complete.

    What a process that was killed had of it, half put together, goes too.
    """
    halves = paths.runs_dir.glob(f"{glob.escape(scratch_prefix(paths.bundle))}*")
    for folder in (paths.work, *halves):
        shutil.rmtree(folder, ignore_errors=True)
    paths.reserve_file.unlink(missing_ok=True)
    paths.pending_file.unlink(missing_ok=True)


def under_way(runs_dir: Path) -> bool:
    """Tell whether a run is under way there, or was interrupted and waits to be finalised."""
    return any((runs_dir / ".pending").glob("*.json"))


def interrupted(runs_dir: Path) -> list[RunPaths]:
    """Return the runs whose process is gone while their pending mark is there, oldest first."""
    runs = []
    for mark in sorted((runs_dir / ".pending").glob("*.json")):
        raw = read_object(mark) or {}
        try:
            start = process_start(int(raw["pid"]))
            alive = start is not None and start == raw["pid_start"]
        except (ValueError, KeyError, TypeError):
            # A torn mark still names its run by its file name.
            alive = False
        if not alive:
            runs.append(RunPaths(runs_dir, mark.stem))
    return runs

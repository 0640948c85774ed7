"""Bundles that no running playbook will finish: interrupted runs, and runs that may not start.

``python -m wktriage.run.recovery RUNS_DIR BUNDLE_ID PID`` is the run's own guard: it waits,
detached, until the run is closed or its controller is gone, and then finishes the bundle at once.
Should it be gone too (a reboot), the next command does the same. A run on other machines waits for
the next command in any case: their evidence has to be fetched, which takes a playbook.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wktriage import report
from wktriage.bundle import assembly, fingerprint
from wktriage.core.errors import TriageError
from wktriage.core.json_files import read_object, write_object
from wktriage.judging.verdict import verdict_of
from wktriage.judging.verdict_files import write_verdict
from wktriage.run.baseline import find_twin, reference
from wktriage.run.interrupted import assemble_interrupted
from wktriage.run.interruption import CONTROLLER_GONE
from wktriage.run.lock import process_start
from wktriage.run.record import RunPaths, begin, end, interrupted, why_unfinished
from wktriage.stack import drivers

WATCH_SECONDS = 1.0
HUNG_SECONDS = 60.0
"""An interrupted controller that has not ended by then will not: it takes a second or two."""


def finalise_all(
    runs_dir: Path, *, reason: str = CONTROLLER_GONE, asked: Sequence[str] = ()
) -> list[Path]:
    """Finish every interrupted run under ``runs_dir``; return the bundles, oldest first.

    Runs on other machines are left alone unless some of those were ``asked`` for what they have.
    Waits for another process that is at it, so that a stack is never taken down under a new run.

    What the collector has gathered goes into the bundle, marked as interrupted, and the stack
    that the dead run left behind is taken down. Raises TriageError when one can't be finished;
    its mark stays, so nothing is forgotten.
    """
    marks = runs_dir / ".pending"
    if not marks.is_dir():
        return []
    with (marks / ".finishing").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        runs = [paths for paths in interrupted(runs_dir) if not _is_elsewhere(paths, asked)]
        return [_finalise(paths, reason) for paths in runs]


def to_fetch(runs_dir: Path, hosts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the interrupted runs that have evidence on some of these hosts.

    For each its ``bundle_id``, ``paths``, ``stack`` (driver and project) and ``reason``.
    """
    runs = []
    for paths in interrupted(runs_dir):
        pending = read_object(paths.pending_file) or {}
        if set(remote_hosts(paths)) & set(hosts) and paths.topology_file.exists():
            runs.append(
                {
                    "bundle_id": paths.bundle_id,
                    "paths": paths.as_dict(),
                    "stack": {name: pending.get(name) for name in ("driver", "project")},
                    "reason": str(pending.get("interrupted") or CONTROLLER_GONE),
                }
            )
    return runs


def _is_elsewhere(paths: RunPaths, asked: Sequence[str]) -> bool:
    remote = remote_hosts(paths)
    return bool(remote) and not set(remote) & set(asked)


def remote_hosts(paths: RunPaths) -> list[str]:
    """Return the hosts of an open run that are other machines."""
    names = (read_object(paths.pending_file) or {}).get("remote")
    return [str(name) for name in names] if isinstance(names, list) else []


def guard_run(paths: RunPaths, pid: int) -> None:
    """Start the run's guard, detached from this process and its terminal."""
    argv = [sys.executable, "-m", __name__, str(paths.runs_dir), paths.bundle_id, str(pid)]
    subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )


def watch(paths: RunPaths, pid: int) -> None:
    """Wait until the run is closed; finish it when process ``pid`` is gone before that.

    One that was interrupted and has not ended HUNG_SECONDS later is ended.
    """
    start = process_start(pid)
    hung_at: float | None = None
    while paths.pending_file.exists():
        if start is None or process_start(pid) != start:
            finalise_all(paths.runs_dir)
            return
        if hung_at is None and (read_object(paths.pending_file) or {}).get("interrupted"):
            hung_at = time.monotonic() + HUNG_SECONDS
        if hung_at is not None and time.monotonic() > hung_at:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(WATCH_SECONDS)


def _finalise(paths: RunPaths, reason: str) -> Path:
    pending = read_object(paths.pending_file)
    if pending is None or not paths.topology_file.exists():
        # There is no evidence to save, but what was just being created may be half there.
        if pending is not None and pending.get("driver") in drivers.names():
            with suppress(TriageError):
                _take_down(pending, paths.runs_dir)
        _remove_empty(paths.bundle)
        end(paths)
        return paths.bundle
    reason = why_unfinished(paths) or reason
    try:
        bundle = assemble_interrupted(paths.pending_file, reason)
    finally:
        # A bundle that a full disk does not let be must not keep the stack running.
        _take_down(pending, paths.runs_dir)
    end(paths)
    write_verdict(bundle, bundle)
    report.write_for(bundle, bundle)
    return bundle


def _take_down(pending: Mapping[str, Any], runs_dir: Path) -> None:
    driver = drivers.named(str(pending.get("driver")))
    driver.remove(str(pending.get("project")), runs_dir)


def refer(paths: RunPaths, baseline: Path) -> Path:
    """Write the reference to the baseline that vouches for a run; return its file."""
    paths.work.mkdir(parents=True, exist_ok=True)
    file = paths.work / "baseline.json"
    write_object(file, reference(baseline, verdict_of(baseline)))
    return file


def refer_twin(runs_dir: Path, run_file: Path, topology_file: Path) -> dict[str, Path]:
    """Write the reference to the clean twin of a run on accumulated data, beside ``run_file``.

    Returns it by its name, or nothing: for a clean run, when there is no twin, and for a replay,
    which brings what its recording referred to.
    """
    run, topology = read_object(run_file), read_object(topology_file)
    if run is None or topology is None or topology.get("replay_of"):
        return {}
    inputs = fingerprint.inputs_of(run, topology)
    if inputs["mode"] != "accumulated":
        return {}
    twin = find_twin(
        runs_dir,
        inputs,
        run.get("image_digest"),
        now=datetime.now(UTC),
        judge=verdict_of,
    )
    if twin.reference is None:
        return {}
    file = run_file.with_name("clean-twin.json")
    write_object(file, twin.reference)
    return {"clean-twin": file}


def refuse(paths: RunPaths, run: Mapping[str, Any], baseline: Path, *, pid: int) -> Path:
    """Make the bundle of a run that was not started because its baseline is not healthy.

    It holds what was asked, the baseline's topology, and ``references/baseline.json``.
    """
    begin(paths, {**run, "refused": "baseline"}, pid=pid)
    assembly.assemble(
        paths.bundle,
        {},
        paths.run_file,
        baseline / "topology.json",
        references={"baseline": refer(paths, baseline)},
    )
    end(paths)
    return paths.bundle


def _remove_empty(bundle: Path) -> None:
    try:
        bundle.rmdir()
    except OSError as exc:
        if bundle.exists():
            raise TriageError(f"{bundle} is neither empty nor finished: look at it") from exc


if __name__ == "__main__":
    watch(RunPaths(Path(sys.argv[1]), sys.argv[2]), int(sys.argv[3]))

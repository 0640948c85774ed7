"""Disturb a triage on the replay stack in every way at every phase; print what was there after it.

    python -m bench.faults [--only WORDS ...] [--at-once 3]

Each of WORDS chooses cells by a part of their names. A cell passes when the command ends, nothing
of it runs 60 s later, the bundle is whole or says why it is not, no mark or work file of the run is
left, and the next command works. Full disks and a second user need root; Linux only. Ends with 1
when a cell does not pass.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.faultcells import CLOCK, Cell, cells, row
from bench.faultcollector import HOSTILE, collected
from tests.disturbed import PROJECT, Disturbed, NotReachedError
from tests.replayproject import Project

DISK = 64 * 1024 * 1024


def disturbed(cell: Cell, project: Project, place: Path) -> str:
    """Run one cell; return its row."""
    more = {}
    (place / "runs").mkdir(parents=True)
    if cell.clock:
        (place / "sitecustomize.py").write_text(CLOCK)
        more = {"PYTHONPATH": f"{project.home / 'src'}{os.pathsep}{place}",
                "WKTRIAGE_CLOCK": str(place / "clock")}  # fmt: skip
    run = Disturbed(project, place, **more)
    began = time.monotonic()
    code: int | None = None
    late = cell.mount is not None and "*" in cell.mount
    with ExitStack() as disks:
        if cell.mount is not None and not late:
            cell.disk = disks.enter_context(mounted(run.runs / cell.mount))
        run.start()
        try:
            with ExitStack() as disk_of_its_own:
                if cell.mount is not None and late:
                    run.await_phase("create")
                    folder, name = os.path.split(cell.mount)
                    where = next(run.runs.glob(folder)) / name
                    cell.disk = disk_of_its_own.enter_context(mounted(where))
                run.await_phase(cell.phase)
                cell.fault(cell, run)
                code = run.ended()
                if code is None:
                    cell.wrong.append("the command did not end")
                cell.wrong += [f"runs on: {words}" for words in run.settled()]
        except NotReachedError as exc:
            cell.wrong.append(str(exc))
        finally:
            run.end_all()
        took = time.monotonic() - began
        if cell.freed is not None:
            cell.freed()
        if (problem := run.next_command()) is not None:
            cell.wrong.append(f"the next command: {' '.join(problem.split())}")
        checked(cell, run, code)
        bundle, why = run.bundle(), run.why()
    text = run.log.read_text(errors="replace")
    for sign in ("Traceback", "mistake in wktriage"):
        if sign in text:
            seen = " ".join(text[text.index(sign) :].replace("|", " ").split())
            cell.wrong.append(f"was printed: {seen[:100]} … {seen[-300:]}")
    there = "no bundle" if bundle is None else f"bundle: {why or 'whole'}"
    return row(cell, there, code, took)


def checked(cell: Cell, run: Disturbed, code: int | None) -> None:
    """Note what is not as it must be after a cell."""
    bundle, why = run.bundle(), run.why()
    if cell.bundle and bundle is None:
        cell.wrong.append("there is no bundle")
    if cell.says not in (why or ""):
        cell.wrong.append(f"the bundle does not say {cell.says!r}")
    cell.wrong += [f"left {name}" for name in run.remains()[:3]]
    if code == 1 or cell.exits not in (None, code):
        cell.wrong.append(f"ended with {code}")


@contextlib.contextmanager
def mounted(where: Path) -> Iterator[Path]:
    """Put a small file system of its own at a directory, for a while."""
    where.mkdir(parents=True, exist_ok=True, mode=0o700)
    options = ("-o", f"size={DISK},mode=700")
    subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(where)], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)
        # What could not be removed as long as it was a disk.
        with contextlib.suppress(OSError):
            where.rmdir()
            where.parent.rmdir()


# ------------------------------------------------------------------ two users

OTHER = """\
import os, sys, time
from pathlib import Path
from wktriage.run import lock
os.setgid(65534); os.setuid(65534)
path = lock.lock_path(sys.argv[1], directory=Path(sys.argv[2]))
lock.acquire(path, pid=os.getpid(), run_id="theirs", now="2026-01-01T00:00:00.000Z")
print("held", flush=True); time.sleep(600)
"""


def two_users(dies: bool, project: Project, place: Path) -> str:
    """Let another user hold the stack, alive or dead; return the row."""
    name = "another user died with the stack" if dies else "another user holds the stack"
    cell = Cell(name, "preflight", lambda _c, _r: None, bundle=dies or None)
    run = Disturbed(project, place)
    (place / "tmp").chmod(0o1777)
    for parent in (place, *place.parents[:2]):
        parent.chmod(parent.stat().st_mode | 0o055)
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER, PROJECT, str(place / "tmp")], stdout=subprocess.PIPE,
        env=project.environment(),
    )  # fmt: skip
    began = time.monotonic()
    try:
        assert other.stdout is not None
        other.stdout.readline()
        if dies:
            other.kill()
            other.wait()
        run.start()
        code = run.ended()
        if not dies:
            if "run theirs" not in run.log.read_text() or code != 6:
                cell.wrong.append("it was not said who holds the stack")
            other.kill()
            other.wait()
        cell.wrong += [f"runs on: {words}" for words in run.settled()]
        if (problem := run.next_command()) is not None:
            cell.wrong.append(f"the next command: {problem}")
    finally:
        run.end_all()
        other.kill()
        other.communicate()
    checked(cell, run, code)
    there = "no bundle" if run.bundle() is None else f"bundle: {run.why() or 'whole'}"
    return row(cell, there, code, time.monotonic() - began)


# ------------------------------------------------------------------ the table


def main() -> int:
    """Run the chosen cells; print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[""])
    parser.add_argument("--at-once", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wktriage-faults-") as temporary:
        home = Path(temporary)
        project = Project(home)
        jobs: list[tuple[str, Callable[[Path], str]]] = [
            (f"{c.name}, {c.phase}", partial(disturbed, c, project)) for c in cells()
        ]
        jobs += [(how, partial(collected, how)) for how in HOSTILE]
        jobs += [("two users", partial(two_users, dies, project)) for dies in (False, True)]
        chosen = [job for name, job in jobs if any(part in name for part in asked.only)]
        print("| fault | phase | what is there | exit | seconds | passes |\n|" + " --- |" * 6)
        # Started in the background, it may be ignored here, and so by everything that is started.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        failed = 0
        with ThreadPoolExecutor(asked.at_once) as pool:
            done = pool.map(lambda n, job: job(home / f"cell{n}"), range(len(chosen)), chosen)
            for text in done:
                failed += not text.endswith("| yes |")
                print(text, flush=True)
    print(f"\n{len(chosen)} cells, {failed} do not pass")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

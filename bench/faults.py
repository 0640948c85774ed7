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
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.disturbed import PHASES, PROJECT, Disturbed, NotReachedError, until
from tests.replayproject import Project
from tests.unit.collectstack import Detached, Stack

Fault = Callable[["Cell", Disturbed], None]
OPENED = PHASES[1:]
DISK = 64 * 1024 * 1024
CLOCK = """\
import datetime, os, time
def _stepped(real, unit, file=os.environ["WKTRIAGE_CLOCK"]):
    def now():
        try:
            with open(file) as handle:
                return real() + int(handle.read() or 0) * unit
        except OSError:
            return real()
    return now
time.time, time.time_ns = _stepped(time.time, 1), _stepped(time.time_ns, 10**9)
class _Kind(type):
    def __instancecheck__(cls, value, real=datetime.datetime):
        return isinstance(value, real)
class _Datetime(datetime.datetime, metaclass=_Kind):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)
    @classmethod
    def utcnow(cls):
        return cls.utcfromtimestamp(time.time())
_Datetime.__name__ = _Datetime.__qualname__ = _Datetime.__module__ = "datetime"
datetime.datetime = _Datetime
"""
"""Every Python of a run reads its clock through this; a shell does not."""

UNDISTURBED = 4
"""The exit code of a run that nothing happens to: its window is too short to tell anything."""


@dataclass
class Cell:
    """One fault at one moment.

    ``bundle`` says whether there must be one (None: either way), ``says`` part of its reason,
    ``exits`` the exit code that the fault must not change, ``mount`` what of the run's directory
    lies on a small disk of its own, from the start or, with a star in it, once it is known.
    """

    name: str
    phase: str
    fault: Fault
    bundle: bool | None = True
    says: str = ""
    exits: int | None = None
    mount: str | None = None
    clock: bool = False
    wrong: list[str] = field(default_factory=list)
    disk: Path | None = None
    freed: Callable[[], None] | None = None


# ------------------------------------------------------------------ faults


def _signalled(who: str, number: int, _cell: Cell, run: Disturbed) -> None:
    assert run.process is not None
    if who == "terminal":
        os.killpg(run.process.pid, number)
        return
    find = {"controller": run.controller, "task": run.worker, "collector": run.collector,
            "stand-in": run.standin}.get(who, lambda: run.process and run.process.pid)  # fmt: skip
    deadline = time.monotonic() + 5
    while (pid := find()) is None:
        if time.monotonic() > deadline:
            raise NotReachedError(f"no {who} in this phase")
    os.kill(pid, number)


def _filled(cell: Cell, _run: Disturbed) -> None:
    assert cell.disk is not None
    filler = cell.disk / ".filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as out:
        while True:
            out.write(b"\0" * 4096)
    cell.freed = partial(filler.unlink, missing_ok=True)


def _vanished(pattern: str, _cell: Cell, run: Disturbed) -> None:
    for path in list(run.runs.glob(pattern)) if pattern else [run.runs]:
        shutil.rmtree(path, ignore_errors=True)


def _stepped(seconds: int, _cell: Cell, run: Disturbed) -> None:
    (run.place / "clock").write_text(str(seconds))


def _ports_taken(_cell: Cell, _run: Disturbed) -> None:
    for port in (26001, 26002, 26003, 29091, 26100):
        with contextlib.suppress(OSError):
            taken = socket.create_server(("127.0.0.1", port))
            HELD.append(taken)


HELD: list[socket.socket] = []


def cells() -> Iterator[Cell]:
    """Yield every cell that a run on the replay stack goes through."""
    names = {2: "SIGINT", 15: "SIGTERM", 9: "SIGKILL", 1: "SIGHUP", 19: "SIGSTOP"}
    for who, numbers, phases in (
        ("controller", (2, 15, 9), PHASES),
        ("runner", (15, 9), PHASES),
        ("terminal", (2, 1), PHASES),
        ("task", (9,), ("create", "window", "collect")),
        ("collector", (2, 15, 9), ("start", "window")),
        ("stand-in", (2, 15, 9), ("held", "start", "window")),
        ("stand-in", (19,), ("start", "window")),
    ):
        for number in numbers:
            for phase in phases:
                needed: bool | None = phase in PHASES[3:] or (who, number) == ("runner", 9)
                if phase in PHASES[:3] and (who, number) != ("runner", 9):
                    needed = None
                yield Cell(f"{names[number]} of the {who}", phase,
                           partial(_signalled, who, number), needed)  # fmt: skip
    for phase in ("held", "start", "window", "collect", "judge"):
        yield Cell("disk of the controller full", phase, _filled, None, mount=".")
    for phase in ("start", "window", "collect"):
        yield Cell("disk of the host full", phase, _filled, mount=".work/*/collector")
    yield Cell("disk of the stand-ins full", "create", _filled, None, mount=".replay")
    for what, pattern in (("the stand-ins' directory", f".replay/{PROJECT}"),
                          ("the collector's directory", ".work/*/collector"),
                          ("the work files", ".work/*"), ("all runs", "")):  # fmt: skip
        yield Cell(f"{what} vanished", "window", partial(_vanished, pattern), None)
    for seconds in (3600, -3600):
        for phase in ("preflight", "window", "collect"):
            yield Cell(f"clock stepped by {seconds // 3600:+d} h", phase,
                       partial(_stepped, seconds), clock=True, exits=UNDISTURBED)  # fmt: skip
    yield Cell("the ports are taken", "preflight", _ports_taken, exits=UNDISTURBED)


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
    if "Traceback" in text or "mistake in wktriage" in text:
        cell.wrong.append("a traceback was printed")
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


# ------------------------------------------------------------------ the collector alone


def _server(how: str, exits: ExitStack) -> str:
    server = socket.create_server(("127.0.0.1", 0))
    exits.callback(server.close)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(4096)
            if how == "never answers":
                time.sleep(300)
            elif how == "answers a byte a second":
                for at in range(300):
                    connection.sendall(head[at : at + 1] or b"x")
                    time.sleep(1)
            else:
                connection.sendall(head)
                for _ in range(1000):
                    connection.sendall(b"a" * 1_000_000)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                in_thread(serve, connection)

    in_thread(accept)
    return f"http://127.0.0.1:{server.getsockname()[1]}"


def in_thread(target: Callable[..., None], *args: object) -> None:
    """Run something in a thread that keeps nobody waiting."""
    threading.Thread(target=target, args=args, daemon=True).start()


def collected(how: str, place: Path) -> str:
    """Let the collector meet a hostile interface, or log directory; return its row."""
    cell = Cell(how, "window", lambda _c, _r: None)
    began, most = time.monotonic(), 0.0
    with ExitStack() as exits:
        (place / "out").parent.mkdir(parents=True, exist_ok=True)
        stack = Stack(place, exits)
        stack.sim.run()
        if how.startswith("a log directory"):
            (place / "secret").mkdir()
            (place / "secret" / "app.log").write_text("root:x:0:0\n")
            (place / "logs").symlink_to(place / "secret")
            stack.spec["nodes"][0]["log_dir"] = str(place / "logs")
        else:
            url = _server(how.partition(" that ")[2], exits)
            if how.startswith("a node"):
                stack.spec["nodes"][0]["api_url"] = url
            else:
                stack.spec["status_url"] = stack.spec["sim"]["status_url"] = url + "/status"
        collector = Detached(stack)
        pid = collector("start", str(collector.spec))["pid"]
        state: dict[str, object] = {}
        deadline = time.monotonic() + 90
        while not state.get("done") and time.monotonic() < deadline:
            time.sleep(0.3)
            state = collector.poll()
            most = max(most, _megabytes(pid))
        if not state.get("done"):
            cell.wrong.append("the collector did not end")
        if not until(lambda: not Path(f"/proc/{pid}").exists(), 10):
            cell.wrong.append("the collector runs on")
        if any("root:x" in p.read_text(errors="replace")
               for p in stack.evidence.rglob("*") if p.is_file()):  # fmt: skip
            cell.wrong.append("what the link leads to was collected")
        if most > 300:
            cell.wrong.append(f"the collector took {most:.0f} MB")
    reason = state.get("reason") or "whole"
    return row(cell, f"window: {reason}; collector {most:.0f} MB", 0, time.monotonic() - began)


def _megabytes(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1000
    return 0.0


HOSTILE = (
    *(f"{who} that {how}" for who in ("a node's interface", "a simulator")
      for how in ("never answers", "answers a byte a second", "answers 1 GB")),
    "a log directory that is a link",
)  # fmt: skip

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


def row(cell: Cell, there: str, code: int | None, took: float) -> str:
    """Return the row of a cell."""
    passes = "no: " + "; ".join(cell.wrong) if cell.wrong else "yes"
    cut = there.replace("|", " ").replace("\n", " ")[:150]
    return f"| {cell.name} | {cell.phase} | {cut} | {code} | {took:.0f} | {passes} |"


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

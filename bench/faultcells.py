"""Every fault at every moment that bench/faults.py lets a run go through."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.disturbed import PHASES, PROJECT, Disturbed, NotReachedError

from wkcollect.detached import ENDED
from wktriage.run.interruption import BY_USER, CONTROLLER_GONE

Fault = Callable[["Cell", Disturbed], None]
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
    def __repr__(self):
        return "datetime." + super().__repr__()
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


def row(cell: Cell, there: str, code: int | None, took: float) -> str:
    """Return the row of a cell."""
    passes = "no: " + "; ".join(cell.wrong) if cell.wrong else "yes"
    cut = there.replace("|", " ").replace("\n", " ")[:150]
    return f"| {cell.name} | {cell.phase} | {cut} | {code} | {took:.0f} | {passes} |"


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


SAYS = {
    **{
        (who, number): BY_USER for who in ("controller", "runner", "terminal") for number in (2, 15)
    },
    ("controller", 9): CONTROLLER_GONE,
    ("collector", 15): ENDED,
    ("collector", 9): "the collector died",
}
"""The reason that stands in the bundle of a run whose part gets a signal before its window ends."""


def cells() -> Iterator[Cell]:
    """Yield every cell that a run on the replay stack goes through."""
    names = {2: "SIGINT", 15: "SIGTERM", 9: "SIGKILL", 1: "SIGHUP", 19: "SIGSTOP"}
    for who, numbers, phases in (
        ("controller", (2, 15, 9), PHASES),
        ("runner", (2, 15, 9), PHASES),
        ("terminal", (2, 1), PHASES),
        ("task", (9,), ("create", "window", "collect")),
        ("collector", (2, 15, 9), ("start", "window", "dump")),
        ("stand-in", (2, 15, 9), ("held", "start", "window", "dump")),
        ("stand-in", (19,), ("start", "window")),
    ):
        for number in numbers:
            for phase in phases:
                # Before the start there is nothing to keep; without its runner a run goes on.
                needed = phase not in PHASES[:3] or (who, number) == ("runner", 9)
                # A collector that ends in its first moment has not started.
                told = ("window",) if who == "collector" else ("start", "window")
                says = SAYS.get((who, number), "") if phase in told else ""
                yield Cell(f"{names[number]} of the {who}", phase,
                           partial(_signalled, who, number), needed or None, says)  # fmt: skip
    for phase in ("held", "start", "window", "collect", "judge"):
        yield Cell("disk of the controller full", phase, _filled, None, mount=".")
    for phase in ("start", "window", "collect"):
        says = "No space left" if phase == "window" else ""
        yield Cell("disk of the host full", phase, _filled, says=says, mount=".work/*/collector")
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

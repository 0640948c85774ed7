"""A replay that runs on by itself: its pidfile, and how it is held, begun and stopped."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from wkreplay.errors import ReplayError
from wkreplay.files import read_object, write_object

_SERVES = re.compile(r"wkreplay\S* serve ")


def detach(pidfile: Path) -> None:
    """Leave the caller's session; return in the grandchild only.

    The caller's process prints the pidfile and ends when the grandchild has written it, or fails
    when that took more than ten seconds.
    """
    log = pidfile.with_suffix(".log")
    if os.fork():
        for _ in range(200):
            if pidfile.exists():
                os.write(1, pidfile.read_bytes())
                os._exit(0)
            time.sleep(0.05)
        os.write(2, f"replay: did not start, see {log}\n".encode())
        os._exit(2)
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDONLY)
    out = os.open(str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)


def begin_file(pidfile: Path) -> Path:
    """Return the file that says to a held replay when it begins."""
    return pidfile.with_suffix(".begin")


def forget(pidfile: Path) -> None:
    """Remove what a replay left: its pidfile, and the word that it began."""
    pidfile.unlink(missing_ok=True)
    begin_file(pidfile).unlink(missing_ok=True)


def running(pidfile: Path) -> int | None:
    """Return the pid of a living replay that this file names; never that of another program."""
    pid = read_object(pidfile).get("pid")
    if not isinstance(pid, int) or pid <= 1:
        return None
    with contextlib.suppress(OSError):
        shown = subprocess.run(
            ["ps", "-ww", "-o", "args=", "-p", str(pid)], stdout=subprocess.PIPE, check=False
        ).stdout.decode("utf-8", "replace")
        return pid if _SERVES.search(shown) and str(pidfile) in shown else None
    return None


def begin(pidfile: Path, start_at: float) -> None:
    """Let a held replay serve, its clock beginning at ``start_at`` (epoch seconds).

    One that serves already is left alone. Raises ReplayError when there is none.
    """
    deadline = time.monotonic() + 10
    while running(pidfile) and time.monotonic() < deadline:
        if not begin_file(pidfile).exists():
            write_object(begin_file(pidfile), {"start_at": start_at})
        if "shift_ms" in read_object(pidfile):
            return
        time.sleep(0.02)
    raise ReplayError(f"no replay is held by {pidfile}; create the stack first")


def stop(pidfile: Path) -> bool:
    """Stop the replay that the pidfile names; return whether one ran."""
    pid = running(pidfile)
    if pid is not None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline and running(pidfile):
                time.sleep(0.05)
            if not running(pidfile):
                break
    forget(pidfile)
    return pid is not None

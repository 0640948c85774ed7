"""One triage at a time on one stack: a lock file that names its holder and outlives no process."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from wktriage.core.errors import InfraError
from wktriage.core.json_files import read_object


@dataclass(frozen=True)
class Holder:
    """Who holds a stack: process (with its start mark, since pids are reused), user, host, run."""

    pid: int
    pid_start: str
    user: str
    host: str
    run_id: str
    since: str

    def describe(self) -> str:
        """Say it in words."""
        return (
            f"process {self.pid} of {self.user} on {self.host}, run {self.run_id}, "
            f"since {self.since}"
        )

    def alive(self) -> bool:
        """Tell whether that process still runs. On another host it counts as alive."""
        if self.host != socket.gethostname():
            return True
        return process_start(self.pid) == self.pid_start


def process_start(pid: int) -> str | None:
    """Return a mark that tells this process from a later one with its pid; None when gone.

    A zombie is gone: it can't do anything any more.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in {"Z", "X"} else fields[19]
    except (OSError, IndexError):
        if Path("/proc/self/stat").exists():
            return None
    # No /proc (macOS): ask ps, whose lstart is the process's start time.
    listed = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout.strip() or None


def lock_path(project: str, *, directory: Path | None = None) -> Path:
    """Return the lock file of a stack. All users and checkouts of a machine share it."""
    safe = re.sub(r"[^a-z0-9_-]", "_", project)
    return (directory or Path(tempfile.gettempdir())) / f"wktriage-{safe}.lock"


@contextmanager
def _guarded(path: Path) -> Iterator[Path]:
    """Hold a short flock beside the lock file, so that two take-overs cannot both win."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    guard = path.with_name(path.name + ".guard")
    try:
        fd = os.open(guard, flags, 0o666)
    except PermissionError:
        # Another user's guard in a sticky directory: reading it is enough for flock.
        fd = os.open(guard, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield path
    finally:
        os.close(fd)


def read(path: Path) -> Holder | None:
    """Return who holds the lock, dead or alive; None when nobody does or it is unreadable."""
    try:
        return Holder(**read_object(path) or {})
    except TypeError:
        return None


def acquire(path: Path, *, pid: int, run_id: str, now: str) -> Holder | None:
    """Take the lock for process ``pid``; return the dead holder it was taken over from, if any.

    The same process may take it again (a baseline before its target). Raises InfraError, naming
    the holder, when a living process has it.
    """
    start = process_start(pid)
    if start is None:
        raise InfraError(f"process {pid} that asks for the stack's lock is not running")
    with _guarded(path):
        holder = read(path)
        if holder is not None and holder.alive() and holder.pid != pid:
            raise InfraError(
                f"the stack is in use by {holder.describe()}: wait for it, or end that run "
                f"(lock file {path})"
            )
        holder_now = Holder(
            pid=pid,
            pid_start=start,
            user=getpass.getuser(),
            host=socket.gethostname(),
            run_id=run_id,
            since=now,
        )
        fresh = path.with_name(f"{path.name}.{pid}")
        fresh.write_text(json.dumps(asdict(holder_now), sort_keys=True) + "\n")
        try:
            fresh.replace(path)
        except PermissionError as exc:
            fresh.unlink()
            raise InfraError(
                f"the lock file {path} was left by another user: ask them, or root, to remove it"
            ) from exc
    return holder if holder is not None and not holder.alive() else None


def release(path: Path, *, pid: int) -> bool:
    """Give the lock back if ``pid`` holds it; tell whether it did."""
    with _guarded(path):
        holder = read(path)
        if holder is None or holder.pid != pid:
            return False
        path.unlink(missing_ok=True)
    return True

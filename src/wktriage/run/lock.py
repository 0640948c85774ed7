"""One triage at a time on one stack: a lock file that names its holder and outlives no process.

All users of a machine share its temporary directory, and each of them can put any file there under
any name. So a lock has no one name: every holder makes a file of its own, whose name nobody can
guess, and then looks for those of others. A file counts while it is told by the very process that
it names, which runs as the file's owner; what others leave there can neither be overwritten nor
keep anybody out longer than a process of theirs lives.
"""

from __future__ import annotations

import getpass
import json
import random
import re
import secrets
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from wktriage.core import private_files
from wktriage.core.errors import InfraError
from wktriage.core.json_files import parse_object

LEASE_S = 24 * 3600.0
"""How long a lock of another host counts (s): whether its process runs cannot be told from here."""

_SIZE_CAP = 4096
_READABLE = 0o644
"""Others read who holds the stack."""

_ATTEMPTS = 8
_BACK_OFF_S = 0.05


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
    """Return what the names of a stack's lock files begin with."""
    safe = re.sub(r"[^a-z0-9_-]", "_", project)
    return (directory or Path(tempfile.gettempdir())) / f"wktriage-{safe}.lock"


@dataclass(frozen=True)
class _Lock:
    """A lock file, who made it (uid), when it was last changed (epoch, s), and what it says."""

    file: Path
    owner: int
    changed: float
    holder: Holder

    def alive(self) -> bool:
        """Tell whether the holder still runs, as the user whose file this is."""
        if self.holder.host != socket.gethostname():
            # ``changed`` is the kernel's own mark: nobody can set it.
            return time.time() - self.changed < LEASE_S
        if process_start(self.holder.pid) != self.holder.pid_start:
            return False
        runs_as = _process_owner(self.holder.pid)
        return runs_as is None or self.owner in (runs_as, 0)


def _process_owner(pid: int) -> int | None:
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return None


def _locks(path: Path) -> list[_Lock]:
    """Return the lock files of a stack that can be read, oldest first."""
    locks = []
    for file in path.parent.glob(f"{path.name}.*"):
        with suppress(OSError, TypeError):
            data = private_files.read(file, _SIZE_CAP)
            status = file.lstat()
            holder = Holder(**parse_object(data or b"") or {})
            if type(holder.pid) is int and isinstance(holder.pid_start, str):
                locks.append(_Lock(file, status.st_uid, status.st_ctime, holder))
    return sorted(locks, key=lambda lock: (lock.changed, lock.file.name))


def read(path: Path) -> Holder | None:
    """Return who holds the lock, the living before the dead; None when nobody does."""
    locks = _locks(path)
    return next((k.holder for k in locks if k.alive()), locks[-1].holder if locks else None)


def acquire(path: Path, *, pid: int, run_id: str, now: str) -> Holder | None:
    """Take the lock for process ``pid``; return the dead holder it was taken over from, if any.

    The same process may take it again (a baseline before its target). Raises InfraError, naming
    the holder, when a living process has it.
    """
    start = process_start(pid)
    if start is None:
        raise InfraError(f"process {pid} that asks for the stack's lock is not running")
    holder = Holder(
        pid=pid,
        pid_start=start,
        user=getpass.getuser(),
        host=socket.gethostname(),
        run_id=run_id,
        since=now,
    )
    own = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    data = (json.dumps(asdict(holder), sort_keys=True) + "\n").encode()
    for attempt in range(_ATTEMPTS):
        # First said, then looked: of two that ask at once, at least one sees the other.
        private_files.write(own, data, mode=_READABLE)
        others = [lock for lock in _locks(path) if lock.file != own]
        living = [k for k in others if k.alive() and not _same(k.holder, holder)]
        if not living:
            return _taken_over(others, holder)
        own.unlink(missing_ok=True)
        # Both may have seen the other, and one of them shall have it.
        time.sleep(random.uniform(0, _BACK_OFF_S) * (attempt + 1))  # noqa: S311 (no secret)
    raise InfraError(
        f"the stack is in use by {living[0].holder.describe()}: wait for it, or end that run "
        f"(lock file {living[0].file})"
    )


def _same(one: Holder, other: Holder) -> bool:
    return (one.host, one.pid, one.pid_start) == (other.host, other.pid, other.pid_start)


def _taken_over(others: list[_Lock], holder: Holder) -> Holder | None:
    """Remove what the dead left, where that may be, and return the last of them."""
    dead = None
    for lock in others:
        # Another user's file stays in a directory such as /tmp, and keeps nobody out.
        with suppress(OSError):
            lock.file.unlink()
            dead = dead if _same(lock.holder, holder) else lock.holder
    return dead


def release(path: Path, *, pid: int) -> bool:
    """Give the lock back if ``pid`` holds it; tell whether it did."""
    here = socket.gethostname()
    own = [k for k in _locks(path) if (k.holder.pid, k.holder.host) == (pid, here)]
    released = False
    for lock in own:
        with suppress(OSError):
            lock.file.unlink()
            released = True
    return released

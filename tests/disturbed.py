"""A triage on the replay stack that something happens to, and what is there afterwards.

All its processes carry a mark in their environment, by which those that stay are found (Linux).
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.replayproject import Project

from wktriage.bundle import manifest

PHASES = ("preflight", "create", "held", "start", "window", "dump", "collect", "judge")
"""What a run goes through, from its first task on; ``held``: the stand-ins hold their ports and do
not serve yet; ``dump``: the collector collects what comes after the window."""

MARK = "WKTRIAGE_CELL"
PROJECT = "disturbed"


class NotReachedError(Exception):
    """The run ended, or went on, without being in a phase."""


class Disturbed:
    """One triage below ``place``, a new directory."""

    def __init__(self, project: Project, place: Path, **environment: str) -> None:
        self.project, self.place = project, place
        self.runs, self.log = place / "runs", place / "log"
        self.mark = secrets.token_hex(8)
        (place / "tmp").mkdir(parents=True, exist_ok=True)
        self.environment = project.environment(
            **{"TMPDIR": str(place / "tmp"), MARK: self.mark, **environment}
        )
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *words: str) -> list[str]:
        """Return a command for this run's directory and stack."""
        given = (f"runs_dir={self.runs}", f"stack_project={PROJECT}")
        return self.project.command(*words, "-i", "replay", *(w for g in given for w in ("-e", g)))

    def start(self) -> None:
        """Start the triage in a session of its own, as a terminal does."""
        words = ("duration=5", "profile_seconds=0")
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command("triage", *(w for g in words for w in ("-e", g))),
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                env=self.environment, start_new_session=True, cwd=self.place,
            )  # fmt: skip

    # -- where it is

    def reached(self, phase: str) -> bool:
        """Say whether the run is in a phase, or was."""
        if phase == "preflight":
            return self.worker() is not None
        if phase == "create":
            return any(self.runs.glob(".pending/*.json"))
        if phase == "held":
            return self.standin() is not None
        if phase == "start":
            return self.collector() is not None
        state = next(map(_object, self.runs.glob(".work/*/collector/*/state.json")), {})
        if phase == "window":
            return state.get("phase") == "window"
        if phase == "dump":
            return any(self.runs.glob(".work/*/collector/*/evidence/metrics/node1.prom"))
        if phase == "collect":
            return any(self.runs.glob(".work/*/packed/*.tar.gz")) or bool(state.get("done"))
        return any(self.runs.glob("2*/manifest.json"))

    def await_phase(self, phase: str, seconds: float = 90) -> None:
        """Wait until the run is in a phase. Raises NotReachedError when it never is."""
        assert self.process is not None
        deadline = time.monotonic() + seconds
        while not self.reached(phase):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise NotReachedError(f"phase {phase} was not reached")
            time.sleep(0.02)

    # -- who takes part

    def processes(self) -> list[int]:
        """Return the processes of this run."""
        needle = f"{MARK}={self.mark}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if needle in (entry / "environ").read_bytes().split(b"\0") and not _zombie(entry):
                    found.append(int(entry.name))
        return found

    def controller(self) -> int | None:
        """Return ansible-playbook."""
        assert self.process is not None
        for pid in self.processes():
            words = _words(pid)
            if any(w.endswith("ansible-playbook") for w in words) and (
                _parent(pid) == self.process.pid
            ):
                return pid
        return None

    def worker(self) -> int | None:
        """Return the process of the task that runs now, None between two tasks."""
        controller = self.controller()
        return next((p for p in self.processes() if _parent(p) == controller), None)

    def collector(self) -> int | None:
        """Return the collector."""
        return next(map(_pid, self.runs.glob(".work/*/collector/*/pid")), None)

    def standin(self) -> int | None:
        """Return the stand-in."""
        return _pid(self.runs / ".replay" / PROJECT / "replay.pid")

    # -- how it ends

    def ended(self, seconds: float = 120) -> int | None:
        """Wait for the command; return its exit code, None when it had to be ended."""
        assert self.process is not None
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def settled(self, seconds: float = 60) -> list[str]:
        """Wait until nothing runs any more; return the commands that still do."""
        deadline = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return [" ".join(_words(pid))[-120:] for pid in left]

    def end_all(self) -> None:
        """End what is left of it."""
        for pid in self.processes():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait(10)

    def next_command(self) -> str | None:
        """Take the stack down with the next command; return what it said when it did not work."""
        done = subprocess.run(
            self.command("teardown"), capture_output=True, text=True, timeout=120,
            env=self.environment, cwd=self.place,
        )  # fmt: skip
        return None if done.returncode == 0 else done.stdout[-300:] + done.stderr[-300:]

    def bundle(self) -> Path | None:
        """Return the bundle, once it is whole."""
        return next((p.parent for p in sorted(self.runs.glob("2*/manifest.json"))), None)

    def why(self) -> str | None:
        """Return why the bundle says that it, or its window, is not whole; None when it is."""
        bundle = self.bundle()
        if bundle is None:
            return None
        window = _object(bundle / "window.json")
        lost = None if window.get("valid") else window.get("reason")
        return _object(bundle / "manifest.json").get("interrupted") or lost

    def remains(self) -> list[str]:
        """Return what is left that should not be: of the run's own files, and of the bundle's."""
        left = [
            str(path.relative_to(self.runs))
            for pattern in (".pending/*", ".work/*", ".replay/*", ".assemble-*", "2*/.??*")
            for path in self.runs.glob(pattern)
            if path.name not in (".finishing", "work", "packed")
        ]
        bundle = self.bundle()
        empty = [p.name for p in self.runs.glob("2*") if not (p / "manifest.json").exists()]
        return left + empty + ([] if bundle is None else manifest.verify(bundle))


def until(condition: Callable[[], Any], seconds: float = 60) -> bool:
    """Wait for a condition; say whether it came about."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _object(file: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        read = json.loads(file.read_text())
        return read if isinstance(read, dict) else {}
    return {}


def _pid(file: Path) -> int | None:
    pid = _object(file).get("pid")
    return pid if isinstance(pid, int) and Path(f"/proc/{pid}").exists() else None


def _words(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    return []


def _stat(entry: Path) -> list[str]:
    return (entry / "stat").read_text().rpartition(")")[2].split()


def _zombie(entry: Path) -> bool:
    return _stat(entry)[0] in {"Z", "X"}


def _parent(pid: int) -> int | None:
    with contextlib.suppress(OSError, IndexError):
        return int(_stat(Path(f"/proc/{pid}"))[1])
    return None

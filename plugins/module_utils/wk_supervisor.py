# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Keeps one process of the stack running on its host, and acts on it.

Ansible modules import this file, and a copy of it on the host is the program that verbs name:
``wk_supervisor.py VERB DIRECTORY``. A process has a directory: ``process.json`` (what to run),
``pid`` (which process it is now), ``output.log``, ``exits.jsonl``, and ``stopped`` while it is not
meant to run. Where systemd runs, a transient unit restarts the process; elsewhere a supervisor
process of ours does. Standard library only, Python 3.8.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

MARKER = ".wktriage-processes"
PROGRAM = "wk_supervisor.py"
POLL_SECONDS = 0.05
RESTART_SECONDS = 1.0
START_SECONDS = 10.0
KILL_SECONDS = 10.0
SYSTEMCTL_SECONDS = 60
#: What a process gets of its host's environment: a node refuses to start on unknown WK_* names.
PASSED = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ")


class ProcessError(Exception):
    """A process can't be acted on; the text says why and what to do."""


# --- which process it is --------------------------------------------------------------------


def mark(pid: int) -> str | None:
    """Return what tells this process from a later one with its number; None when it is gone."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as source:
            fields = source.read().rpartition(")")[2].split()
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as source:
            boot = source.read().strip()
        return None if fields[0] in ("Z", "X") else "%s:%s" % (boot, fields[19])
    except (OSError, IndexError):
        if os.path.exists("/proc/self/stat"):
            return None
    asked = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return asked.stdout.decode("ascii", "replace").strip().replace(" ", "_") or None


def write(path: str, text: str, mode: int = 0o644) -> None:
    """Write a small file whole or not at all."""
    fresh = path + ".new"
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as out:
        out.write(text)
    os.replace(fresh, path)


def read(path: str) -> str:
    """Return a small file's text; empty when there is none."""
    try:
        with open(path, encoding="ascii", errors="replace") as source:
            return source.read(200)
    except OSError:
        return ""


def living(path: str) -> int | None:
    """Return the pid in a pid file if that very process still lives, else None."""
    pid, _, known = read(path).strip().partition(" ")
    return int(pid) if pid.isdigit() and known and mark(int(pid)) == known else None


class Process:
    """One process of the stack, by its directory."""

    def __init__(self, directory: str) -> None:
        self.directory = os.path.abspath(directory)
        self.name = os.path.basename(self.directory)
        self.pid_file = self.path("pid")
        self.log_file = self.path("output.log")
        self._before = ""

    def path(self, name: str) -> str:
        """Return the path of a file of this process."""
        return os.path.join(self.directory, name)

    def spec(self) -> dict[str, Any]:
        """Return what to run: argv, env, stop_seconds, unit (None: no systemd)."""
        try:
            with open(self.path("process.json"), encoding="utf-8") as source:
                return dict(json.load(source))
        except (OSError, ValueError) as exc:
            raise ProcessError("%s holds no process: %s" % (self.directory, exc)) from None

    def pid(self) -> int | None:
        """Return its pid while it lives."""
        return living(self.pid_file)

    def kept(self) -> bool:
        """Tell whether something still looks after it or it lives itself."""
        return bool(self.pid() or living(self.path("supervisor.pid")))

    # --- verbs ------------------------------------------------------------------------------

    def launch(self) -> bool:
        """Begin to run it; tell whether it was not running. It lives a moment later."""
        self._before = read(self.pid_file)
        if self.kept():
            return False
        spec = self.spec()
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.path("stopped"))
        if spec.get("unit"):
            systemctl("reset-failed", spec["unit"], may_fail=True)
            run(unit_command(spec, self))
            return True
        with open(self.log_file, "ab") as log:
            subprocess.run(
                [sys.executable, program_of(self.directory), "supervise", self.directory],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                env=passed_environment(),
                check=True,
            )
        return True

    def wait_for_start(self) -> None:
        """Wait until a launched process has begun. Raises ProcessError when it does not in time.

        One that dies at once has begun too: how it fares is evidence, no error of ours.
        """
        end = time.monotonic() + START_SECONDS
        while read(self.pid_file) == self._before:
            if time.monotonic() > end:
                raise ProcessError(
                    "%s did not start within %d s: see %s"
                    % (self.name, START_SECONDS, self.log_file)
                )
            time.sleep(POLL_SECONDS)

    def send(self, number: int) -> bool:
        """Send a signal to it and its children; tell whether it lives."""
        pid = self.pid()
        if pid is None:
            return False
        try:
            # It leads a group of its own; systemd and the supervisor see to that.
            (os.killpg if os.getpgid(pid) == pid else os.kill)(pid, number)
        except ProcessLookupError:
            return False
        return True

    def begin_stop(self, number: int = signal.SIGTERM) -> None:
        """Ask it to end, and nothing to start it again."""
        if os.path.isdir(self.directory):
            write(self.path("stopped"), "")
        self.send(number)
        # A frozen process hears nothing but this and SIGKILL.
        self.send(signal.SIGCONT)

    def finish_stop(self) -> None:
        """Wait until it has ended; kill it when it takes longer than it may."""
        with contextlib.suppress(ProcessError):
            spec = self.spec()
            if spec.get("unit"):
                systemctl("stop", spec["unit"], may_fail=True)
        killed = False
        end = time.monotonic() + self.patience()
        while self.kept():
            if time.monotonic() > end:
                if killed:
                    raise ProcessError("%s (pid %s) can't be ended" % (self.name, self.pid()))
                killed = True
                end = time.monotonic() + KILL_SECONDS
                self.send(signal.SIGKILL)
            time.sleep(POLL_SECONDS)

    def patience(self) -> float:
        """Return how long it may take to end by itself, in seconds."""
        try:
            return float(self.spec().get("stop_seconds", KILL_SECONDS))
        except (ProcessError, ValueError, TypeError):
            return KILL_SECONDS

    # --- what runs --------------------------------------------------------------------------

    def execute(self) -> None:
        """Become the process. Never returns."""
        spec = self.spec()
        with contextlib.suppress(OSError):
            os.setsid()
        os.chdir(self.directory)
        write(self.pid_file, "%d %s\n" % (os.getpid(), mark(os.getpid())))
        argv = [str(a) for a in spec["argv"]]
        os.execve(argv[0], argv, dict(passed_environment(), **spec.get("env", {})))

    def supervise(self) -> None:
        """Run it, and again whenever it ends by itself, until it is not meant to run.

        Returns at once in the calling process: what supervises is nobody's child.
        """
        if os.fork():
            return
        write(self.path("supervisor.pid"), "%d %s\n" % (os.getpid(), mark(os.getpid())))

        def asked_to_end(_number: int, _frame: Any) -> None:
            self.begin_stop()

        signal.signal(signal.SIGTERM, asked_to_end)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        command = [sys.executable, program_of(self.directory), "execute", self.directory]
        while not self.unwanted():
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
            code = child.wait()
            self.note_exit(child.pid, code)
            end = time.monotonic() + RESTART_SECONDS
            while time.monotonic() < end and not self.unwanted():
                time.sleep(POLL_SECONDS)

    def unwanted(self) -> bool:
        """Tell whether it is not meant to run; its directory may be gone altogether."""
        return os.path.exists(self.path("stopped")) or not os.path.isdir(self.directory)

    def note_exit(self, pid: int, code: int) -> None:
        """Keep how it ended."""
        row = {"time": round(time.time(), 3), "pid": pid}
        row.update({"signal": -code} if code < 0 else {"code": code})
        with contextlib.suppress(OSError), open(self.path("exits.jsonl"), "a") as out:
            out.write(json.dumps(row) + "\n")


# --- systemd --------------------------------------------------------------------------------


def has_systemd() -> bool:
    """Tell whether this user may ask systemd for units that outlive a login."""
    return (
        os.path.isdir("/run/systemd/system")
        and os.geteuid() == 0
        and shutil.which("systemd-run") is not None
    )


def unit_command(spec: dict[str, Any], process: Process) -> list[str]:
    """Return the command that starts the transient unit of a process.

    The environment is not in it: the process reads it from its own file.
    """
    properties = [
        "Restart=always",
        "RestartSec=%g" % RESTART_SECONDS,
        "StartLimitIntervalSec=0",
        "KillMode=mixed",
        "TimeoutStopSec=%g" % process.patience(),
        "StandardOutput=append:%s" % process.log_file,
        "StandardError=append:%s" % process.log_file,
    ]
    argv = ["systemd-run", "--quiet", "--collect", "--unit=%s" % spec["unit"]]
    argv += ["--property=%s" % p for p in properties]
    program = program_of(process.directory)
    return [*argv, "--", sys.executable, program, "execute", process.directory]


def systemctl(verb: str, unit: str, may_fail: bool = False) -> None:
    """Ask systemd about one unit."""
    run(["systemctl", verb, unit], may_fail=may_fail)


def run(argv: list[str], may_fail: bool = False) -> None:
    """Run a command to its end. Raises ProcessError with what it said."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SYSTEMCTL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise ProcessError("%s: %s" % (argv[0], exc)) from None
    if done.returncode and not may_fail:
        text = done.stdout.decode("utf-8", "replace").strip()
        raise ProcessError("%s: %s" % (argv[0], text or "no message"))


# --- all processes of a stack on this host --------------------------------------------------


def program_of(directory: str) -> str:
    """Return the program that lies beside the directories of the processes."""
    return os.path.join(os.path.dirname(directory), PROGRAM)


def passed_environment() -> dict[str, str]:
    """Return what processes get of this environment."""
    return {name: os.environ[name] for name in PASSED if name in os.environ}


def make_directory(top: str) -> None:
    """Make a directory of ours, which knows what has to go with it: what was not there before."""
    first = os.path.abspath(top)
    while not os.path.lexists(os.path.dirname(first)):
        first = os.path.dirname(first)
    os.makedirs(top, mode=0o755)
    write(os.path.join(top, MARKER), first)


def remove_directory(top: str) -> None:
    """Remove a directory of ours, and the empty ones above it that were made for it.

    Raises ProcessError for one that is not ours.
    """
    check_ours(top)
    with open(os.path.join(top, MARKER), encoding="utf-8", errors="replace") as source:
        first = source.read(4096)
    shutil.rmtree(top)
    above = os.path.dirname(os.path.abspath(top))
    while first and (above + "/").startswith(first + "/"):
        try:
            os.rmdir(above)
        except OSError:
            return
        above = os.path.dirname(above)


def check_ours(top: str) -> None:
    """Raise ProcessError unless the directory is one that the harness made."""
    marker = os.path.join(top, MARKER)
    if os.path.islink(top) or os.path.islink(marker) or not os.path.isfile(marker):
        raise ProcessError("%s holds no %s: the harness removes only what it made" % (top, MARKER))


def processes(top: str) -> list[Process]:
    """Return the processes of a stack on this host."""
    try:
        names = sorted(os.listdir(top))
    except OSError:
        return []
    directories = [os.path.join(top, name) for name in names]
    return [Process(d) for d in directories if os.path.isfile(os.path.join(d, "process.json"))]


def remove(top: str) -> bool:
    """Stop all processes of a stack, remove its directory; tell whether it was there."""
    if not os.path.lexists(top):
        return False
    check_ours(top)
    ours = processes(top)
    for process in ours:
        process.begin_stop()
    for process in ours:
        process.finish_stop()
        # What the lab filled a volume with, when nobody was left to heal it.
        with contextlib.suppress(OSError), open(process.path("filled")) as note:
            os.remove(note.read())
    remove_directory(top)
    return True


def act(verb: str, directory: str) -> None:
    """Do what a verb says to one process. Raises ProcessError."""
    process = Process(directory)
    if verb in ("stop", "kill", "restart"):
        process.begin_stop(signal.SIGKILL if verb == "kill" else signal.SIGTERM)
        process.finish_stop()
    if verb in ("start", "restart") and process.launch():
        process.wait_for_start()
    if verb in ("pause", "unpause"):
        number = signal.SIGSTOP if verb == "pause" else signal.SIGCONT
        if not process.send(number):
            raise ProcessError("%s does not run" % process.name)
    if verb == "logs":
        with open(process.log_file, "rb") as log:
            shutil.copyfileobj(log, sys.stdout.buffer)


VERBS = ("start", "stop", "kill", "restart", "pause", "unpause", "logs")


def main(argv: list[str]) -> int:
    """Run the program; return its exit status."""
    inner = {"supervise": Process.supervise, "execute": Process.execute}
    if len(argv) != 2 or argv[0] not in (*VERBS, *inner, "remove"):
        sys.stderr.write("usage: %s VERB DIRECTORY, VERB is %s\n" % (PROGRAM, ", ".join(VERBS)))
        return 2
    verb, directory = argv
    try:
        if verb in inner:
            inner[verb](Process(directory))
        elif verb == "remove":
            sys.stdout.write("removed\n" if remove(directory) else "nothing there\n")
        else:
            act(verb, directory)
    except (ProcessError, OSError) as exc:
        sys.stderr.write("%s\n" % exc)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

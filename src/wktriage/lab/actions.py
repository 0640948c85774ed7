"""What a fault can do to a target, each with its undoing, and the checks that it took hold.

Everything goes through the verbs of ``topology.json`` or the engine's own tools, touches only
containers that the topology names and processes started here, and is bounded in time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wktriage.errors import InfraError, UsageError
from wktriage.topology import Node, Sim

CHAIN = "WKTRIAGE"  # our own chain: healing removes it whole and nothing else
MAX_HOG_SECONDS = 600
HOG = "import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass"
FSYNC_HOG = (
    "import os, tempfile, time\nend = time.monotonic() + {seconds}\n"
    "f = tempfile.TemporaryFile(dir={where!r})\n"
    "while time.monotonic() < end:\n"
    "    f.seek(0); f.write(os.urandom(1 << 20)); f.flush(); os.fsync(f.fileno())"
)

Target = Node | Sim


def run(argv: Sequence[str], *, timeout: float = 30) -> str:
    """Run one command and return its output. Raises InfraError with its own words."""
    try:
        done = subprocess.run(
            list(argv), capture_output=True, text=True, timeout=timeout, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise InfraError(f"{argv[0]}: {exc}") from exc
    if done.returncode != 0:
        raise InfraError(f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def inspect(target: Target, template: str) -> str:
    """Return one field of the target's container, by a Go template."""
    return run(["docker", "inspect", "--format", template, _container(target)]).strip()


def _container(target: Target) -> str:
    if target.handle.get("kind") != "container":
        raise UsageError(f"{target.name} is no container: this fault needs the compose driver")
    return str(target.handle["id"])


class Actions:
    """Performs steps on targets and remembers what must be undone."""

    def __init__(self, data_root: str | None) -> None:
        self._data_root = data_root
        self._hogs: list[subprocess.Popen[bytes]] = []
        self._cycle_stop = threading.Event()
        self._cycle: threading.Thread | None = None
        self.started: dict[str, str] = {}

    def remember(self, targets: Sequence[Target]) -> None:
        """Note what ``check: restarted`` later compares with."""
        for target in targets:
            self.started[target.name] = inspect(target, "{{.State.StartedAt}}")

    def perform(self, do: str, arguments: Mapping[str, Any], targets: Sequence[Target]) -> None:
        """Perform one action on every target. Raises InfraError when it cannot be done."""
        action: Callable[..., None] = getattr(self, f"_do_{do}")
        everyone: Sequence[Target | None] = targets or [None]
        for target in everyone:
            action(target, **arguments)

    def check(self, do: str, arguments: Mapping[str, Any], targets: Sequence[Target]) -> list[str]:
        """Return what did not take hold ([] = all of it did)."""
        check: Callable[..., str | None] = getattr(self, f"_is_{do}")
        everyone: Sequence[Target | None] = targets or [None]
        found = (check(target, **arguments) for target in everyone)
        return [problem for problem in found if problem]

    # actions

    def _do_verb(self, target: Target, verb: str) -> None:
        run(target.verbs[verb])

    def _do_cycle(
        self, target: Target, on: str, off: str, on_s: float, off_s: float, seconds: float = 300
    ) -> None:
        """Alternate two verbs until healed, or at most ``seconds``."""

        def alternate() -> None:
            end = time.monotonic() + seconds
            while time.monotonic() < end and not self._cycle_stop.is_set():
                for verb, length in ((on, on_s), (off, off_s)):
                    try:
                        run(target.verbs[verb])
                    except InfraError:
                        return  # the target is gone; the check and the bundle say so
                    if self._cycle_stop.wait(length):
                        break

        self._cycle = threading.Thread(target=alternate, daemon=True)
        self._cycle.start()

    def _do_reset_cycle(self, target: Target, port: int, on_s: float, off_s: float) -> None:
        """Refuse a TCP port with resets for ``on_s`` seconds, every ``on_s + off_s`` seconds."""
        rule = ["-p", "tcp", "--dport", str(port), "-j", "REJECT", "--reject-with", "tcp-reset"]

        def alternate() -> None:
            end = time.monotonic() + MAX_HOG_SECONDS
            while time.monotonic() < end and not self._cycle_stop.is_set():
                try:
                    self._do_firewall(target, rule=rule)
                    self._cycle_stop.wait(on_s)
                    self._do_firewall_off(target)
                except InfraError:
                    return
                self._cycle_stop.wait(off_s)

        self._cycle = threading.Thread(target=alternate, daemon=True)
        self._cycle.start()

    def _do_end_cycle(self, _target: Target) -> None:
        self._cycle_stop.set()
        if self._cycle is not None:
            self._cycle.join(timeout=15)

    def _iptables(self, target: Target, *args: str) -> str:
        pid = inspect(target, "{{.State.Pid}}")
        if pid == "0":
            raise InfraError(f"{target.name} has no process, so no network namespace")
        return run(["nsenter", "-t", pid, "-n", "iptables", "-w", "5", *args])

    def _do_firewall(self, target: Target, rule: Sequence[str], chain: str = "INPUT") -> None:
        """Add one rule, in our own chain, inside the target's network namespace."""
        existing = self._iptables(target, "-S")
        if f"-N {CHAIN}" not in existing:
            self._iptables(target, "-N", CHAIN)
        if f"-A {chain} -j {CHAIN}" not in existing:
            self._iptables(target, "-I", chain, "1", "-j", CHAIN)
        self._iptables(target, "-A", CHAIN, *[str(word) for word in rule])

    def _do_firewall_off(self, target: Target) -> None:
        existing = self._iptables(target, "-S")
        for chain in ("INPUT", "OUTPUT"):
            if f"-A {chain} -j {CHAIN}" in existing:
                self._iptables(target, "-D", chain, "-j", CHAIN)
        if f"-N {CHAIN}" in existing:
            self._iptables(target, "-F", CHAIN)
            self._iptables(target, "-X", CHAIN)

    def _do_update(self, target: Target, **limits: str | float) -> None:
        """Change the container's resource limits, e.g. ``cpus: 0.2``."""
        flags = [word for k, v in limits.items() for word in (f"--{k.replace('_', '-')}", str(v))]
        run(["docker", "update", *flags, _container(target)])

    def _do_hog(self, _target: None, kind: str, count: int, seconds: float) -> None:
        """Load the host with our own processes, which end by themselves."""
        seconds = min(float(seconds), MAX_HOG_SECONDS)
        where = self._data_root or "."
        code = HOG if kind == "cpu" else FSYNC_HOG
        for _ in range(int(count)):
            self._hogs.append(
                subprocess.Popen(
                    [sys.executable, "-c", code.format(seconds=seconds, where=where)],
                    start_new_session=True,
                )
            )

    def _do_end_hogs(self, _target: None) -> None:
        for hog in self._hogs:
            hog.kill()
            hog.wait()
        self._hogs.clear()

    # checks

    def _is_state(self, target: Target, equals: str) -> str | None:
        state = inspect(target, "{{.State.Status}}")
        return None if state == equals else f"{target.name} is {state}, not {equals}"

    def _is_restarted(self, target: Target) -> str | None:
        now = inspect(target, "{{.State.StartedAt}}")
        return None if now != self.started.get(target.name) else f"{target.name} did not restart"

    def _is_firewalled(self, target: Target) -> str | None:
        listing = self._iptables(target, "-L", CHAIN, "-v", "-x", "-n")
        hit = any(
            line.split()[0] not in {"0", "Chain", "pkts"}
            for line in listing.splitlines()
            if line.split()
        )
        return None if hit else f"no packet of {target.name} met the rule"

    def _is_limited(self, target: Target, cpus: float) -> str | None:
        nano = int(inspect(target, "{{.HostConfig.NanoCpus}}"))
        return None if nano == round(cpus * 1e9) else f"{target.name} has {nano / 1e9} CPUs"

    def _is_hogged(self, _target: None) -> str | None:
        alive = sum(hog.poll() is None for hog in self._hogs)
        return None if alive == len(self._hogs) and alive else f"{alive} hogs are alive"

    def _is_cycling(self, target: Target) -> str | None:
        alive = self._cycle is not None and self._cycle.is_alive()
        return None if alive else f"the cycle on {target.name} has ended"


def require_tools(do: Sequence[str]) -> None:
    """Raise UsageError now, not late, when a fault's tools are missing on this machine."""
    if {"firewall", "reset_cycle"} & set(do):
        missing = [tool for tool in ("nsenter", "iptables") if shutil.which(tool) is None]
        if missing:
            raise UsageError(f"this fault needs {' and '.join(missing)}: install them first")
        if os.geteuid() != 0:
            raise UsageError("this fault changes a container's firewall: run it as root")

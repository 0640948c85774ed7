"""What a fault can do to a target, each with its undoing, and the checks that it took hold.

Everything goes through the verbs of ``topology.json`` or the engine's own tools, touches only
containers that the topology names and processes started here, and is bounded in time.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wktriage.core.errors import InfraError, UsageError
from wktriage.core.times import parse_time
from wktriage.core.topology import Node, Sim
from wktriage.stack import data_root

CHAIN = "WKTRIAGE"  # our own chain: healing removes it whole and nothing else
MAX_HOG_SECONDS = 600
MAX_STUCK_SECONDS = 90
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
    if target.handle.kind != "container":
        raise UsageError(f"{target.name} is no container: this fault needs the compose driver")
    return str(target.handle.id)


class Actions:
    """Performs steps on targets and remembers what must be undone."""

    def __init__(self, data_root: str | None) -> None:
        self._data_root = data_root
        self._hogs: list[subprocess.Popen[bytes]] = []
        self._cycle_stop = threading.Event()
        self._cycle: threading.Thread | None = None
        self._filler: Path | None = None
        self._stuck: Path | None = None
        self._thaw: subprocess.Popen[bytes] | None = None
        self._together: Sequence[Target | None] = ()
        self.started: dict[str, str] = {}
        self.emptied: dict[str, float] = {}
        self.networks: dict[str, list[str]] = {}

    def remember(self, targets: Sequence[Target]) -> None:
        """Note what ``check: restarted`` later compares with."""
        for target in targets:
            self.started[target.name] = inspect(target, "{{.State.StartedAt}}")

    def perform(self, do: str, arguments: Mapping[str, Any], targets: Sequence[Target]) -> None:
        """Perform one action on every target. Raises InfraError when it cannot be done."""
        action: Callable[..., None] = getattr(self, f"_do_{do}")
        self._together = targets or [None]
        try:
            for target in self._together:
                action(target, **arguments)
        except OSError as exc:
            raise InfraError(f"{do}: {exc}") from exc

    def check(self, do: str, arguments: Mapping[str, Any], targets: Sequence[Target]) -> list[str]:
        """Return what did not take hold ([] = all of it did)."""
        check: Callable[..., str | None] = getattr(self, f"_is_{do}")
        everyone: Sequence[Target | None] = targets or [None]
        try:
            found = [check(target, **arguments) for target in everyone]
        except OSError as exc:
            return [f"{do} cannot be checked: {exc}"]
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

    def _do_firewall_cycle(
        self, target: Target, rule: Sequence[str], on_s: float, off_s: float
    ) -> None:
        """Apply one firewall rule for ``on_s`` seconds, every ``on_s + off_s`` seconds."""

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

    def _do_part(self, target: Target, port: int) -> None:
        """Drop what the other targets send to a port of this one."""
        addresses = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        for other in self._together:
            if other is not None and other.name != target.name:
                for address in inspect(other, addresses).split():
                    rule = ["-s", address, "-p", "tcp", "--dport", str(port), "-j", "DROP"]
                    self._do_firewall(target, rule=rule)

    def _do_disconnect(self, target: Target) -> None:
        """Take the target off its networks: peers and clients alike."""
        self.networks[target.name] = _networks(target)
        for network in self.networks[target.name]:
            run(["docker", "network", "disconnect", network, _container(target)])

    def _do_reconnect(self, target: Target) -> None:
        for network in self.networks.pop(target.name, []):
            run(["docker", "network", "connect", "--alias", target.name, network,
                 _container(target)])  # fmt: skip

    def _do_update(self, target: Target, **limits: str | float) -> None:
        """Change the container's resource limits, e.g. ``cpus: 0.2``."""
        flags = [word for k, v in limits.items() for word in (f"--{k.replace('_', '-')}", str(v))]
        run(["docker", "update", *flags, _container(target)])

    def _do_lose_data(self, target: Node) -> None:
        """Empty a node's data directory, as a volume that was replaced by a new one would be."""
        root = Path(self._data_root) if self._data_root else None
        where = Path(target.data_dir or "")
        if root is None or not data_root.has_marker(root) or where.parent != root:
            raise InfraError(f"{target.name} keeps its data in no data root of the harness")
        shutil.rmtree(where)
        where.mkdir()
        self.emptied[target.name] = time.time()

    def _do_squeeze(self, target: Target, headroom_mb: float) -> None:
        """Leave the target little more memory than it holds now: it grows, and is OOM-killed."""
        stat = control_group(target, "memory", "memory.stat", "memory.stat").read_text()
        held = dict(line.split() for line in stat.splitlines())
        used = int(held.get("total_rss") or held["anon"])
        limit = str(used + int(headroom_mb * 1e6))
        run(["docker", "update", "--memory", limit, "--memory-swap", limit, _container(target)])

    def _do_throttle_writes(self, target: Target, iops: int) -> None:
        """Allow the target ``iops`` writes a second to the device of its data (0: no limit)."""
        device = self._device()
        file = control_group(target, "blkio", "blkio.throttle.write_iops_device", "io.max")
        v2 = file.name == "io.max"
        limit = f"wiops={iops or 'max'}" if v2 else str(iops)
        file.write_text(f"{device} {limit}\n")

    def _device(self) -> str:
        """Return ``major:minor`` of the disk that holds the data root."""
        if self._data_root is None:
            raise InfraError("the topology names no data root")
        number = Path(self._data_root).stat().st_dev
        device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
        if not device.exists():
            raise InfraError(f"{self._data_root} is on no block device of its own")
        if (device / "partition").exists():
            device = device.resolve().parent
        return (device / "dev").read_text().strip()

    def _do_fill(self, _target: None, leave_mb: float) -> None:
        """Fill the lab's own volume but for ``leave_mb``."""
        if self._data_root is None or not os.path.ismount(Path(self._data_root).parent):
            raise InfraError("only a volume that the lab made is filled (volume_mb in the fault)")
        self._filler = Path(self._data_root) / "wktriage-filler"
        with self._filler.open("wb") as file:
            free = os.statvfs(self._data_root)
            size = free.f_bavail * free.f_frsize - int(leave_mb * 1e6)
            os.posix_fallocate(file.fileno(), 0, max(size, 1))

    def _do_unfill(self, _target: None) -> None:
        if self._filler is not None:
            self._filler.unlink(missing_ok=True)

    def _do_stick(self, _target: None) -> None:
        """Let every write to the lab's own volume wait until healed."""
        top = Path(self._data_root or "/").parent
        if self._data_root is None or not os.path.ismount(top):
            raise InfraError("only a volume that the lab made gets stuck (volume_mb in the fault)")
        # Thaws it even when this process is killed before it can.
        late = ["sh", "-c", f'sleep {MAX_STUCK_SECONDS}; exec fsfreeze --unfreeze "$0"', str(top)]
        self._thaw = subprocess.Popen(late, start_new_session=True, stderr=subprocess.DEVNULL)
        run(["fsfreeze", "--freeze", str(top)])
        self._stuck = top

    def _do_unstick(self, _target: None) -> None:
        if self._stuck is not None:
            run(["fsfreeze", "--unfreeze", str(self._stuck)])
            self._stuck = None
        if self._thaw is not None:
            os.killpg(self._thaw.pid, signal.SIGKILL)
            self._thaw.wait()
            self._thaw = None

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

    def _is_disconnected(self, target: Target) -> str | None:
        return f"{target.name} is still on a network" if _networks(target) else None

    def _is_started_empty(self, target: Target) -> str | None:
        started = parse_time(inspect(target, "{{.State.StartedAt}}"))
        emptied = self.emptied.get(target.name)
        ok = emptied is not None and started is not None and started > emptied
        return None if ok else f"{target.name} did not start after its data had gone"

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

    def _is_oom_killed(self, target: Target) -> str | None:
        """Ask the engine's events: a container that started again no longer says it."""
        since = self.started.get(target.name, "10m")
        now = str(int(time.time()))
        asked = ["docker", "events", "--since", since, "--until", now, "--filter", "event=oom"]
        told = run([*asked, "--filter", f"container={_container(target)}"])
        return None if told.strip() else f"{target.name} was not killed for its memory"

    def _is_writing_slowly(self, target: Target, iops: int) -> str | None:
        file = control_group(target, "blkio", "blkio.throttle.write_iops_device", "io.max")
        wanted = (self._device(), str(iops))
        found = any(
            line.split()[0] == wanted[0] and wanted[1] in line.replace("=", " ").split()[1:]
            for line in file.read_text().splitlines()
        )
        return None if found else f"{target.name} is not limited to {iops} writes a second"

    def _is_stuck(self, _target: None) -> str | None:
        return None if self._stuck is not None else "the volume is not frozen"

    def _is_full(self, _target: None, leave_mb: float) -> str | None:
        free = os.statvfs(self._data_root or ".")
        left = free.f_bavail * free.f_frsize / 1e6
        return None if left <= leave_mb + 1 else f"{left:.0f} MB are free"

    def _is_hogged(self, _target: None) -> str | None:
        alive = sum(hog.poll() is None for hog in self._hogs)
        return None if alive == len(self._hogs) and alive else f"{alive} hogs are alive"

    def _is_cycling(self, target: Target) -> str | None:
        alive = self._cycle is not None and self._cycle.is_alive()
        return None if alive else f"the cycle on {target.name} has ended"


def _networks(target: Target) -> list[str]:
    template = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}"
    return inspect(target, template).split()


def control_group(target: Target, controller: str, v1: str, v2: str) -> Path:
    """Return the file of the target's control group, in cgroup v1 or v2."""
    pid = inspect(target, "{{.State.Pid}}")
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError as exc:
        raise InfraError(f"{target.name} runs in no control group of this machine") from exc
    groups = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in lines}
    for names, path in groups.items():
        if controller in names.split(","):
            return Path(f"/sys/fs/cgroup/{controller}{path}") / v1
    return Path(f"/sys/fs/cgroup{groups.get('', '/')}") / v2


@contextlib.contextmanager
def volume(directory: Path, megabytes: int) -> Iterator[Path]:
    """Mount a file system of its own under ``directory`` while the block runs; yield its top.

    Raises InfraError when this machine has no loop devices or no mkfs.ext4.
    """
    image, top = directory / "volume.img", directory / "volume"
    top.mkdir(parents=True, exist_ok=True)
    if os.path.ismount(top):  # of a lab run that was killed
        run(["umount", str(top)])
    with image.open("wb") as file:
        file.truncate(megabytes * 1_000_000)
    try:
        run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)])
        run(["mount", "-o", "loop", str(image), str(top)])
        try:
            (top / "lost+found").rmdir()
            yield top
        finally:
            run(["umount", str(top)])
    finally:
        image.unlink()


TOOLS = {
    "firewall": ("nsenter", "iptables"),
    "firewall_cycle": ("nsenter", "iptables"),
    "part": ("nsenter", "iptables"),
    "stick": ("fsfreeze", "mkfs.ext4", "mount", "umount"),
    "squeeze": (),
    "throttle_writes": (),
    "fill": ("mkfs.ext4", "mount", "umount"),
}
"""What the actions that need root call on this machine."""


def require_tools(do: Sequence[str]) -> None:
    """Raise UsageError now, not late, when a fault's tools are missing on this machine."""
    needed = [action for action in do if action in TOOLS]
    missing = sorted({t for a in needed for t in TOOLS[a] if shutil.which(t) is None})
    if missing:
        raise UsageError(f"this fault needs {' and '.join(missing)}: install them first")
    if needed and os.geteuid() != 0:
        raise UsageError(f"this fault ({needed[0]}) changes what only root may: run it as root")

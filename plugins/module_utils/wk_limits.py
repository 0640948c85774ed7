# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""What the lab asks of one process of the stack on its host: its state, and limits on it.

It lies beside wk_supervisor.py and is called by verbs of the topology:
``wk_limits.py state DIRECTORY``, ``cpus DIRECTORY CORES``, ``descriptors DIRECTORY COUNT``,
``writes DIRECTORY COUNT DATA`` (a second, to the disk of DATA); 0 is no limit;
``fill DIRECTORY MEGABYTES DATA`` leaves that much of the volume of DATA, ``unfill DIRECTORY`` gives
it back. Where a unit of
systemd runs the process, systemd limits it, elsewhere a control group of ours does, which a new
process of the same name is not in. Standard library only, Python 3.8.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from typing import Any

PERIOD_US = 100000
ROOT = "/sys/fs/cgroup"
SYSTEMCTL_SECONDS = 30
MADE = "wktriage-"
"""Begins the names of our control groups."""
FILLER = "wktriage-filler"
FILLED = "filled"
"""In a process's directory, the path of the file that fills a volume."""


class LimitError(Exception):
    """A process can't be limited; the text says why."""


def read(path: str) -> str:
    """Return a small file's text; empty when there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as source:
            return source.read(1 << 16)
    except OSError:
        return ""


def write(path: str, text: str) -> None:
    """Write to a file of the kernel."""
    with open(path, "w", encoding="ascii") as out:
        out.write(text)


def pid_of(directory: str) -> int:
    """Return the pid of the process that lives. Raises LimitError when it does not."""
    pid = read(os.path.join(directory, "pid")).split(" ")[0]
    letter = read("/proc/%s/stat" % pid).rpartition(")")[2].split()[:1] if pid.isdigit() else []
    if not letter or letter[0] in "ZX":
        raise LimitError("%s does not run" % os.path.basename(directory))
    return int(pid)


def state(directory: str) -> dict[str, Any]:
    """Return what is known of a process.

    ``state`` (running, paused, exited), ``started``, ``open`` descriptors, the limits ``cpus``,
    ``descriptors`` and ``writes``, and what is left of a volume that was filled
    (``filled_mb_left``); None is no limit, or no process.
    """
    try:
        pid = pid_of(directory)
    except LimitError:
        return {
            "state": "exited",
            "started": None,
            "cpus": None,
            "descriptors": None,
            "open": None,
            "writes": "",
            "filled_mb_left": filled_mb_left(directory),
        }
    fields = read("/proc/%d/stat" % pid).rpartition(")")[2].split()
    return {
        "state": "paused" if fields[0] in "Tt" else "running",
        # It differs for every process that has run under this name.
        "started": "%d@%s" % (pid, fields[19]),
        "cpus": cpus_of(pid),
        "descriptors": resource.prlimit(pid, resource.RLIMIT_NOFILE)[0],
        "writes": writes_of(pid),
        "open": len(os.listdir("/proc/%d/fd" % pid)),
        "filled_mb_left": filled_mb_left(directory),
    }


def is_unified() -> bool:
    """Tell whether there is one hierarchy for all controllers."""
    return os.path.exists(os.path.join(ROOT, "cgroup.controllers"))


def place(controller: str, path: str) -> str:
    """Return the directory of a control group of a controller."""
    return os.path.join(ROOT, "" if is_unified() else controller, path.lstrip("/"))


def own_path(pid: int, controller: str) -> str:
    """Return the path of the control group that a process is in."""
    hierarchy = "" if is_unified() else controller
    for line in read("/proc/%d/cgroup" % pid).splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3 and hierarchy in fields[1].split(","):
            return fields[2]
    return "/"


def cpus_of(pid: int) -> float | None:
    """Return the cores that a process may use, None without a limit."""
    where = place("cpu", own_path(pid, "cpu"))
    if is_unified():
        quota, _, period = read(os.path.join(where, "cpu.max")).strip().partition(" ")
    else:
        quota = read(os.path.join(where, "cpu.cfs_quota_us")).strip()
        period = read(os.path.join(where, "cpu.cfs_period_us")).strip()
    if not (quota.isdigit() and period.isdigit()):
        return None
    return int(quota) / int(period)


def limit_cpus(directory: str, cores: float) -> None:
    """Allow a process that many cores; 0 is no limit. Raises LimitError or OSError."""
    share = "%g%%" % (100 * cores) if cores else ""
    if limited_by_systemd(directory, "CPUQuota=" + share):
        return
    quota = max(1000, int(cores * PERIOD_US))
    if is_unified():
        files = {"cpu.max": "%d %d" % (quota, PERIOD_US)}
    else:
        files = {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(quota)}
    limit(directory, "cpu", files if cores else {})


def limit_writes(directory: str, count: int, data: str) -> None:
    """Allow a process that many writes a second to the disk of ``data``; 0 is no limit."""
    device = device_of(data)
    if limited_by_systemd(
        directory, "IOWriteIOPSMax=" + ("/dev/block/%s %d" % (device, count) if count else "")
    ):
        return
    if is_unified():
        limit(directory, "io", {"io.max": "%s wiops=%d" % (device, count)} if count else {})
    else:
        file = "blkio.throttle.write_iops_device"
        limit(directory, "blkio", {file: "%s %d" % (device, count)} if count else {})


def writes_of(pid: int) -> str:
    """Return the limits on writes of a process, as the kernel has them."""
    if is_unified():
        return read(os.path.join(place("io", own_path(pid, "io")), "io.max")).strip()
    where = place("blkio", own_path(pid, "blkio"))
    return read(os.path.join(where, "blkio.throttle.write_iops_device")).strip()


def device_of(path: str) -> str:
    """Return ``major:minor`` of the whole disk that holds a path. Raises LimitError."""
    number = os.stat(path).st_dev
    device = os.path.realpath("/sys/dev/block/%d:%d" % (os.major(number), os.minor(number)))
    if os.path.exists(os.path.join(device, "partition")):
        device = os.path.dirname(device)
    device_number = read(os.path.join(device, "dev")).strip()
    if not device_number:
        raise LimitError("%s is on no block device of its own" % path)
    return device_number


def fill(directory: str, leave_mb: float, data: str) -> None:
    """Fill the volume of ``data`` but for so many megabytes, until ``unfill`` or a tear-down.

    Raises LimitError when anything but the stack's data lies on it.
    """
    root = os.path.dirname(os.path.realpath(data))
    top = root
    while not os.path.ismount(top):
        top = os.path.dirname(top)
    own = os.path.relpath(root, top).split(os.sep)[0]
    others = [] if own == "." else sorted(set(os.listdir(top)) - {own, "lost+found"})
    if top == "/" or others:
        raise LimitError(
            "%s is on the volume %s, which holds more than the stack's data, and only one of its "
            "own is filled: mount one and name it with -e data_root=DIR" % (root, top)
        )
    filler = os.path.join(root, FILLER)
    with open(os.path.join(directory, FILLED), "w", encoding="utf-8") as out:
        out.write(filler)
    with open(filler, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free_bytes(root) - int(leave_mb * 1e6)))


def unfill(directory: str) -> None:
    """Give back what was filled."""
    note = os.path.join(directory, FILLED)
    filler = read(note)
    if os.path.lexists(filler):
        os.remove(filler)
    if filler:
        os.remove(note)


def filled_mb_left(directory: str) -> float | None:
    """Return the free megabytes of a volume that was filled, None when none was."""
    filler = read(os.path.join(directory, FILLED))
    return free_bytes(os.path.dirname(filler)) / 1e6 if os.path.lexists(filler) else None


def free_bytes(path: str) -> int:
    """Return the bytes that are free on the volume of a path."""
    free = os.statvfs(path)
    return free.f_bavail * free.f_frsize


def limited_by_systemd(directory: str, setting: str) -> bool:
    """Have systemd limit a process that it runs; tell whether it does run it."""
    unit = json.loads(read(os.path.join(directory, "process.json")) or "{}").get("unit")
    if not unit:
        return False
    done = subprocess.run(
        ["systemctl", "set-property", "--runtime", unit, setting],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SYSTEMCTL_SECONDS,
        check=False,
    )
    if done.returncode:
        raise LimitError("systemctl: " + done.stdout.decode("utf-8", "replace").strip())
    return True


def limit(directory: str, controller: str, files: dict[str, str]) -> None:
    """Put a process into a control group of ours with these settings; none: give it back."""
    stack, name = os.path.split(os.path.abspath(directory))
    group = place(controller, "%s%s-%s" % (MADE, os.path.basename(stack), name))
    came_from = os.path.join(directory, "group." + controller)
    if not files:
        release(group, place(controller, read(came_from).strip() or "/"))
        return
    pid = pid_of(directory)
    now = own_path(pid, controller)
    if not os.path.basename(now).startswith(MADE):
        write(came_from, now)
    if is_unified():
        write(os.path.join(ROOT, "cgroup.subtree_control"), "+" + controller)
    os.makedirs(group, exist_ok=True)
    for file, text in files.items():
        write(os.path.join(group, file), text)
    write(os.path.join(group, "cgroup.procs"), str(pid))


def release(group: str, back: str) -> None:
    """Give the processes of one of our control groups to another, and remove it."""
    if not os.path.isdir(group):
        return
    for pid in read(os.path.join(group, "cgroup.procs")).split():
        try:
            write(os.path.join(back, "cgroup.procs"), pid)
        except ProcessLookupError:
            continue
    os.rmdir(group)


def limit_descriptors(directory: str, count: int) -> None:
    """Allow a process that many open files; 0 gives back what it had. Raises LimitError."""
    pid = pid_of(directory)
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    had = os.path.join(directory, "descriptors")
    if count:
        if not read(had):
            write(had, "%d %d" % (pid, soft))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (count, hard))
        return
    words = read(had).split()
    # A new process under this name was never limited.
    if len(words) == 2 and int(words[0]) == pid:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (int(words[1]), hard))
    if words:
        os.remove(had)


def main(argv: list[str]) -> int:
    """Run the program; return its exit status."""
    try:
        if len(argv) == 2 and argv[0] == "state":
            sys.stdout.write(json.dumps(state(argv[1])) + "\n")
        elif len(argv) == 3 and argv[0] == "cpus":
            limit_cpus(argv[1], float(argv[2]))
        elif len(argv) == 3 and argv[0] == "descriptors":
            limit_descriptors(argv[1], int(argv[2]))
        elif len(argv) == 4 and argv[0] == "writes":
            limit_writes(argv[1], int(argv[2]), argv[3])
        elif len(argv) == 4 and argv[0] == "fill":
            fill(argv[1], float(argv[2]), argv[3])
        elif len(argv) == 2 and argv[0] == "unfill":
            unfill(argv[1])
        else:
            sys.stderr.write(
                "usage: wk_limits.py state|cpus|descriptors|writes|fill|unfill DIR [N [DATA]]\n"
            )
            return 2
    except (LimitError, OSError, ValueError) as exc:
        sys.stderr.write("%s\n" % exc)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Who listens on a host's TCP ports. Standard library only, Python 3.8."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Collection


def own_processes(directory: str) -> set[str]:
    """Return the pids of processes that work in a directory of the harness, or below it."""
    pids: set[str] = set()
    if not directory or not os.path.isdir("/proc/self"):
        return pids
    real = os.path.realpath(directory) + "/"
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if (os.readlink("/proc/%s/cwd" % pid) + "/").startswith(real):
                pids.add(pid)
    return pids


def taken(port: int, own: Collection[str] = ()) -> str | None:
    """Return None when the port is free, else who holds it as far as that can be told.

    ``own`` are pids whose ports count as free.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
            # Bound alone is not free: two reusing sockets may bind, only one may listen.
            probe.listen(1)
        except OSError as exc:
            if exc.errno == errno.EACCES:
                return "reserved for root"
            pid = holder(port)
            if pid is None:
                return "an unknown process"
            if pid not in own:
                return "pid %s (%s)" % (pid, read("/proc/%s/comm" % pid).strip() or "?")
    return None


def holder(port: int) -> str | None:
    """Return the pid that listens on the port, or None where that can't be seen."""
    inodes: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in read(table).splitlines()[1:]:
            row = line.split()
            if len(row) > 9 and row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port:
                inodes.add("socket:[%s]" % row[9])
    if not inodes:
        return None
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if inodes.intersection(open_files(pid)):
            return pid
    return None


def open_files(pid: str) -> set[str]:
    """Return what the process has open, as far as that can be seen."""
    folder = "/proc/%s/fd" % pid
    links: set[str] = set()
    try:
        names = os.listdir(folder)
    except OSError:
        return links
    for name in names:
        # Files come and go while we look.
        with contextlib.suppress(OSError):
            links.add(os.readlink(os.path.join(folder, name)))
    return links


def read(path: str) -> str:
    """Return the text of a file in /proc; empty where there is none."""
    try:
        with open(path, encoding="ascii", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""

"""What can only be read from inside a process's network namespace."""

from __future__ import annotations

import os
import threading
from typing import Any

from wkcollect.proc import read_text

ctypes: Any
try:
    import ctypes
except ImportError:  # a Python without libffi
    ctypes = None

CLONE_NEWNET = 0x40000000
PORT_RANGE = "/proc/sys/net/ipv4/ip_local_port_range"
VISIT_SECONDS = 2.0


def port_range(pid: int) -> tuple[int, int] | None:
    """Return the lowest and highest port that a process's connections get, or None.

    The kernel shows this setting of the reader's own namespace alone, whatever the path: a thread
    of its own enters the process's, reads it and ends. Entering takes root.
    """
    try:
        here, there = os.readlink("/proc/self/ns/net"), os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return None
    answers: list[str | None] = []
    if here == there:
        answers.append(read_text(PORT_RANGE, 64))
    else:
        visitor = threading.Thread(target=_visit, args=(pid, answers), daemon=True)
        visitor.start()
        visitor.join(VISIT_SECONDS)
    numbers = (answers[0] or "").split() if answers else []
    return (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 else None


def _visit(pid: int, answers: list[str | None]) -> None:
    """Enter the namespace with this thread alone, which never leaves it, and read there."""
    if ctypes is None:
        return
    try:
        handle = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    except OSError:
        return
    try:
        if ctypes.CDLL(None).setns(handle, CLONE_NEWNET) == 0:
            answers.append(read_text(PORT_RANGE, 64))
    except (OSError, AttributeError):
        return
    finally:
        os.close(handle)

"""Hold what a triage needs while the file ``held`` is there: ``port N`` or ``lock PROJECT``."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

from wktriage.run import lock

AT_MOST_S = 60


def main() -> None:
    """Take it, make the file that is waited for, and hold on until that is removed."""
    what, name = sys.argv[1:]
    listener = None
    if what == "port":
        listener = socket.create_server(("127.0.0.1", int(name)))
    else:
        path = lock.lock_path(name)
        lock.acquire(path, pid=os.getpid(), run_id="someone-else", now="2026-01-01T00:00:00.000Z")
    sign = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "stack", "held")
    sign.touch()
    end = time.monotonic() + AT_MOST_S
    while sign.exists() and time.monotonic() < end:
        time.sleep(0.1)
    if listener:
        listener.close()


if __name__ == "__main__":
    main()

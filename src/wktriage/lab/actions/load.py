"""Foreign load: processes of ours that compete with the stack for the host."""

from __future__ import annotations

import subprocess
import sys

from wktriage.lab.actions.tables import ActionTable, CheckTable, check_host, on_host

MAX_SECONDS = 600
_CPU = "import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass"
_FSYNC = (
    "import os, tempfile, time\nend = time.monotonic() + {seconds}\n"
    "f = tempfile.TemporaryFile(dir={directory!r})\n"
    "while time.monotonic() < end:\n"
    "    f.seek(0); f.write(os.urandom(1 << 20)); f.flush(); os.fsync(f.fileno())"
)


class LoadActions:
    """What is done to the host beside the stack. Files are written in ``data_root``, if any."""

    def __init__(self, data_root: str | None) -> None:
        self._directory = data_root or "."
        self._hogs: list[subprocess.Popen[bytes]] = []
        self.actions: ActionTable = {"hog": on_host(self._hog), "end_hogs": on_host(self._end)}
        self.checks: CheckTable = {"hogged": check_host(self._hogged)}

    def _hog(self, kind: str, count: int, seconds: float) -> None:
        """Load the host with our own processes, which end by themselves."""
        code = (_CPU if kind == "cpu" else _FSYNC).format(
            seconds=min(float(seconds), MAX_SECONDS), directory=self._directory
        )
        for _ in range(int(count)):
            self._hogs.append(
                subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
            )

    def _end(self) -> None:
        for hog in self._hogs:
            hog.kill()
            hog.wait()
        self._hogs.clear()

    def _hogged(self) -> str | None:
        alive = sum(hog.poll() is None for hog in self._hogs)
        if alive and alive == len(self._hogs):
            return None
        return f"{alive} of {len(self._hogs)} processes that load the host are alive"

"""The recorded logs, written where the real process would write them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import BinaryIO

from wkreplay.surfaces.base import LOG_KINDS, Surface


class LogWriter(threading.Thread):
    """Writes the recorded logs where the real process would: files, and standard output."""

    def __init__(self, surface: Surface, directory: Path | None, stdout: BinaryIO | None) -> None:
        super().__init__(name=f"logs-{surface.name}", daemon=True)
        self.surface = surface
        self.targets: dict[str, BinaryIO] = {}
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            for kind in LOG_KINDS[1:]:
                self.targets[kind] = (directory / f"{kind}.log").open("ab")
        if stdout is not None:
            self.targets["compose"] = stdout
        self.stopping = threading.Event()

    def run(self) -> None:
        """Write each line when it is due. A process that is frozen or dead wrote none then."""
        written = dict.fromkeys(self.targets, 0)
        while True:
            for kind, file in self.targets.items():
                lines = self.surface.log_until(kind, self.surface.clock.moment()) or []
                if len(lines) > written[kind]:
                    file.write(b"".join(lines[written[kind] :]))
                    file.flush()
                    written[kind] = len(lines)
            if self.stopping.wait(0.5):
                return

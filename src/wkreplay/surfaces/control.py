"""What is known of the processes from outside of them."""

from __future__ import annotations

import re

from wkreplay.failures import UP
from wkreplay.recording import Recording
from wkreplay.surfaces.answers import UNKNOWN_PATH, Answer
from wkreplay.surfaces.base import Clock, Surface


class ControlSurface(Surface):
    """What engine, files and /proc tell of the processes: it answers when they do not."""

    def __init__(self, processes: list[Surface], recording: Recording, clock: Clock) -> None:
        super().__init__("control", recording, clock)
        self.processes = {process.name: process for process in processes}

    def reachable(self, moment: int) -> str:
        """See Surface."""
        return UP

    def own(self, path: str, query: str, moment: int) -> Answer:
        """See Surface: /_replay/<process>/<what>."""
        match = re.fullmatch(r"/_replay/([\w-]+)/(.+)", path)
        process = self.processes.get(match[1]) if match else None
        return process.harness(match[2], moment) if match and process else UNKNOWN_PATH

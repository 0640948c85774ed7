"""How much time and memory the reading of one bundle may take, whatever the bundle holds."""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS, MEGABYTES = 60.0, 500.0
_MB = 1_000_000


class Budget:
    """What may be spent on one bundle, and what had to be left unread for want of it.

    Time is this process's own, in seconds of CPU: a machine that is busy with other things changes
    no verdict. Memory is reckoned from what readers keep, in bytes.
    """

    def __init__(
        self,
        seconds: float = SECONDS,
        megabytes: float = MEGABYTES,
        clock: Callable[[], float] = time.process_time,
    ) -> None:
        """Begin to count."""
        self.seconds, self.megabytes = seconds, megabytes
        self._clock = clock
        self._until = clock() + seconds
        self._kept: dict[str, float] = {}
        self._total = 0.0
        self.left_out: dict[str, str] = {}

    def late(self, what: str) -> bool:
        """Tell whether the time is used up; then ``what`` is what was left unread first."""
        if self._clock() <= self._until:
            return False
        self.left_out.setdefault(
            "time", f"the {self.seconds:g} s for reading this bundle were used up at {what[:200]}"
        )
        return True

    def keep(self, what: str, kept: float) -> bool:
        """Tell whether ``kept`` bytes in all can be kept of ``what``, and count them if so.

        What is read again is counted once, as the most that was kept of it.
        """
        grown = self._total + max(0.0, kept - self._kept.get(what, 0.0))
        if grown > self.megabytes * _MB:
            self.left_out.setdefault(
                "memory",
                f"the {self.megabytes:g} MB for reading this bundle were used up at {what[:200]}",
            )
            return False
        if grown > self._total:
            self._total, self._kept[what] = grown, kept
        return True

    def statements(self) -> list[str]:
        """Return what a person must know: nothing unless something was left unread."""
        return [f"{text}: what was not read by then is unknown" for text in self.left_out.values()]

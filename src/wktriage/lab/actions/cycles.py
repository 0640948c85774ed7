"""Faults that come and go: two steps, alternated in the background until they are ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from wktriage.core.errors import InfraError
from wktriage.lab.actions.commands import Target
from wktriage.lab.actions.tables import Action, for_each

END_SECONDS = 15
VERBS_SECONDS = 300


class Cycles:
    """The cycles of one fault, at most one a target."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._threads: dict[str, threading.Thread] = {}

    def start(
        self,
        target: Target,
        on: Callable[[], object],
        off: Callable[[], object],
        *,
        on_s: float,
        off_s: float,
        seconds: float,
    ) -> None:
        """Do ``on`` for ``on_s`` and ``off`` for ``off_s`` seconds until ended.

        Nothing is begun after ``seconds``; ``off`` always follows ``on``.
        """

        def alternate() -> None:
            end = time.monotonic() + seconds
            try:
                while time.monotonic() < end and not self._ended.is_set():
                    on()
                    self._ended.wait(on_s)
                    off()
                    self._ended.wait(off_s)
            except InfraError:
                return  # the target is gone; the check and the bundle say so

        self._threads[target.name] = threading.Thread(target=alternate, daemon=True)
        self._threads[target.name].start()

    def of_verbs(self, act: Callable[[Target, str], object]) -> Action:
        """Return the action that alternates two verbs; ``act`` does one to a target."""

        def cycle(
            target: Target,
            on: str,
            off: str,
            on_s: float,
            off_s: float,
            seconds: float = VERBS_SECONDS,
        ) -> None:
            self.start(
                target,
                lambda: act(target, on),
                lambda: act(target, off),
                on_s=on_s,
                off_s=off_s,
                seconds=seconds,
            )

        return for_each(cycle)

    def end(self) -> None:
        """End all cycles, each after its ``off``."""
        self._ended.set()
        for thread in self._threads.values():
            thread.join(timeout=END_SECONDS)

    def problem(self, target: Target) -> str | None:
        """Return that the target's cycle has ended, None while it goes on."""
        thread = self._threads.get(target.name)
        alive = thread is not None and thread.is_alive()
        return None if alive else f"the cycle on {target.name} has ended"

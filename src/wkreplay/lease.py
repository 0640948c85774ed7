"""How long a replay serves nobody before it ends by itself."""

from __future__ import annotations

import time


class Lease:
    """Runs out ``seconds`` after it was renewed last; never, for None."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._renewed = time.monotonic()

    def renew(self) -> None:
        """Begin anew: somebody asked."""
        self._renewed = time.monotonic()

    def over(self) -> bool:
        """Say whether nobody asked for so long."""
        return self._seconds is not None and time.monotonic() - self._renewed > self._seconds

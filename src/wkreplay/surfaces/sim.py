"""The simulator."""

from __future__ import annotations

from wkreplay.failures import HANG, UP, classify_error
from wkreplay.surfaces.answers import (
    NOT_RECORDED,
    UNKNOWN_PATH,
    Answer,
    json_answer,
    slowness,
)
from wkreplay.surfaces.base import Surface
from wkreplay.timeline import Event


class SimSurface(Surface):
    """The simulator: /healthz and /status.

    One that is starved of CPU answers some requests late and others not at all. A request then
    fares as the recorded one nearest to it: if it hung until the next row, and took that one's
    time on top, far more would fail than did.
    """

    def _event(self, moment: int) -> Event:
        timeline = self.recording.status
        event = timeline.at(moment) or timeline.events[0]
        following = timeline.after(moment)
        if self._state(event) == HANG and following and 2 * moment > event.at + following.at:
            return following
        return event

    @staticmethod
    def _state(event: Event) -> str:
        return UP if "status" in event.row else classify_error(event.row.get("error"))

    def reachable(self, moment: int) -> str:
        """See Surface."""
        return self._state(self._event(moment))

    def mute(self, since: int, moment: int) -> bool:
        """See Surface."""
        return self.reachable(since) == HANG

    def own(self, path: str, query: str, moment: int) -> Answer:
        """See Surface."""
        if path == "/healthz":
            return json_answer({"status": "ok"})
        if path != "/status":
            return UNKNOWN_PATH
        event = self._event(moment)
        status = event.row.get("status")
        if not isinstance(status, dict):
            return NOT_RECORDED
        return json_answer(self._shifted(status, "last_transition_at"), slowness(event.row))

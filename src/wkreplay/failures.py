"""How a process answers or fails to, and how the words of a failed caller tell it."""

from __future__ import annotations

UP, UNKNOWN, REFUSED, RESET, CLOSED, HANG = "up", "unknown", "refused", "reset", "closed", "hang"


# What HTTP clients (Python's, Go's, curl, the harness's own collector) say of a failed request.
_ERRORS = {
    HANG: ("timed out", "timeout", "deadline", "no answer within"),
    RESET: ("reset", "errno 104", "broken pipe"),
    CLOSED: ("closed connection", "empty reply", "eof", "incomplete"),
    # No stand-in can be unreachable; a refusal is the nearest thing that fails at once.
    REFUSED: ("refused", "errno 111", "errno 61", "unreachable", "no route", "no such host"),
}


def classify_error(text: str | None) -> str:
    """Return how a caller experienced a failed request: refused, reset, closed or hang."""
    low = (text or "").lower()
    return next(
        (state for state, parts in _ERRORS.items() if any(p in low for p in parts)), UNKNOWN
    )

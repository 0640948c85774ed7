"""What a stand-in answers, before it goes out over a socket."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from wkreplay.failures import UNKNOWN, UP, classify_error
from wkreplay.files import Row

SLOW_MS = 50.0
"""Recorded answer times below this are the network's, not the node's."""


class Answer(NamedTuple):
    """One HTTP answer, or (state) the way in which there is none."""

    code: int = 200
    body: bytes = b""
    kind: str = "application/json"
    delay_s: float = 0.0
    state: str = UP
    # It takes its time by itself: what befalls the process meanwhile befalls the request.
    long: bool = False


NOT_RECORDED = Answer(501, b"not recorded\n", "text/plain; charset=utf-8")
UNKNOWN_PATH = NOT_RECORDED._replace(code=404)


def json_answer(value: Any, delay_s: float = 0.0) -> Answer:
    """Return a value as JSON, ``delay_s`` seconds after it was asked for."""
    return Answer(body=json.dumps(value, ensure_ascii=False).encode("utf-8"), delay_s=delay_s)


def failure(error: Any) -> Answer:
    """Return the failure that an error text tells of; the harness notes a status as "HTTP 503"."""
    status = re.search(r"\bHTTP ([1-5]\d\d)\b", str(error))
    if status:
        return Answer(int(status[1]), kind="text/plain; charset=utf-8")
    state = classify_error(str(error))
    return NOT_RECORDED if state == UNKNOWN else Answer(state=state)


def slowness(row: Row) -> float:
    """Return the seconds that a recorded answer took, 0 where that is the network's share."""
    took = row.get("took_ms")
    return min(took, 60000.0) / 1000 if isinstance(took, (int, float)) and took >= SLOW_MS else 0.0

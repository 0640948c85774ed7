"""Values of documents that nobody vouches for, made safe to use."""

from __future__ import annotations

import json
from typing import Any

SCHEMA_VERSION = 1


def number(value: Any) -> float | None:
    """Return an int or float as it is, None for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    return None


def one_line(value: Any) -> str | None:
    """Return a value as one short line, None as None."""
    return None if value is None else " ".join(str(value).split())[:200]


def describe(error: BaseException) -> str:
    """Return a short text of one line for an exception."""
    text = str(error) or error.__class__.__name__
    return " ".join(text.split())[:300]


def parse_json(body: bytes) -> Any:
    """Return the JSON value of a body. Raises ValueError, also for one that is nested too deep."""
    try:
        return json.loads(body.decode("utf-8", "replace"))
    except RecursionError as error:
        raise ValueError(describe(error)) from None


def compact_json(document: Any) -> str:
    """Return ASCII JSON on one line."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=True)


def indented_json(document: Any) -> bytes:
    """Return ASCII JSON for a file that people read."""
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode("ascii")

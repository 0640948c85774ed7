"""JSON objects: read leniently as evidence, strictly as a declared type, and written one way."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from wktriage.core import private_files
from wktriage.core.declarations import convert, shown
from wktriage.core.errors import TriageError, UsageError

T = TypeVar("T")

CAP = 16 * 1024 * 1024
"""Bytes read of a JSON document; a larger one counts as unreadable."""

_NOT_PLAIN = re.compile(r"NaN|Infinity|[eE]\+?\d{3}|\d{200}")
"""What a number that no float can hold has in it (and some other texts too)."""


def parse(text: str | bytes) -> Any:
    """Return the value that a JSON text is. Numbers that no float can hold become None.

    NaN, infinity, 1e999 and an integer of 400 digits are no evidence of anything. Bytes that are
    no UTF-8 are replaced: what came over a wire or from a killed writer may be anything. Raises
    ValueError for what is no JSON, or nested too deep.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", errors="replace")
    try:
        if _NOT_PLAIN.search(text) is None:
            return json.loads(text)
        return json.loads(
            text, parse_constant=lambda _: None, parse_float=_finite, parse_int=_whole
        )
    except RecursionError as exc:
        raise ValueError("nested too deep") from exc


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def _whole(digits: str) -> int | None:
    return None if _finite(digits) is None else int(digits)


def parse_object(text: str | bytes) -> dict[str, Any] | None:
    """Return the JSON object that a text is, as ``parse`` does; None when it is none."""
    try:
        value = parse(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def read_object(path: Path, cap: int = CAP) -> dict[str, Any] | None:
    """Return the JSON object in a file.

    None when the file is absent, no regular one, unreadable, larger than ``cap`` bytes, damaged or
    no object.
    """
    try:
        data = private_files.read(path, cap + 1, follow=True)
    except OSError:
        return None
    return None if data is None or len(data) > cap else parse_object(data)


def load_typed(path: Path, kind: type[T], error: type[TriageError] = UsageError) -> T:
    """Return a JSON file as its declared type.

    Raises ``error`` with file, place and a suggestion when it is unreadable or not as declared.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError, RecursionError) as exc:
        raise error(f"{shown(path)}: cannot be read: {exc}") from exc
    return convert(raw, kind, shown(path), error)


def object_text(document: Mapping[str, Any]) -> str:
    """Return the one form in which this project writes JSON documents."""
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def write_object(path: Path, document: Mapping[str, Any]) -> None:
    """Write an object to a file of its owner's, whole or not at all.

    Directories are made as needed. Raises UsageError or InfraError when it cannot be written.
    """
    private_files.write(path, object_text(document).encode())

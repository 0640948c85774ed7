"""Files of a bundle, read leniently: what is torn or odd is left out."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any, Dict

Row = Dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """Return the JSON objects of a JSON Lines file; a torn or odd line is skipped."""
    rows: list[Row] = []
    if not path.is_file():
        return rows
    with path.open("rb") as lines:
        for line in lines:
            with contextlib.suppress(ValueError):
                row = json.loads(line.decode("utf-8", "replace"))
                if isinstance(row, dict):
                    rows.append(row)
    return rows


def read_object(path: Path) -> Row:
    """Return the JSON object in a file, or an empty one when it is missing or unreadable."""
    with contextlib.suppress(OSError, ValueError):
        value = json.loads(path.read_text("utf-8", "replace"))
        if isinstance(value, dict):
            return value
    return {}


def read_env(path: Path) -> dict[str, str]:
    """Return the NAME=value lines of an env.txt; empty when it is missing."""
    if not path.is_file():
        return {}
    lines = path.read_text("utf-8", "replace").splitlines()
    return {
        k.strip(): v.strip() for k, _, v in (line.partition("=") for line in lines) if k.strip()
    }


_SIZES = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
_SIZES.update({"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4})


def parse_size(text: str) -> int | None:
    """Return the bytes of a size as `docker stats` prints it ("6.605MiB", "3.75kB")."""
    match = re.fullmatch(r"\s*([\d.]+)\s*([kKMGT]?i?B)\s*", text)
    if not match or match[2] not in _SIZES:
        return None
    try:
        return int(float(match[1]) * _SIZES[match[2]])
    except ValueError:
        return None


def write_object(path: Path, content: Row) -> None:
    """Write a JSON object, so that a reader sees the old file or the whole new one."""
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(content))
    temporary.replace(path)

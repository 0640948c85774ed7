"""``labels.jsonl``: what really happened in each of the bundles beside it, one row a bundle."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from wktriage.core.errors import UsageError

LABELS = "labels.jsonl"

T = TypeVar("T")


def read(path: Path, parse: Callable[[dict[str, Any]], T]) -> list[T]:
    """Return what ``parse`` makes of each row.

    Raises UsageError, naming file and line, for a row that is no JSON object or that ``parse``
    refuses with a ValueError, KeyError or TypeError; OSError when the file can't be read.
    """
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text: {error}") from error
    parsed = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise TypeError("no JSON object")
            parsed.append(parse(row))
        except KeyError as error:
            raise UsageError(f"{path}:{number} is not a usable label: it lacks {error}") from error
        except (ValueError, TypeError) as error:
            raise UsageError(f"{path}:{number} is not a usable label: {error}") from error
    return parsed


def write(path: Path, row: Mapping[str, Any]) -> None:
    """Write a bundle's row, in place of the one that it may have; rows are sorted by bundle."""
    rows = read(path, dict) if path.is_file() else []
    rows = [other for other in rows if other.get("bundle") != row["bundle"]] + [dict(row)]
    rows.sort(key=lambda each: str(each["bundle"]))
    text = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in rows)
    replace_file(path, text.encode("utf-8"))


def replace_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)

"""JSON objects in files: read without raising, written readable and always in the same form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wktriage.core import private_files


def read_object(path: Path) -> dict[str, Any] | None:
    """Return the JSON object that a file holds; None when it is absent, damaged or no object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def object_text(document: Mapping[str, Any]) -> str:
    """Return an object as text: indented, keys sorted, ending in a newline."""
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def write_object(path: Path, document: Mapping[str, Any]) -> None:
    """Write an object to a file of its owner's, whole or not at all.

    Directories are made as needed. Raises UsageError or InfraError when it cannot be written.
    """
    private_files.write(path, object_text(document).encode())

"""The project's own YAML: rules, facts, knobs, scenarios, faults, the catalogue of signals."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml

from wktriage.core.declarations import convert, shown
from wktriage.core.errors import UsageError

T = TypeVar("T")

# The C loader takes a tenth of the time, which is most of starting up.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping that a file holds. Raises UsageError naming the file."""
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 (safe)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise UsageError(f"{shown(path)}: cannot be read: {exc}") from exc
    if not isinstance(raw, dict):
        raise UsageError(f"{shown(path)}: expected a mapping")
    return raw


def load_typed(path: Path, kind: type[T]) -> T:
    """Return a YAML file as its declared type.

    Raises UsageError with file, place and a suggestion when it is unreadable or not as declared.
    """
    return convert(read_mapping(path), kind, shown(path))

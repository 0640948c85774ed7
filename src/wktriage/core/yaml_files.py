"""The project's own YAML: rules, facts, knobs, scenarios, faults, the catalogue of signals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from wktriage.core.errors import UsageError

# The C loader takes a tenth of the time, which is most of starting up.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping that a file holds. Raises UsageError naming the file."""
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 (safe)
    except (OSError, yaml.YAMLError) as exc:
        raise UsageError(f"{path}: cannot be read: {exc}") from exc
    if not isinstance(raw, dict):
        raise UsageError(f"{path}: expected a mapping")
    return raw

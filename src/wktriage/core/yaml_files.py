"""YAML: the project's own (rules, facts, knobs, scenarios, faults), and that of evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml

from wktriage.core.declarations import convert, shown
from wktriage.core.errors import UsageError

T = TypeVar("T")

# The C loader takes a tenth of the time, which is most of starting up.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

DEPTH, EVENTS, MERGED = 40, 400_000, 5_000
"""How deep and how large a document of evidence may be, and a mapping after merging."""


class _EvidenceLoader(_LOADER):  # type: ignore[misc, valid-type] # one of two classes
    """Merges no more than there is: mappings that merge each other twice grow without end."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge into a mapping what it refers to."""
        super().flatten_mapping(node)
        if len(node.value) > MERGED:
            raise yaml.YAMLError("mappings that grow by merging")


def parse_evidence(text: str) -> Any:
    """Return what a YAML document of evidence holds, in a bounded time.

    Raises ValueError when it is none, or larger or deeper than any real one.
    """
    depth = 0
    try:
        # By events first: building a deep document ends the process in C.
        for number, event in enumerate(yaml.parse(text, Loader=_LOADER)):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > DEPTH or number > EVENTS:
                raise ValueError("too deep or too large")
        return yaml.load(text, Loader=_EvidenceLoader)  # noqa: S506 (safe)
    except (yaml.YAMLError, RecursionError, TypeError, LookupError, ArithmeticError,
            AttributeError) as exc:  # fmt: skip
        raise ValueError(f"no YAML: {exc}") from exc


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

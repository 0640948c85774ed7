"""The JSON documents of this project, checked against the schemas in ``schemas/``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wktriage.core.errors import TriageError
from wktriage.core.json_files import parse_object
from wktriage.core.paths import PROJECT

# Imported where it is used: judging validates nothing, and a tenth of a second is much of it.
if TYPE_CHECKING:
    import jsonschema

SCHEMAS = PROJECT / "schemas"

ROW_SCHEMAS: Mapping[str, str] = {
    "status.jsonl": "status_row",
    "health.jsonl": "health_row",
    "cluster.jsonl": "cluster_row",
    "resources.jsonl": "resource_row",
    "host.jsonl": "host_row",
    "events.jsonl": "event_row",
    "docker-stats.jsonl": "docker_stats_row",
}
"""Schema of the rows of each JSON-lines file of a bundle."""

# A run of an hour has tens of thousands of rows of one shape: an even sample of them finds a wrong
# column as surely as all of them, in a bounded time.
ROWS_CHECKED = 400
ROW_CAP = 4 * 1024 * 1024


class SchemaError(TriageError):
    """A document that does not fit its schema; the message says where."""


def names() -> list[str]:
    """Return the names of all schemas."""
    return sorted(p.name.removesuffix(".schema.json") for p in SCHEMAS.glob("*.schema.json"))


@cache
def load(name: str) -> dict[str, Any]:
    """Return a schema by name. Raises SchemaError when there is none or it is no schema."""
    import jsonschema

    path = SCHEMAS / f"{name}.schema.json"
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator.check_schema(document)
    except FileNotFoundError:
        raise SchemaError(f"no schema {name!r}: known are {', '.join(names())}") from None
    except (ValueError, jsonschema.SchemaError) as exc:
        raise SchemaError(f"{path} is no JSON schema: {exc}") from exc
    return document


@cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    import jsonschema

    return jsonschema.Draft202012Validator(load(name))


def problem(name: str, document: Any) -> str | None:
    """Return what is wrong with a document, with its place as a JSON pointer; None when it fits."""
    from jsonschema.exceptions import best_match

    try:
        error = best_match(_validator(name).iter_errors(document))
    except RecursionError:
        return "nested too deep"
    if error is None:
        return None
    pointer = "".join(f"/{part}" for part in error.absolute_path)
    return f"at {pointer or 'the top'}: {error.message[:300]}"


def validate(name: str, document: Any) -> None:
    """Check a document against a schema. Raises SchemaError."""
    why = problem(name, document)
    if why is not None:
        raise SchemaError(f"no valid {name}: {why}")


def check_rows(path: Path, name: str) -> str | None:
    """Check an even sample of the rows of a JSON-lines file; return the first problem, or None."""
    with path.open("rb") as handle:
        total = sum(1 for _ in handle)
    step = max(1, total // ROWS_CHECKED)
    with path.open("rb") as handle:
        for number, line in enumerate(handle, 1):
            if number % step and number not in (1, total):
                continue
            row = parse_object(line[:ROW_CAP])
            if row is None:
                return f"line {number} is no JSON object"
            why = problem(name, row)
            if why is not None:
                return f"line {number} {why}"
    return None

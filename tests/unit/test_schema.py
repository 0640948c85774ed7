"""Schemas load, name the place of a mistake, and rows are checked by an even sample."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wktriage.core import schemas

ROW = {"time": "2026-01-01T00:00:00.000Z", "name": "a", "action": "die", "attributes": {}}


def test_every_schema_is_one() -> None:
    assert set(schemas.ROW_SCHEMAS.values()) <= set(schemas.names())
    for name in schemas.names():
        assert schemas.load(name)["title"]


def test_unknown_schema_lists_the_known() -> None:
    with pytest.raises(schemas.SchemaError, match="manifest"):
        schemas.load("nonsense")


def test_mistake_is_named_with_its_place() -> None:
    schemas.validate("event_row", ROW)
    with pytest.raises(schemas.SchemaError, match=r"at /attributes/x: 1 is not of type"):
        schemas.validate("event_row", {**ROW, "attributes": {"x": 1}})


def test_rows_are_checked_first_and_last_included(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    lines = [json.dumps(ROW)] * 2000
    path.write_text("\n".join(lines) + "\n")
    assert schemas.check_rows(path, "event_row") is None
    path.write_text("\n".join([*lines, "{}"]) + "\n")
    assert (schemas.check_rows(path, "event_row") or "").startswith("line 2001 at the top")
    path.write_text("\n".join(["nope", *lines]) + "\n")
    assert schemas.check_rows(path, "event_row") == "line 1 is no JSON object"

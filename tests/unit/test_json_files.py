"""JSON objects: whatever a file holds, reading one gives an object or nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wktriage.core import json_files


@given(st.binary(max_size=40) | st.text(max_size=40))
def test_any_text_is_an_object_or_none(text: str | bytes) -> None:
    value = json_files.parse_object(text)
    assert value is None or isinstance(value, dict)


@pytest.mark.parametrize("text", ["[1]", "3", "null", "{", "", "[" * 100_000, b"\xff{}"])
def test_what_is_no_object_is_none(text: str | bytes) -> None:
    assert json_files.parse_object(text) is None


def test_a_byte_that_is_no_utf8_costs_itself_only() -> None:
    assert json_files.parse_object(b'{"a": "x\xff"}') == {"a": "x\N{REPLACEMENT CHARACTER}"}


def test_reading_is_bounded_and_absence_is_none(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    assert json_files.read_object(file) is None
    json_files.write_object(file, {"b": 1, "a": [2]})
    assert file.read_text() == '{\n  "a": [\n    2\n  ],\n  "b": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    size = file.stat().st_size
    assert json_files.read_object(file, cap=size) == {"a": [2], "b": 1}
    assert json_files.read_object(file, cap=size - 1) is None
    assert json.loads(json_files.object_text({"a": 1})) == {"a": 1}

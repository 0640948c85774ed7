"""Clocks of hosts: measured from the controller, corrected in samples, and said when set."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.bundlefakes import Run

from wkcollect.clock import Clock, parse_iso
from wktriage.bundle import clocks as documents
from wktriage.core import schemas
from wktriage.core.errors import InfraError
from wktriage.run import clocks


def reading(offset: float, uncertainty: float, second: int = 0) -> dict[str, Any]:
    at = f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}.000Z"
    return {"offset_s": offset, "uncertainty_s": uncertainty, "at": at}


def answers(*values: float) -> Callable[[], float]:
    each: Iterator[float] = iter(values)
    return lambda: next(each)


def test_the_fastest_answer_counts() -> None:
    # Question and answer of three rounds, 2 s, 0.2 s and 1 s long.
    clock = answers(100.0, 102.0, 110.0, 110.2, 120.0, 121.0)
    found = clocks.measure(answers(191.0, 200.1, 210.5), clock)
    assert found["offset_s"] == pytest.approx(90.0)
    assert found["uncertainty_s"] == pytest.approx(0.1)
    assert parse_iso(found["at"]) == pytest.approx(110.1)


def test_an_answer_that_says_enough_is_not_asked_for_again() -> None:
    found = clocks.measure(answers(190.02), answers(100.0, 100.04))
    assert found["offset_s"] == pytest.approx(90.0)
    assert found["uncertainty_s"] == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("before", "moved_back"),
    [(None, 0), (reading(0.02, 0.05), 0), (reading(90, 0.1), 90), (reading(-3, 0.1), -3)],
)
def test_what_is_less_than_known_is_not_corrected(
    before: dict[str, Any] | None, moved_back: float
) -> None:
    assert documents.correction(before) == moved_back


@pytest.mark.parametrize(
    ("before", "after", "step"),
    [
        (reading(0, 0.1), reading(0.15, 0.1, 60), 0),
        (reading(90, 0.1), reading(90.15, 0.1, 60), 0),
        (reading(0, 0.1), reading(-2, 0.1, 60), -2),
        (reading(0, 0.001), reading(0.1, 0.001, 1800), 0),  # half an hour of drift
        (reading(0, 0.001), reading(0.1, 0.001, 60), 0.1),
        (None, reading(0, 0.1), None),
        (reading(0, 0.1), None, None),
    ],
)
def test_a_clock_that_was_set_is_told_from_drift_and_doubt(
    before: dict[str, Any] | None, after: dict[str, Any] | None, step: float | None
) -> None:
    assert documents.step(before, after) == step


def test_readings_of_all_hosts_are_one_document(tmp_path: Path) -> None:
    folder = tmp_path / "packed"
    clocks.note(folder / "n1.clock.json", "before", reading(90, 0.1))
    clocks.note(folder / "n1.clock.json", "after", reading(60, 0.1, 60))
    clocks.note(folder / "n2.clock.json", "before", reading(0.01, 0.1))
    (folder / "n3.clock.json").write_text("torn")
    document = documents.document(folder)
    assert document is not None
    schemas.validate("clocks", document)
    assert [(h["host"], h["corrected_s"], h["step_s"]) for h in document["hosts"]] == [
        ("n1", 90, -30),
        ("n2", 0, None),
        ("n3", 0, None),
    ]
    text = documents.moved(document)
    assert text is not None
    assert "the clock of n1 was set 30.000 s back while the run went on" in text
    assert "n2" not in text


def test_no_readings_are_no_document(tmp_path: Path) -> None:
    assert documents.document(tmp_path / "absent") is None


def test_the_bundle_has_them_and_says_which_clock_was_set(tmp_path: Path) -> None:
    run = Run(tmp_path, "one", "two")
    clocks.note(tmp_path / "packed" / "one.clock.json", "before", reading(0, 0.1))
    clocks.note(tmp_path / "packed" / "one.clock.json", "after", reading(5, 0.1, 60))
    made = run.make({}, clocks=tmp_path / "packed")
    assert json.loads((run.bundle / "clocks.json").read_text())["hosts"][0]["step_s"] == 5
    (row,) = [c for c in made["collectors"] if c["name"] == "clocks"]
    assert row["status"] == "partial"
    assert "clock of one was set 5.000 s forward" in row["error"]


def test_a_collector_keeps_the_controllers_time() -> None:
    ahead = Clock(90.0)
    assert ahead.wall() == pytest.approx(time.time() - 90, abs=1)
    assert parse_iso(ahead.iso()) == pytest.approx(time.time() - 90, abs=1)


def test_what_a_login_script_prints_is_not_the_time() -> None:
    noise = "tool: cannot rehash: isn't writable\r\n"
    assert clocks.told(f"{noise}1795710464.6834426\r\n") == 1795710464.6834426
    assert clocks.told("1795710464.5\n") == 1795710464.5
    for output in ("", noise):
        with pytest.raises(InfraError, match="the host's clock cannot be read"):
            clocks.told(output)

"""What is recorded, and how a recorded failure is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.replayfakes import FIXTURES, at

from wkreplay import failures
from wkreplay.errors import ReplayError
from wkreplay.recording import LEAD_S, Recording


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("timed out", failures.HANG),
        ("no answer within 2.0 s", failures.HANG),
        ("[Errno 113] No route to host", failures.REFUSED),
        ("context deadline exceeded", failures.HANG),
        ("<urlopen error [Errno 111] Connection refused>", failures.REFUSED),
        ("[Errno 104] Connection reset by peer", failures.RESET),
        ("Remote end closed connection without response", failures.CLOSED),
        ("something else", failures.UNKNOWN),
        (None, failures.UNKNOWN),
    ],
)
def test_errors_are_read_as_what_the_caller_saw(text: str | None, state: str) -> None:
    assert failures.classify_error(text) == state


def test_replay_begins_shortly_before_running() -> None:
    full = Recording(FIXTURES / "full")
    assert full.begin == at(20.02) - int(LEAD_S * 1e9)
    assert full.window == (at(22.02), at(30.02))


def test_torn_and_foreign_rows_are_skipped(tmp_path: Path) -> None:
    good = json.dumps({"sample_time": "2026-11-01T10:00:00Z", "status": {"state": "waiting"}})
    (tmp_path / "status.jsonl").write_bytes(b'[1]\n\xff\xfe\n{"sample_time": 7}\n' + good.encode())
    assert len(Recording(tmp_path).status.events) == 1
    (tmp_path / "status.jsonl").write_text("nothing\n")
    with pytest.raises(ReplayError, match=r"no readable status\.jsonl"):
        Recording(tmp_path)

"""The bench's long bundle is one that a long run could have left."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

from bench import big_bundle

from wktriage.bundle.bundle import Bundle
from wktriage.bundle.readers import status
from wktriage.judging.verdict import verdict_of


def test_stretched_bundle_keeps_its_verdict_and_its_counters_grow(tmp_path: Path) -> None:
    target = tmp_path / "long"
    made = big_bundle.make("kill-node1", target, 200, 2_000_000)
    window = json.loads((target / "window.json").read_text("utf-8"))
    assert made["window_seconds"] == 200
    assert big_bundle.seconds_of(window["end"]) - big_bundle.seconds_of(window["start"]) == 200
    assert 1.5 < made["log_mb"] <= 2.5
    samples = [s for s in status.samples(Bundle.open(target)) if s.state]
    assert len(samples) >= 200
    for before, after in pairwise(samples):
        assert 0.5 < after.time - before.time < 2
        assert after.sent >= before.sent
    for name in ("app", "compose"):
        text = (target / "logs" / name / "wk-node2.log").read_text("utf-8")
        stamps = re.findall(r"^\d{4}-\d\d-\d\d[T ][\d:]+", text, re.MULTILINE)
        assert [s.replace("T", " ") for s in stamps] == sorted(s.replace("T", " ") for s in stamps)
    verdict = verdict_of(target)
    assert (verdict["category"], verdict["nodes"]) == ("send_path", ["wk-node1"])

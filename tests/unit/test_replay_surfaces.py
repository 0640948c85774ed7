"""What the stand-ins answer at a moment of the recording."""

from __future__ import annotations

import gzip
import itertools
import json
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.replayfakes import FIXTURES, at, clock

from wkreplay import failures
from wkreplay.recording import Recording
from wkreplay.surfaces.answers import failure
from wkreplay.surfaces.base import Clock
from wkreplay.surfaces.control import ControlSurface
from wkreplay.surfaces.node import NodeSurface
from wkreplay.surfaces.sim import SimSurface


@pytest.fixture(scope="module")
def full() -> Recording:
    return Recording(FIXTURES / "full")


@pytest.fixture(scope="module")
def plain() -> Recording:
    return Recording(FIXTURES / "plain")


@pytest.mark.parametrize(
    ("node", "second", "state"),
    [
        ("wk-node1", 29, failures.UP),
        ("wk-node2", 25.9, failures.UP),
        ("wk-node2", 26.1, failures.HANG),
        ("wk-node3", 27.9, failures.UP),
        ("wk-node3", 28.1, failures.REFUSED),
    ],
)
def test_full_bundle_says_how_a_node_answered(
    full: Recording, node: str, second: float, state: str
) -> None:
    surface = NodeSurface(node, full, clock(full))
    assert surface.reachable(at(second)) == state


def test_plain_bundle_knows_a_freeze_from_docker_stats(plain: Recording) -> None:
    surface = NodeSurface("wk-node2", plain, clock(plain))
    assert surface.reachable(at(24)) == failures.UP
    assert surface.reachable(at(26.6)) == failures.HANG


def test_metrics_are_the_newest_scrape_and_never_between_two(full: Recording) -> None:
    surface = NodeSurface("wk-node1", full, clock(full))
    body = {s: surface.answer("/metrics", "", at(s)).body for s in (22.1, 23.9, 26.5, 30.1, 99)}
    assert body[22.1] == body[23.9] == (FIXTURES / "full/metrics/node1-before.prom").read_bytes()
    scrape = next((FIXTURES / "full/metrics/series/node1").glob("*26000.prom.gz"))
    assert body[26.5] == gzip.decompress(scrape.read_bytes())
    assert body[30.1] == body[99] == (FIXTURES / "full/metrics/node1.prom").read_bytes()
    assert surface.answer("/metrics", "", at(19)).code == 501


def test_a_scrape_says_for_a_while_that_its_node_lives(tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    (tmp_path / "env.txt").write_text("DURATION=60\n")
    for name in ("node1-before.prom", "node1.prom"):
        (tmp_path / "metrics" / name).write_text("x 1\n")
    rows = [
        {
            "sample_time": f"2026-11-01T10:{s // 60:02d}:{s % 60:02d}Z",
            "status": {"state": "running", "messages_sent": s},
        }
        for s in range(0, 90, 2)
    ]
    (tmp_path / "status.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    recording = Recording(tmp_path)
    surface = NodeSurface("wk-node1", recording, clock(recording))
    assert recording.window == (at(2), at(62))
    # What answered its scrapes was alive then; in between nobody looked.
    assert [surface.answer("/healthz", "", at(s)).code for s in (3, 30, 63)] == [200, 501, 200]


def test_unrecorded_is_said_and_not_invented(plain: Recording) -> None:
    surface = NodeSurface("wk-node1", plain, clock(plain))
    for path in ("/debug/cluster", "/debug/goroutines/summary", "/debug/pprof/profile"):
        answer = surface.answer(path, "seconds=5", at(23))
        assert (answer.code, answer.body) == (501, b"not recorded\n")
    assert surface.answer("/manager/nodes", "", at(23)).code == 404
    assert surface.harness("host", at(23)).code == 501
    assert surface.harness("events", at(23)).code == 501


def test_a_recording_does_not_jump_when_the_clock_is_set(
    full: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = Clock(full, time.time())
    before = begun.moment()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert 0 <= begun.moment() - before < 60 * 10**9


def test_logs_come_as_they_are_due_with_their_times_moved(full: Recording) -> None:
    moved = Clock(full, full.begin / 1e9 + 3600)
    surface = NodeSurface("wk-node1", full, moved)
    assert len(surface.log_until("app", at(20)) or []) == 1
    lines = surface.log_until("app", at(27)) or []
    assert len(lines) == 2
    assert lines[1].startswith(b"2026-11-01 11:00:26.500\tWARN")
    assert len(surface.log_until("app", at(40)) or []) == 5
    assert surface.log_until("debug", at(40)) is None


def test_resources_survive_the_death_of_their_process(full: Recording) -> None:
    surface = NodeSurface("wk-node3", full, clock(full))
    control = ControlSurface([surface], full, clock(full))
    row = json.loads(control.answer("/_replay/wk-node3/resource", "", at(29)).body)
    assert (row["state"], row["exit_code"], row["pids"]) == ("exited", 137, None)
    assert "sample_time" not in row
    assert control.answer("/_replay/wk-node9/resource", "", at(29)).code == 404
    for path in ("bundle/../manifest.json", "bundle/status.jsonl", "bundle/%2e%2e/x"):
        assert control.answer(f"/_replay/wk-node3/{path}", "", at(29)).code == 404


def test_a_slot_that_the_recording_missed_is_no_standstill(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "full", tmp_path, dirs_exist_ok=True)
    file = tmp_path / "resources.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    mine = [row for row in rows if row["name"] == "wk-node1"]
    rows.remove(mine[23])
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recording = Recording(tmp_path)
    surface = NodeSurface("wk-node1", recording, clock(recording))
    # Recorded at .05 of each second; a caller that comes then, a little early or late.
    due = [21.05, 22.049, 23.051, 24.048, 25.052, 26.05]
    seen = [json.loads(surface.harness("resource", at(s)).body)["cpu_seconds"] for s in due]
    steps = [b - a for a, b in itertools.pairwise(seen)]
    assert steps == pytest.approx([0.25] * 5, abs=0.01)


def test_a_starved_simulator_fails_as_many_requests_as_it_did(tmp_path: Path) -> None:
    """Seen on s20261124-19: replayed, every second answer more was lost than in the recording."""
    took = {0: 5.0, 1: None, 4: 900.0, 5: None, 8: 5.0}  # seconds: milliseconds, None: no answer
    rows = [
        {
            "sample_time": f"2026-11-01T10:00:{s:02d}Z",
            "took_ms": ms or 2001.0,
            **({"status": {"state": "running", "messages_sent": s}} if ms else {}),
            **({} if ms else {"error": "no answer within 2.0 s"}),
        }
        for s, ms in took.items()
    ]
    (tmp_path / "status.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    recording = Recording(tmp_path)
    surface = SimSurface("wk-sim", recording, clock(recording))
    asked = {s: surface.answer("/status", "", at(s)) for s in (0.5, 1.2, 2.4, 2.6, 4.9, 6.4, 6.6)}
    said = {s: (a.state, a.delay_s) for s, a in asked.items()}
    assert said == {
        0.5: (failures.UP, 0.0),
        1.2: (failures.HANG, 0.0),
        2.4: (failures.HANG, 0.0),
        2.6: (failures.UP, 0.9),
        4.9: (failures.UP, 0.9),
        6.4: (failures.HANG, 0.0),
        6.6: (failures.UP, 0.0),
    }
    # What hung is not answered late, because another request is.
    assert surface.mute(at(2.4), at(2.6))


def test_docker_stats_become_cumulative_seconds(plain: Recording) -> None:
    surface = NodeSurface("wk-node2", plain, clock(plain))
    row = json.loads(surface.harness("resource", at(20.6)).body)
    assert row["cpu_seconds"] == pytest.approx(0.25 * 20.1)
    assert row["memory_bytes"] == 10 * 2**20
    assert json.loads(surface.harness("resource", at(33)).body)["cpu_seconds"] == pytest.approx(6.0)
    assert "state" not in row


def test_docker_stats_show_who_was_never_there(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "plain", tmp_path, dirs_exist_ok=True)
    lines = (tmp_path / "docker-stats.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "docker-stats.jsonl").write_text("".join(x for x in lines if "node3" not in x))
    recording = Recording(tmp_path)
    surface = NodeSurface("wk-node3", recording, clock(recording))
    assert json.loads(surface.harness("resource", at(10)).body)["state"] == "missing"
    assert surface.harness("resource", at(0)).code == 501


def test_a_path_of_its_own_that_failed_fails_again_beside_a_healthy_node(tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "window.json").write_text(
        json.dumps({"start": "2026-11-01T10:00:02Z", "end": "2026-11-01T10:00:08Z"})
    )
    (tmp_path / "metrics" / "node1.prom.err").write_text("timed out\n")
    (tmp_path / "status.jsonl").write_text(
        json.dumps({"sample_time": "2026-11-01T10:00:00Z", "status": {"state": "running"}}) + "\n"
    )
    start = datetime(2026, 11, 1, 10, tzinfo=UTC)
    rows = [
        {
            "sample_time": (start + timedelta(seconds=s)).isoformat().replace("+00:00", "Z"),
            "node": "wk-node1",
            "probe": "healthz",
            "ok": True,
            "http_status": 200,
        }
        for s in range(10)
    ]
    (tmp_path / "health.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    recording = Recording(tmp_path)
    surface = NodeSurface("wk-node1", recording, clock(recording))
    assert surface.answer("/healthz", "", at(8.5)).state == failures.UP
    assert surface.answer("/metrics", "", at(8.5)).state == failures.HANG


@pytest.mark.parametrize(("error", "code"), [("HTTP 503", 503), ("HTTP 501 not recorded", 501)])
def test_a_status_comes_back_as_that_status(error: str, code: int) -> None:
    assert failure(error).code == code

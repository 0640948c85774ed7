"""The stand-ins' program: times, what is recorded, and how a recorded failure is read."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import shutil
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wktriage.replay import server

FIXTURES = Path(__file__).parents[1] / "fixtures" / "replay"


@pytest.fixture(scope="module")
def full() -> server.Recording:
    return server.Recording(FIXTURES / "full")


@pytest.fixture(scope="module")
def plain() -> server.Recording:
    return server.Recording(FIXTURES / "plain")


def at(second: float) -> int:
    return server.parse_time("2026-11-01T10:00:00Z") + int(second * 1e9)


def clock(recording: server.Recording) -> server.Clock:
    """Return a clock that does not shift, so that answers show recorded times."""
    return server.Clock(recording, recording.begin / 1e9)


# ---------------------------------------------------------------------------------------- times


@given(st.integers(10**9, 3 * 10**9), st.integers(3, 9), st.integers(-(10**10), 10**10))
def test_shifting_there_and_back_gives_the_same_text(
    second: int, digits: int, shift_ms: int
) -> None:
    text = server.format_time(second * 10**9 + 123_456_789, digits) + "Z"
    moved = server.shift_time(text, shift_ms)
    assert server.shift_time(moved, -shift_ms) == text
    assert server.parse_time(moved) - server.parse_time(text) == shift_ms * 10**6


@pytest.mark.parametrize(
    ("line", "moved"),
    [
        (
            b"2026-11-01 10:00:00.500\tINFO\t[m]\tf.go:1\tx {}\n",
            b"2026-11-01 11:00:00.500\tINFO\t[m]\tf.go:1\tx {}\n",
        ),
        (
            b'{"level":"WARN","time":"2026-11-01 10:00:00.500","msg":"2026-11-01 10:00:00.500"}\n',
            b'{"level":"WARN","time":"2026-11-01 11:00:00.500","msg":"2026-11-01 10:00:00.500"}\n',
        ),
        (b"2026/11/01 10:00:00 internal/app: x\n", b"2026/11/01 11:00:00 internal/app: x\n"),
        (
            b"2026-11-01T10:00:00.600000001Z 2026-11-01 10:00:00.500\tINFO\tx\n",
            b"2026-11-01T11:00:00.600000001Z 2026-11-01 11:00:00.500\tINFO\tx\n",
        ),
        (b"WuKongIM 2026-11-01 10:00:00.500\n", b"WuKongIM 2026-11-01 10:00:00.500\n"),
        (b"2026-99-01 10:00:00.500\tx\xff\n", b"2026-99-01 10:00:00.500\tx\xff\n"),
    ],
)
def test_log_lines_move_their_own_time_and_nothing_else(line: bytes, moved: bytes) -> None:
    assert server.shift_log_line(line, 3_600_000) == moved


@given(st.binary(max_size=300))
def test_no_line_breaks_the_shift(line: bytes) -> None:
    assert isinstance(server.shift_log_line(line, 1000), bytes)


def test_metrics_move_moments_only_and_exactly() -> None:
    text = (
        b"process_start_time_seconds 1.79350033662e+09\n"
        b"go_memstats_last_gc_time_seconds 1.795500459662907e+09\n"
        b'wukongim_x_total{a="1.795500459662907e+09"} 1.795500459e+09\n'
        b"go_memstats_last_gc_time_seconds 0\n"
    )
    moved = server.shift_metrics(text, 1500)
    assert moved.splitlines() == [
        b"process_start_time_seconds 1.79350033812e+09",
        b"go_memstats_last_gc_time_seconds 1.795500461162907e+09",
        b'wukongim_x_total{a="1.795500459662907e+09"} 1.795500459e+09',
        b"go_memstats_last_gc_time_seconds 0",
    ]
    assert server.shift_metrics(moved, -1500) == text


# ------------------------------------------------------------------------------------ recording


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("timed out", server.HANG),
        ("no answer within 2.0 s", server.HANG),
        ("[Errno 113] No route to host", server.REFUSED),
        ("context deadline exceeded", server.HANG),
        ("<urlopen error [Errno 111] Connection refused>", server.REFUSED),
        ("[Errno 104] Connection reset by peer", server.RESET),
        ("Remote end closed connection without response", server.CLOSED),
        ("something else", server.UNKNOWN),
        (None, server.UNKNOWN),
    ],
)
def test_errors_are_read_as_what_the_caller_saw(text: str | None, state: str) -> None:
    assert server.classify_error(text) == state


def test_replay_begins_shortly_before_running(full: server.Recording) -> None:
    assert full.begin == at(20.02) - int(server.LEAD_S * 1e9)
    assert full.window == (at(22.02), at(30.02))


@pytest.mark.parametrize(
    ("node", "second", "state"),
    [
        ("wk-node1", 29, server.UP),
        ("wk-node2", 25.9, server.UP),
        ("wk-node2", 26.1, server.HANG),
        ("wk-node3", 27.9, server.UP),
        ("wk-node3", 28.1, server.REFUSED),
    ],
)
def test_full_bundle_says_how_a_node_answered(
    full: server.Recording, node: str, second: float, state: str
) -> None:
    surface = server.NodeSurface(node, full, clock(full))
    assert surface.reachable(at(second)) == state


def test_plain_bundle_knows_a_freeze_from_docker_stats(plain: server.Recording) -> None:
    surface = server.NodeSurface("wk-node2", plain, clock(plain))
    assert surface.reachable(at(24)) == server.UP
    assert surface.reachable(at(26.6)) == server.HANG


def test_metrics_are_the_newest_scrape_and_never_between_two(full: server.Recording) -> None:
    surface = server.NodeSurface("wk-node1", full, clock(full))
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
    recording = server.Recording(tmp_path)
    surface = server.NodeSurface("wk-node1", recording, clock(recording))
    assert recording.window == (at(2), at(62))
    # What answered its scrapes was alive then; in between nobody looked.
    assert [surface.answer("/healthz", "", at(s)).code for s in (3, 30, 63)] == [200, 501, 200]


def test_unrecorded_is_said_and_not_invented(plain: server.Recording) -> None:
    surface = server.NodeSurface("wk-node1", plain, clock(plain))
    for path in ("/debug/cluster", "/debug/goroutines/summary", "/debug/pprof/profile"):
        answer = surface.answer(path, "seconds=5", at(23))
        assert (answer.code, answer.body) == (501, b"not recorded\n")
    assert surface.answer("/manager/nodes", "", at(23)).code == 404
    assert surface.harness("host", at(23)).code == 501
    assert surface.harness("events", at(23)).code == 501


def test_logs_come_as_they_are_due_with_their_times_moved(full: server.Recording) -> None:
    moved = server.Clock(full, full.begin / 1e9 + 3600)
    surface = server.NodeSurface("wk-node1", full, moved)
    assert len(surface.log_until("app", at(20)) or []) == 1
    lines = surface.log_until("app", at(27)) or []
    assert len(lines) == 2
    assert lines[1].startswith(b"2026-11-01 11:00:26.500\tWARN")
    assert len(surface.log_until("app", at(40)) or []) == 5
    assert surface.log_until("debug", at(40)) is None


def test_resources_survive_the_death_of_their_process(full: server.Recording) -> None:
    surface = server.NodeSurface("wk-node3", full, clock(full))
    control = server.ControlSurface([surface], full, clock(full))
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
    recording = server.Recording(tmp_path)
    surface = server.NodeSurface("wk-node1", recording, clock(recording))
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
    recording = server.Recording(tmp_path)
    surface = server.SimSurface("wk-sim", recording, clock(recording))
    asked = {s: surface.answer("/status", "", at(s)) for s in (0.5, 1.2, 2.4, 2.6, 4.9, 6.4, 6.6)}
    said = {s: (a.state, a.delay_s) for s, a in asked.items()}
    assert said == {
        0.5: (server.UP, 0.0),
        1.2: (server.HANG, 0.0),
        2.4: (server.HANG, 0.0),
        2.6: (server.UP, 0.9),
        4.9: (server.UP, 0.9),
        6.4: (server.HANG, 0.0),
        6.6: (server.UP, 0.0),
    }
    # What hung is not answered late, because another request is.
    assert surface.mute(at(2.4), at(2.6))


def test_docker_stats_become_cumulative_seconds(plain: server.Recording) -> None:
    surface = server.NodeSurface("wk-node2", plain, clock(plain))
    row = json.loads(surface.harness("resource", at(20.6)).body)
    assert row["cpu_seconds"] == pytest.approx(0.25 * 20.1)
    assert row["memory_bytes"] == 10 * 2**20
    assert json.loads(surface.harness("resource", at(33)).body)["cpu_seconds"] == pytest.approx(6.0)
    assert "state" not in row


def test_docker_stats_show_who_was_never_there(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "plain", tmp_path, dirs_exist_ok=True)
    lines = (tmp_path / "docker-stats.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "docker-stats.jsonl").write_text("".join(x for x in lines if "node3" not in x))
    recording = server.Recording(tmp_path)
    surface = server.NodeSurface("wk-node3", recording, clock(recording))
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
    recording = server.Recording(tmp_path)
    surface = server.NodeSurface("wk-node1", recording, clock(recording))
    assert surface.answer("/healthz", "", at(8.5)).state == server.UP
    assert surface.answer("/metrics", "", at(8.5)).state == server.HANG


@pytest.mark.parametrize(("error", "code"), [("HTTP 503", 503), ("HTTP 501 not recorded", 501)])
def test_a_status_comes_back_as_that_status(error: str, code: int) -> None:
    assert server._failed(error).code == code


def test_torn_and_foreign_rows_are_skipped(tmp_path: Path) -> None:
    good = json.dumps({"sample_time": "2026-11-01T10:00:00Z", "status": {"state": "waiting"}})
    (tmp_path / "status.jsonl").write_bytes(b'[1]\n\xff\xfe\n{"sample_time": 7}\n' + good.encode())
    assert len(server.Recording(tmp_path).status.events) == 1
    (tmp_path / "status.jsonl").write_text("nothing\n")
    with pytest.raises(server.ReplayError, match=r"no readable status\.jsonl"):
        server.Recording(tmp_path)


# --------------------------------------------------------------------------------------- archive


def _archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:xz") as tar:
        for member, data in members:
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", ["/etc/x", "a/../../x", ".."])
def test_archives_cannot_climb_out(tmp_path: Path, name: str) -> None:
    archive = _archive(tmp_path / "a.tar.xz", (tarfile.TarInfo(name), b"x"))
    with pytest.raises(server.ReplayError, match="unsafe name"):
        server.unpack(archive, tmp_path / "out")


def test_archives_hold_plain_files_only(tmp_path: Path) -> None:
    link = tarfile.TarInfo("a/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(server.ReplayError, match="not a plain file"):
        server.unpack(_archive(tmp_path / "a.tar.xz", (link, b"")), tmp_path / "out")


def test_damaged_archive_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "a.tar.xz").write_bytes(b"not xz at all")
    with pytest.raises(server.ReplayError, match="cannot unpack"):
        server.unpack(tmp_path / "a.tar.xz", tmp_path / "out")


def test_only_a_directory_of_ours_is_replaced_or_removed(tmp_path: Path) -> None:
    place = tmp_path / "replay"
    assert server.main(["create", "--dir", str(place)]) == 0
    assert (place / "server.py").read_bytes() == Path(server.__file__).read_bytes()
    (place / "left-over").touch()
    assert server.main(["create", "--dir", str(place)]) == 0
    assert not (place / "left-over").exists()
    assert server.main(["remove", "--dir", str(place)]) == 0
    assert not place.exists()
    assert server.main(["remove", "--dir", str(place)]) == 0


@pytest.mark.parametrize("kind", ["no marker", "linked marker", "link"])
def test_a_foreign_directory_is_left_alone(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "mine.txt").touch()
    place = foreign
    if kind == "linked marker":
        (tmp_path / "marker").touch()
        (foreign / server.MARKER).symlink_to(tmp_path / "marker")
    elif kind == "link":
        (foreign / server.MARKER).touch()
        place = tmp_path / "link"
        place.symlink_to(foreign)
    for command in ("create", "remove"):
        assert server.main([command, "--dir", str(place)]) == 2
        assert "lacks the marker" in capsys.readouterr().err
    assert (foreign / "mine.txt").exists()

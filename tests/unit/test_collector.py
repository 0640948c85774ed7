"""The on-host collector: phases, window, cadence, what a hanging or hostile target costs."""

from __future__ import annotations

import ast
import gzip
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.standin import Simulator, StandIn, node_answers, serving

from wktriage.core import schemas

FILE = Path(__file__).parents[2] / "roles" / "evidence" / "files" / "collector.py"


def load() -> Any:
    spec = importlib.util.spec_from_file_location("collector_under_test", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["collector_under_test"] = module
    spec.loader.exec_module(module)
    return module


collector = load()


def until(condition: Callable[[], Any], seconds: float = 15) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("the condition did not come about")


class Stack:
    """Three nodes and a simulator, all stand-ins, and the spec that watches them."""

    def __init__(self, tmp: Path, exits: ExitStack) -> None:
        self.tmp = tmp
        self.sim = Simulator()
        self.nodes: list[StandIn] = [exits.enter_context(serving(node_answers())) for _ in range(3)]
        self.front = exits.enter_context(serving({"/status": self.sim}))
        self.spec: dict[str, Any] = {
            "schema_version": 1, "run_id": "20260101T000000Z-custom-abcd", "lead": True,
            "out_dir": str(tmp / "out"), "host": "here", "project": "p",
            "stack_started_at": "2026-01-01T00:00:00.000Z",
            "status_url": self.front.url + "/status", "window": {"seconds": 1.0},
            "interval": 0.1, "series_interval": 1, "ready_timeout": 8, "settle": 8,
            "profile_seconds": 1, "docker_socket": str(tmp / "absent.sock"),
            "nodes": [
                {"name": f"wk-node{n}", "id": n, "host": "here", "api_url": node.url,
                 "handle": {"kind": "process", "pid": os.getpid()}, "data_dir": None,
                 "log_dir": None, "verbs": {}}
                for n, node in enumerate(self.nodes, 1)
            ],
            "sim": {"name": "wk-sim", "host": "here", "status_url": self.front.url + "/status",
                    "handle": {"kind": "process", "pid": os.getpid()}, "log_dir": None,
                    "verbs": {}},
        }  # fmt: skip
        self.evidence = tmp / "out" / "evidence"
        self.thread: threading.Thread | None = None
        self.collector: Any = None

    def start(self) -> Any:
        schemas.validate("collector_spec", self.spec)
        self.evidence.mkdir(parents=True)
        self.collector = collector.Collector(self.spec)
        self.thread = threading.Thread(target=self.collector.run, daemon=True)
        self.thread.start()
        return self.collector

    def phase(self) -> str:
        return str(self.collector.window.phase)

    def finish(self, seconds: float = 25) -> dict[str, Any]:
        assert self.thread is not None
        self.thread.join(seconds)
        assert not self.thread.is_alive(), f"still in phase {self.phase()}"
        document: dict[str, Any] = json.loads((self.evidence / "window.json").read_text())
        schemas.validate("window", document)
        return document

    def rows(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.evidence / name).read_text().splitlines()]

    def statuses(self) -> dict[str, str]:
        document = json.loads((self.tmp / "out" / "collectors.json").read_text())
        schemas.validate("collectors", document)
        return {c["name"]: c["status"] for c in document["collectors"]}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with ExitStack() as exits:
        made = Stack(tmp_path, exits)
        yield made
        if made.collector is not None:
            made.collector.stop("test is over")
            made.collector.sampling_over.set()


def seconds_between(document: dict[str, Any]) -> float:
    return float(collector.parse_iso(document["end"]) - collector.parse_iso(document["start"]))


def test_window_starts_when_counters_move_and_has_the_asked_length(stack: Stack) -> None:
    stack.start()
    until(lambda: stack.front.seen)
    until(lambda: len(stack.rows("status.jsonl")) > 3)
    stack.sim.run()
    window = stack.finish()
    assert window["valid"] is True
    assert window["reason"] is None
    assert seconds_between(window) == pytest.approx(1.0, abs=0.002)
    assert window["counters_moved_at"] is not None
    assert window["sim_run_id"] == "r1"
    assert window["running_since"] == "2026-11-24T10:00:00.123Z"
    first_moved = next(r for r in stack.rows("status.jsonl") if r["status"]["messages_sent"] > 0)
    assert window["start"] == first_moved["due"]
    names = [p["name"] for p in window["phases"]]
    assert names == [
        "starting", "waiting", "before-scrape", "window", "after-scrape", "profile", "heap",
        "logs", "done",
    ]  # fmt: skip
    assert window["profile"]["fenced"] is True


def test_evidence_files_and_rows_fit_their_schemas(stack: Stack) -> None:
    stack.spec["window"] = {"seconds": 4}
    stack.sim.run()
    stack.start()
    stack.finish()
    for name in ("status.jsonl", "health.jsonl", "cluster.jsonl", "resources.jsonl", "host.jsonl"):
        assert schemas.check_rows(stack.evidence / name, schemas.ROW_SCHEMAS[name]) is None, name
    for number in (1, 2, 3):
        for name in (
            f"metrics/node{number}.prom",
            f"metrics/node{number}-before.prom",
            f"pprof/node{number}-cpu.pb.gz",
            f"pprof/node{number}-heap.pb.gz",
            f"pprof/node{number}-goroutine.txt",
        ):
            assert (stack.evidence / name).stat().st_size > 0, name
    packed = sorted(stack.evidence.glob("metrics/series/node1/*.prom.gz"))
    assert packed
    assert gzip.decompress(packed[0].read_bytes()).startswith(b"# HELP")
    statuses = stack.statuses()
    assert statuses["status"] == "ok"
    assert statuses["metrics"] == "ok"
    assert statuses["docker-stats"] == "not_applicable"


def test_status_samples_keep_their_cadence(stack: Stack) -> None:
    stack.sim.run()
    stack.start()
    cadence = stack.finish()["cadence"]
    assert cadence["due"] == 10
    assert cadence["taken"] + cadence["missed"] == 10
    assert cadence["taken"] >= 9
    assert cadence["jitter_ms"]["p99"] < 100
    seqs = [r["seq"] for r in stack.rows("status.jsonl")]
    assert seqs == sorted(set(seqs))


def test_hanging_node_costs_only_its_own_samples(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HEALTHZ_TIMEOUT", "METRICS_TIMEOUT", "PPROF_TIMEOUT", "SILENT_NODE_TIMEOUT"):
        monkeypatch.setattr(collector, name, 0.3)
    stack.nodes[1].hung.set()
    stack.sim.run()
    stack.start()
    window = stack.finish()
    assert window["valid"] is True
    assert window["cadence"]["taken"] >= 9
    assert (stack.evidence / "metrics/node1.prom").exists()
    assert (stack.evidence / "pprof/node3-cpu.pb.gz").exists()
    for name in ("metrics/node2.prom", "pprof/node2-cpu.pb.gz", "pprof/node2-heap.pb.gz"):
        assert not (stack.evidence / name).exists()
        assert (stack.evidence / f"{name}.err").read_text() == "no answer within 0.3 s\n"
    health = [r for r in stack.rows("health.jsonl") if r["probe"] == "healthz"]
    silent = [r for r in health if r["node"] == "wk-node2"]
    assert silent
    assert not any(r["ok"] for r in silent)
    assert all(r["ok"] for r in health if r["node"] != "wk-node2")
    assert stack.statuses()["metrics"] == "partial"


def test_load_that_never_runs_leaves_what_answers(stack: Stack) -> None:
    stack.spec["ready_timeout"] = 0.5
    stack.sim.status.update(state="waiting", last_error="dial tcp: connection refused")
    stack.start()
    window = stack.finish()
    assert window["valid"] is False
    assert "not running" in window["reason"]
    assert "state waiting" in window["reason"]
    assert "connection refused" in window["reason"]
    assert window["start"] is None
    assert window["profile"]["fenced"] is False
    assert "not running" in window["profile"]["fence_reason"]
    assert (stack.evidence / "metrics/node1.prom").exists()
    assert (stack.evidence / "pprof/node1-goroutine.txt").exists()


def test_restarted_simulator_makes_the_window_invalid_but_not_shorter(stack: Stack) -> None:
    stack.sim.run()
    stack.start()
    until(lambda: stack.phase() == "window")
    stack.sim.status.update(run_id="r2")
    window = stack.finish()
    assert window["valid"] is False
    assert "restarted" in window["reason"]
    assert "run id" in window["reason"]
    assert seconds_between(window) == pytest.approx(1.0, abs=0.002)


def test_fallen_counter_is_a_restart(stack: Stack) -> None:
    stack.sim.run()
    stack.start()
    until(lambda: stack.phase() == "window")
    stack.sim.stall()
    stack.sim.status.update(messages_sent=0)
    window = stack.finish()
    assert window["valid"] is False
    assert "counters fell" in window["reason"]


def test_load_that_runs_but_moves_nothing_is_measured(stack: Stack) -> None:
    stack.spec["settle"] = 0.4
    stack.sim.status.update(state="running")
    stack.start()
    window = stack.finish()
    assert window["valid"] is True
    assert "no counter moved" in window["reason"]
    assert window["counters_moved_at"] is None
    assert seconds_between(window) == pytest.approx(1.0, abs=0.002)


def test_failing_sends_open_the_window_too(stack: Stack) -> None:
    stack.sim.status.update(state="running")
    stack.start()
    until(lambda: stack.collector.base)
    stack.sim.status.update(send_errors=3)
    window = stack.finish()
    assert window["valid"] is True
    assert window["counters_moved_at"] is not None


def test_silent_simulator_makes_the_window_invalid(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "STATUS_TIMEOUT", 0.1)
    stack.sim.run()
    stack.start()
    until(lambda: stack.phase() == "window")
    stack.front.hung.set()
    window = stack.finish()
    assert window["valid"] is False
    assert "did not answer" in window["reason"]
    assert any("error" in r for r in stack.rows("status.jsonl"))


def test_stopping_in_the_window_keeps_what_there_is(stack: Stack) -> None:
    stack.spec["window"] = {"seconds": 60}
    stack.sim.run()
    stack.start()
    until(lambda: stack.phase() == "window" and len(stack.collector.lateness) > 3)
    stack.collector.stop("Ctrl-C")
    window = stack.finish(10)
    assert window["interrupted"] == "Ctrl-C"
    assert window["valid"] is False
    assert "interrupted after" in window["reason"]
    assert (stack.evidence / "metrics/node1.prom").exists()
    assert stack.statuses()["pprof-cpu"] == "skipped"


def test_answers_that_are_no_json_or_huge_are_errors_not_crashes(stack: Stack) -> None:
    answers = iter([b"<html>", b"[]", b"x" * 400_000, b"\xff\xfe", b'{"a":' * 5000])
    good = stack.sim
    stack.front.answers["/status"] = lambda full: next(answers, None) or good(full)
    stack.sim.run()
    stack.start()
    window = stack.finish()
    assert window["valid"] is True
    errors = [r["error"] for r in stack.rows("status.jsonl") if "error" in r]
    assert len(errors) == 5
    assert schemas.check_rows(stack.evidence / "status.jsonl", "status_row") is None


def test_hidden_proc_is_unknown_not_zero(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WKTRIAGE_HIDE_PROC", "1")
    stack.sim.run()
    stack.start()
    assert stack.finish()["valid"] is True
    host = stack.rows("host.jsonl")[-1]
    for key in ("cpu_total_ticks", "cpu_idle_ticks", "mem_total_bytes", "psi_cpu_some_avg10"):
        assert host[key] is None
    resources = stack.rows("resources.jsonl")
    assert {r["cpu_seconds"] for r in resources} == {None}
    assert {r["state"] for r in resources} == {None}
    assert stack.statuses()["resources"] == "failed"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_process_handle_is_read_from_proc(stack: Stack) -> None:
    stack.spec["nodes"][0]["handle"]["pid"] = 2**22 - 3
    stack.sim.run()
    stack.start()
    stack.finish()
    rows = stack.rows("resources.jsonl")
    gone = [r for r in rows if r["name"] == "wk-node1"]
    here = [r for r in rows if r["name"] == "wk-node2"]
    assert {r["state"] for r in gone} == {"exited"}
    assert {r["cpu_seconds"] for r in gone} == {None}
    assert here[-1]["state"] == "running"
    assert here[-1]["cpu_seconds"] > 0
    assert here[-1]["memory_bytes"] > 1 << 20


# --- container engine ------------------------------------------------------------------------


def stats(cpu: int) -> dict[str, Any]:
    return {
        "id": "0123456789abcdef", "name": "/p-wk-node1-1",
        "cpu_stats": {"cpu_usage": {"total_usage": cpu}, "system_cpu_usage": cpu * 8,
                      "online_cpus": 2, "throttling_data": {"periods": 4, "throttled_periods": 1,
                                                           "throttled_time": 500_000_000}},
        "memory_stats": {"usage": 3 << 20, "limit": 1 << 30,
                         "stats": {"total_inactive_file": 1 << 20}},
        "networks": {"eth0": {"rx_bytes": 1234, "tx_bytes": 10}},
        "blkio_stats": {"io_service_bytes_recursive": [{"op": "Read", "value": 7},
                                                       {"op": "Write", "value": 9}]},
        "pids_stats": {"current": 12},
    }  # fmt: skip


def engine_answers(name: str) -> dict[str, Any]:
    ticks = iter(range(1, 1000))
    log = b"2026-01-02T00:00:00.000000000Z hello\n"
    return {
        "/containers/json": [{"Names": ["/" + name], "State": "running"}],
        f"/containers/{name}/json": {
            "State": {"Status": "running", "Running": True, "OOMKilled": False, "ExitCode": 0,
                      "StartedAt": "2026-01-01T00:00:00.123456789Z"},
            "RestartCount": 2, "HostConfig": {"CpuQuota": 50_000, "CpuPeriod": 100_000},
        },
        f"/containers/{name}/stats": lambda _full: stats(next(ticks) * 10**9),
        f"/containers/{name}/logs": b"\x01\0\0\0" + len(log).to_bytes(4, "big") + log,
        "/events": json.dumps(
            {"Action": "pause", "timeNano": 1_767_225_600_500_000_000,
             "Actor": {"Attributes": {"name": name, "image": "i", "label": "no"}}}
        ).encode() + b"\n",
    }  # fmt: skip


def test_containers_are_read_from_the_engine(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "DOCKER_STATS_INTERVAL", 0.3)
    name = "p-wk-node1-1"
    with serving(engine_answers(name), tmp_path / "e.sock"):
        stack.spec["docker_socket"] = str(tmp_path / "e.sock")
        stack.spec["nodes"][0]["handle"] = {"kind": "container", "id": None, "name": name}
        stack.sim.run()
        stack.start()
        assert stack.finish()["valid"] is True
    row = [r for r in stack.rows("resources.jsonl") if r["name"] == "wk-node1"][-1]
    assert row["state"] == "running"
    assert row["cpu_limit_cores"] == 0.5
    assert row["cpu_limited"] is True
    assert row["throttled_seconds"] == 0.5
    assert row["memory_bytes"] == 2 << 20
    assert (row["net_rx_bytes"], row["blk_write_bytes"], row["pids"]) == (1234, 9, 12)
    assert row["started_at"] == "2026-01-01T00:00:00.123Z"
    table = stack.rows("docker-stats.jsonl")
    assert table[0]["CPUPerc"] == "25.00%"
    assert table[0]["MemUsage"] == "2MiB / 1GiB"
    assert table[0]["NetIO"] == "1.23kB / 10B"
    assert table[0]["ID"] == "0123456789ab"
    (event,) = stack.rows("events.jsonl")
    assert event == {
        "time": "2026-01-01T00:00:00.500Z", "name": "wk-node1", "action": "pause",
        "attributes": {"image": "i", "name": name},
    }  # fmt: skip
    log = (stack.evidence / "logs/compose/wk-node1.log").read_text()
    assert log == "2026-01-02T00:00:00.000000000Z hello\n"


def test_without_an_engine_the_run_goes_on(stack: Stack) -> None:
    stack.spec["nodes"][0]["handle"] = {"kind": "container", "id": "x", "name": "x"}
    stack.sim.run()
    stack.start()
    assert stack.finish()["valid"] is True
    rows = [r for r in stack.rows("resources.jsonl") if r["name"] == "wk-node1"]
    assert {r["cpu_seconds"] for r in rows} == {None}
    assert {r["state"] for r in rows} == {None}
    assert (stack.evidence / "logs/compose/wk-node1.log.err").exists()


def test_terminal_logs_are_taken_as_they_are() -> None:
    got: list[bytes] = []
    frames = collector.Demultiplexer(got.append)
    for piece in (b"plain", b" text\n"):
        frames.feed(piece)
    assert b"".join(got) == b"plain text\n"


def test_frames_split_anywhere_are_put_together() -> None:
    frame = b"\x02\0\0\0\0\0\0\x05hello" + b"\x01\0\0\0\0\0\0\x03abc"
    for size in (1, 3, 8, 100):
        got: list[bytes] = []
        frames = collector.Demultiplexer(got.append)
        for at in range(0, len(frame), size):
            frames.feed(frame[at : at + size])
        assert b"".join(got) == b"helloabc"


# --- logs ------------------------------------------------------------------------------------


def sink_text(tmp_path: Path, limit: int, pieces: list[bytes]) -> bytes:
    sink = collector.LogSink(str(tmp_path / "log"), limit)
    for piece in pieces:
        sink.feed(piece)
    sink.close()
    return (tmp_path / "log").read_bytes()


def test_long_log_keeps_head_and_tail(tmp_path: Path) -> None:
    lines = [b"line %04d\n" % n for n in range(1000)]
    text = sink_text(tmp_path, 2000, lines)
    assert text.startswith(b"line 0000\n")
    assert text.endswith(b"line 0999\n")
    assert b"bytes left out by the collector]" in text
    assert len(text) < 2200


def test_endless_line_is_cut(tmp_path: Path) -> None:
    text = sink_text(tmp_path, 1 << 20, [b"a" * 60_000, b"a" * 60_000, b"b\nnext\n"])
    first, second = text.splitlines()
    assert len(first) < collector.MAX_LOG_LINE + 100
    assert b"line cut" in first
    assert second == b"next"


def test_last_line_without_newline_is_kept(tmp_path: Path) -> None:
    assert sink_text(tmp_path, 1000, [b"a\nb"]) == b"a\nb\n"


def test_node_logs_rotated_linked_and_older(stack: Stack, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "app.log").write_text(
        "2026-01-01 00:00:02.000\tWARN\t[x]\tcareful\n2026-01-01 00:00:03.000\tERROR\t[x]\tbad\n"
        '2026-01-01 00:00:04.000\tINFO\t[x]\tfine\t{"error": "none"}\n'
    )
    rotated = logs / "app-2026-01-01T00-00-01.500.log.gz"
    rotated.write_bytes(
        gzip.compress(
            b"2025-12-31 23:59:00.000\tINFO\tearlier run\n  its trace\n"
            b"2026-01-01 00:00:01.000\tINFO\tthis run\n"
        )
    )
    (tmp_path / "secret").write_text("root\n")
    (logs / "error.log").symlink_to(tmp_path / "secret")
    node = stack.spec["nodes"][0]
    node["log_dir"] = str(logs)
    node["handle"] = {"kind": "container", "id": "x", "name": "x"}
    stack.sim.run()
    stack.start()
    stack.finish()
    app = (stack.evidence / "logs/app/wk-node1.log").read_text()
    assert "earlier run" not in app
    assert "its trace" not in app
    assert app.index("this run") < app.index("careful")
    assert (stack.evidence / "logs/error/wk-node1.log").read_text().split("\t")[-1] == "bad\n"
    assert (stack.evidence / "logs/warn/wk-node1.log").read_text().count("\n") == 1
    assert (stack.evidence / "logs/debug/wk-node1.log").read_text() == ""


@pytest.mark.parametrize(
    ("line", "level"),
    [
        (b"2026-01-01 00:00:00.000\tWARN\t[x]\tit", b"warn"),
        (b'{"level":"error","msg":"warn"}', b"error"),
        (b'2026-01-01\tINFO\tok\t{"error": ""}', b"info"),
        (b"panic: boom", b"error"),
        (b"a warning", b"warn"),
        (b"forewarned", b""),
    ],
)
def test_level_of_a_line(line: bytes, level: bytes) -> None:
    assert collector.line_level(line) == level


# --- small parts -----------------------------------------------------------------------------


def test_cadence_skips_late_slots_and_counts_them() -> None:
    over = threading.Event()
    cadence = collector.Cadence(time.monotonic(), 0.05, over)
    taken = []
    for number, due, lateness in cadence.slots():
        taken.append((number, due))
        assert lateness >= 0
        if number == 1:
            time.sleep(0.12)
        if len(taken) == 4:
            over.set()
    assert cadence.missed >= 2
    assert taken[-1][0] == 3 + cadence.missed
    assert taken[-1][1] == pytest.approx(cadence.start + taken[-1][0] * 0.05)


def test_spread_is_by_nearest_rank() -> None:
    assert collector.spread([]) == {"p50": None, "p99": None, "max": None}
    found = collector.spread([n / 1000 for n in range(1, 101)])
    assert found == {"p50": 50.0, "p99": 99.0, "max": 100.0}


def test_connections_are_summed_without_parsing_the_rest() -> None:
    name = b"wukongim_gateway_connections_active"
    body = b"# TYPE x\n" + name + b'{a="1"} 3\nother 9\n' + name + b'{a="2"} 4\n' + name + b" NaN\n"
    assert collector.gateway_connections(body) == 7
    assert collector.gateway_connections(b"x 1\n") is None


def test_slow_drip_is_bounded_by_the_whole_deadline() -> None:
    def drip(_full: str) -> tuple[int, bytes]:
        time.sleep(0.6)
        return 200, b"late"

    with serving({"/x": drip}) as server:
        began = time.monotonic()
        with pytest.raises(collector.Unanswered) as caught:
            collector.Http(server.url).get("/x", 0.2)
        assert caught.value.timeout
        assert time.monotonic() - began < 0.5


def test_one_connection_serves_many_requests_one_each() -> None:
    with serving({"/x": b"1"}) as server:
        client = collector.Http(server.url)
        try:
            client.get("/x", 1.0)
            sock = client._conn.sock
            for _ in range(3):
                assert client.get("/x", 1.0) == (200, b"1", False)
            assert client._conn.sock is sock
            assert len(server.seen) == 4
        finally:
            client.close()


def test_kept_connection_that_the_server_closed_is_opened_again() -> None:
    with serving({"/x": b"1"}) as server:
        client = collector.Http(server.url)
        try:
            assert client.get("/x", 1.0) == (200, b"1", False)
            client._conn.sock.shutdown(2)
            assert client.get("/x", 1.0) == (200, b"1", False)
        finally:
            client.close()


def test_needs_nothing_newer_than_python_3_8() -> None:
    tree = ast.parse(FILE.read_text(), feature_version=(3, 8))
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else alias.name) or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert {name.split(".")[0] for name in imported} <= set(sys.stdlib_module_names)


# --- the detached process --------------------------------------------------------------------


class Detached:
    """The collector as a host runs it."""

    def __init__(self, stack: Stack) -> None:
        self.out = stack.tmp / "out"
        self.spec = stack.tmp / "spec.json"
        self.spec.write_text(json.dumps(stack.spec))

    def __call__(self, *args: str, check: bool = True) -> Any:
        done = subprocess.run(
            [sys.executable, str(FILE), *args], capture_output=True, text=True, timeout=20
        )
        if check:
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)
        return done

    def poll(self, *args: str) -> dict[str, Any]:
        found: dict[str, Any] = self("poll", str(self.out), *args)
        return found


def test_detached_run_from_start_to_pack(stack: Stack) -> None:
    stack.sim.run()
    run = Detached(stack)
    pid = run("start", str(run.spec))["pid"]
    assert os.getsid(pid) != os.getsid(0)
    again = run("start", str(run.spec), check=False)
    assert again.returncode == 2
    assert "stop it first" in again.stderr
    early = run("pack", str(run.out), str(stack.tmp / "early.tar"), check=False)
    assert early.returncode == 3
    state = until(lambda: (s := run.poll())["done"] and s, 20)
    assert state["valid"] is True
    assert state["phase"] == "done"
    assert state["users_connected"] == 4
    assert [n["text"] for n in state["notes"]][-1] == "phase done"
    assert all(n["n"] > 3 for n in run.poll("--since", "3")["notes"])
    packed = run("pack", str(run.out), str(stack.tmp / "e.tar"))
    assert packed["done"] is True
    until(lambda: not run.poll()["alive"])


def test_killed_collector_leaves_a_window_that_says_so(stack: Stack) -> None:
    stack.spec["window"] = {"seconds": 60}
    stack.sim.run()
    run = Detached(stack)
    pid = run("start", str(run.spec))["pid"]
    until(lambda: run.poll()["samples_taken"] > 3)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not run.poll()["alive"])
    assert run.poll()["done"] is False
    run("pack", str(run.out), str(stack.tmp / "e.tar"))
    window = json.loads((stack.evidence / "window.json").read_text())
    schemas.validate("window", window)
    assert window["valid"] is False
    assert window["reason"] == "the collector died in phase window"
    assert window["start"] is not None
    assert len(stack.rows("status.jsonl")) > 3


def test_stop_command_ends_a_detached_run(stack: Stack) -> None:
    stack.spec["window"] = {"seconds": 60}
    run = Detached(stack)
    run("start", str(run.spec))
    run("stop", str(run.out), "--reason", "enough")
    state = until(lambda: (s := run.poll())["done"] and s)
    assert state["interrupted"] == "enough"
    assert state["valid"] is False


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"window": {"seconds": 0}}, "greater than zero"),
        ({"schema_version": 9}, "schema version"),
        ({"host": ...}, "lacks host"),
    ],
)
def test_wrong_spec_is_one_clear_error(stack: Stack, change: dict[str, Any], said: str) -> None:
    stack.spec.update(change)
    stack.spec = {k: v for k, v in stack.spec.items() if v is not ...}
    run = Detached(stack)
    done = run("start", str(run.spec), check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr

"""A recording served by real processes: how each failure feels, and what the collector gets."""

from __future__ import annotations

import gzip
import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import RemoteDisconnected
from pathlib import Path
from typing import Any

import pytest

from wkreplay.failures import RESET, classify_error
from wkreplay.recording import Recording
from wkreplay.times import parse_time, shift_metrics, shift_time
from wktriage.core import zipapps
from wktriage.run.lock import process_start

ROOT = Path(__file__).parents[2]
FULL = ROOT / "tests" / "fixtures" / "replay" / "full"
PROGRAM = zipapps.build("wkreplay")
NAMES = ("wk-node1", "wk-node2", "wk-node3", "wk-sim")


@dataclass
class Replay:
    """A running replay: ports by name ("control" too) and the shift of its clock."""

    ports: dict[str, int]
    shift_ms: int
    pidfile: Path

    def get(self, name: str, path: str, timeout: float = 1.0) -> tuple[int, bytes, Any]:
        """Return (status, body, headers)."""
        url = f"http://127.0.0.1:{self.ports[name]}{path}"
        try:
            with urllib.request.urlopen(url, timeout=timeout) as answer:
                return answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(), error.headers

    def wait_until(self, second: float) -> None:
        """Wait until the recording's clock (seconds since its stack start) is there."""
        due = parse_time("2026-11-01T10:00:00Z") / 1e9 + self.shift_ms / 1e3 + second
        while (left := due - time.time()) > 0:
            time.sleep(left)


def _command(*args: str) -> str:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *args], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


Starter = Callable[..., Replay]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Start a replay of a bundle whose clock begins at a second of the recording."""
    with ExitStack() as stack:

        def begin(bundle: Path = FULL, at: float | None = None) -> Replay:
            pidfile = tmp_path / "replay.pid"
            now = time.time()
            if at is not None:
                begins = Recording(bundle).begin
                now -= at - (begins - parse_time("2026-11-01T10:00:00Z")) / 1e9
            listen = [f"--listen={name}=127.0.0.1:0" for name in NAMES]
            _command(
                "serve", "--daemon", "--pidfile", str(pidfile), "--bundle", str(bundle),
                "--incident", "made-up", "--start-at", repr(now), *listen,
                "--control=127.0.0.1:0",
            )  # fmt: skip
            stack.callback(_command, "stop", "--pidfile", str(pidfile))
            said = json.loads(pidfile.read_text())
            return Replay(said["ports"], said["shift_ms"], pidfile)

        yield begin


def _until(check: Callable[[], bool], seconds: float = 3.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def test_failures_feel_as_they_did(start: Starter) -> None:
    replay = start(at=24.5)
    assert replay.get("wk-node2", "/healthz")[0] == 200
    replay.wait_until(25.1)
    with pytest.raises((ConnectionResetError, RemoteDisconnected, urllib.error.URLError)) as reset:
        replay.get("wk-sim", "/status")
    assert classify_error(str(reset.value)) == RESET
    replay.wait_until(26.2)
    assert replay.get("wk-sim", "/status")[0] == 200
    # Paused: the connection is taken, and nothing comes.
    with pytest.raises(TimeoutError):
        replay.get("wk-node2", "/healthz", timeout=0.5)
    with pytest.raises(TimeoutError):
        replay.get("wk-node2", "/metrics", timeout=0.5)
    replay.wait_until(28.2)
    # Killed: the port is closed, and still ours.
    with pytest.raises(urllib.error.URLError, match="refused"):
        replay.get("wk-node3", "/healthz")
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", replay.ports["wk-node3"]))
    # What engine and files know is there all the same.
    code, body, _ = replay.get("control", "/_replay/wk-node3/resource")
    assert (code, json.loads(body)["state"]) == (200, "exited")
    code, body, _ = replay.get("control", "/_replay/wk-node2/logs/app")
    assert (code, body.count(b"\n")) == (200, 1)


def test_after_the_end_the_last_state_is_served_and_said(start: Starter) -> None:
    replay = start(at=29.0)
    _code, _body, headers = replay.get("wk-sim", "/status")
    assert headers["X-Replay-Of"] == "made-up"
    assert headers["X-Replay"] is None
    replay.wait_until(30.2)
    code, body, headers = replay.get("wk-sim", "/status")
    assert headers["X-Replay"] == "recording ended"
    assert (code, json.loads(body)["messages_sent"]) == (200, 70)


def test_a_frozen_node_answers_once_it_is_free(start: Starter, tmp_path: Path) -> None:
    bundle = tmp_path / "thawed"
    bundle.mkdir()
    for name in ("status.jsonl", "window.json", "topology.json", "manifest.json"):
        (bundle / name).write_bytes((FULL / name).read_bytes())
    rows = [json.loads(line) for line in (FULL / "health.jsonl").read_text().splitlines()]
    for row in rows:
        if row["node"] == "wk-node2" and row["sample_time"] >= "2026-11-01T10:00:27":
            row.update(ok=True, error=None, http_status=200, took_ms=1.0, body="{}")
    (bundle / "health.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    replay = start(bundle, at=26.1)
    began = time.monotonic()
    assert replay.get("wk-node2", "/healthz", timeout=5)[0] == 200
    assert time.monotonic() - began > 0.3


def test_taken_port_and_second_start_are_refused(start: Starter) -> None:
    replay = start(at=20)
    again = [
        sys.executable, str(PROGRAM), "serve", "--bundle", str(FULL), "--incident", "made-up",
    ]  # fmt: skip
    taken = f"--listen=wk-sim=127.0.0.1:{replay.ports['wk-sim']}"
    done = subprocess.run([*again, taken], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert "cannot listen on 127.0.0.1" in done.stderr
    second = [*again, "--listen=wk-sim=127.0.0.1:0", "--pidfile", str(replay.pidfile)]
    done = subprocess.run(second, capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert "running already" in done.stderr
    stranger = [*again, "--listen=wk-node7=127.0.0.1:0"]
    done = subprocess.run(stranger, capture_output=True, text=True, timeout=20)
    assert "not recorded: wk-node7" in done.stderr


def test_a_held_port_is_nobody_elses_and_mute_until_it_begins(
    start: Starter, tmp_path: Path
) -> None:
    """Two replays of one second: neither listens yet when the other looks for its ports."""
    serve = ["serve", "--daemon", "--hold", "--any-port", "--bundle", str(FULL), "--incident", "x"]
    first, second = tmp_path / "first.pid", tmp_path / "second.pid"
    listen = ["--listen=wk-sim=127.0.0.1:0", "--control=127.0.0.1:0"]
    held = json.loads(_command(*serve, "--pidfile", str(first), *listen))["ports"]
    try:
        wanted = [f"--listen=wk-sim=127.0.0.1:{held['wk-sim']}"]
        other = json.loads(_command(*serve, "--pidfile", str(second), *wanted))["ports"]
        assert other["wk-sim"] not in held.values()
        status = f"http://127.0.0.1:{held['wk-sim']}/status"
        with pytest.raises(urllib.error.URLError, match="refused"):
            urllib.request.urlopen(status, timeout=1)
        _command("begin", "--pidfile", str(first), "--start-at", repr(time.time()))
        with urllib.request.urlopen(status, timeout=5) as answer:
            assert answer.status == 200
    finally:
        for pidfile in (first, second):
            assert _command("stop", "--pidfile", str(pidfile)) == "stopped\n"
    late = [sys.executable, str(PROGRAM), "begin", "--pidfile", str(first), "--start-at", "1.0"]
    done = subprocess.run(late, capture_output=True, text=True, timeout=20)
    assert (done.returncode, "no replay is held" in done.stderr) == (2, True)


def test_stop_stops_its_own_process_only(start: Starter, tmp_path: Path) -> None:
    replay = start(at=20)
    assert _command("stop", "--pidfile", str(replay.pidfile)) == "stopped\n"
    assert not replay.pidfile.exists()
    with pytest.raises(urllib.error.URLError, match="refused"):
        replay.get("wk-sim", "/status")
    assert _command("stop", "--pidfile", str(replay.pidfile)) == "not running\n"
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        foreign = tmp_path / "foreign.pid"
        foreign.write_text(json.dumps({"pid": sleeper.pid}))
        assert _command("stop", "--pidfile", str(foreign)) == "not running\n"
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


def test_container_form_writes_logs_where_the_process_would(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [
            sys.executable, str(PROGRAM), "serve", "--bundle", str(FULL), "--incident", "made-up",
            "--listen=wk-node1=127.0.0.1:0", "--log-dir", str(tmp_path / "logs"),
            "--log-stdout", "--start-at", repr(time.time() - 12),
        ],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        app = tmp_path / "logs" / "app.log"
        _until(lambda: app.exists() and b"gateway send failed" in app.read_bytes(), 10)
    finally:
        process.terminate()
        out, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert b"Starting WuKongIM" in out


# ------------------------------------------------------------------ recorded against replayed


@pytest.fixture
def replayed(start: Starter, tmp_path: Path) -> tuple[Replay, Path]:
    """Collect the replay of the fixture with the real collector; return where its files lie."""
    replay = start(at=18.0)

    def handle(name: str) -> dict[str, str]:
        base = f"http://127.0.0.1:{replay.ports['control']}/_replay/{name}/"
        urls = {"resource_url": "resource", "logs_url": "logs", "host_url": "host"}
        urls |= {"events_url": "events", "bundle_url": "bundle/"}
        return {"kind": "http", **{key: base + path for key, path in urls.items()}}

    status_url = f"http://127.0.0.1:{replay.ports['wk-sim']}/status"
    out = tmp_path / "collected"
    spec = {
        "schema_version": 1,
        "run_id": "20261101T100000Z-sampled-correctness-0002",
        "out_dir": str(out),
        "host": "bench1",
        "lead": True,
        "nodes": [
            {
                "name": name,
                "id": number,
                "host": "bench1",
                "api_url": f"http://127.0.0.1:{replay.ports[name]}",
                "handle": handle(name),
                "data_dir": None,
                "log_dir": None,
                "verbs": {},
            }
            for number, name in enumerate(NAMES[:3], 1)
        ],
        "sim": {
            "name": "wk-sim",
            "host": "bench1",
            "status_url": status_url,
            "handle": handle("wk-sim"),
            "log_dir": None,
            "verbs": {},
        },
        "status_url": status_url,
        "window": {"seconds": 8},
        "series_interval": 4,
        "ready_timeout": 20,
        "settle": 10,
        "profile_seconds": 1,
    }
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    run = [sys.executable, str(zipapps.build("wkcollect"))]
    subprocess.run([*run, "start", str(tmp_path / "spec.json")], check=True, timeout=20)

    def done() -> bool:
        shown = subprocess.run(
            [*run, "poll", str(out)], check=True, timeout=20, capture_output=True
        )
        return bool(json.loads(shown.stdout)["done"])

    try:
        _until(done, 90)
    finally:
        subprocess.run([*run, "stop", str(out)], check=False, timeout=30, capture_output=True)
    # The collector's own files lie beside the evidence or above it.
    return replay, next(path.parent for path in out.rglob("status.jsonl"))


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _distinct(values: list[Any]) -> list[Any]:
    return [value for n, value in enumerate(values) if n == 0 or value != values[n - 1]]


def _back(text: str, replay: Replay) -> str:
    """Move every time in a text back to the recording's clock."""
    pattern = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\.\d+Z?"
    return re.sub(pattern, lambda m: shift_time(m[0], -replay.shift_ms), text)


STATUS_KEYS = ("state", "run_id", "messages_sent", "send_errors", "recv_errors", "active_users")
RESOURCE_KEYS = ("name", "state", "exit_code", "oom_killed", "restart_count", "cpu_limited")


@pytest.mark.slow
def test_replayed_bundle_is_the_recorded_one_field_by_field(
    replayed: tuple[Replay, Path],
) -> None:
    replay, got = replayed

    def status(path: Path) -> list[Any]:
        rows = [r for r in _rows(path) if (r.get("status") or {}).get("state") == "running"]
        return _distinct([[r["status"][key] for key in STATUS_KEYS] for r in rows])

    assert status(got / "status.jsonl") == status(FULL / "status.jsonl")
    errors = [classify_error(r["error"]) for r in _rows(got / "status.jsonl") if "error" in r]
    assert errors == [RESET]
    running = next(
        r for r in _rows(got / "status.jsonl") if r.get("status", {}).get("active_users")
    )
    moved = running["status"].pop("last_transition_at")
    assert _back(moved, replay) == "2026-11-01T10:00:20.123456789Z"
    recorded = next(
        r for r in _rows(FULL / "status.jsonl") if r.get("status", {}).get("active_users")
    )
    recorded["status"].pop("last_transition_at")
    assert running["status"] == recorded["status"]

    def health(path: Path, node: str) -> list[Any]:
        rows = [r for r in _rows(path) if r["node"] == node and r["probe"] == "healthz"]
        return _distinct([r["http_status"] or classify_error(r["error"]) for r in rows])

    for node in NAMES[:3]:
        assert health(got / "health.jsonl", node) == health(FULL / "health.jsonl", node)

    def resources(path: Path, name: str) -> list[Any]:
        rows = [r for r in _rows(path) if r["name"] == name]
        return _distinct([[r.get(key) for key in RESOURCE_KEYS] for r in rows])

    for name in NAMES:
        assert resources(got / "resources.jsonl", name) == resources(FULL / "resources.jsonl", name)

    # The recorded host, not this one.
    host = _rows(got / "host.jsonl")[-1]
    assert (host["ncpu"], host["load1"], host["mem_total_bytes"]) == (4, 1.5, 16 * 2**30)

    events = [
        json.loads(_back(line, replay)) for line in (got / "events.jsonl").read_text().splitlines()
    ]
    assert events == _rows(FULL / "events.jsonl")

    for number in (1, 2, 3):
        for name in (f"node{number}-before.prom", f"node{number}.prom"):
            expected = FULL / "metrics" / name
            if expected.is_file():
                text = (got / "metrics" / name).read_bytes()
                assert shift_metrics(text, -replay.shift_ms) == expected.read_bytes()
            else:
                error = (got / "metrics" / f"{name}.err").read_text()
                recorded_error = (FULL / "metrics" / f"{name}.err").read_text()
                assert classify_error(error) == classify_error(recorded_error)
    scrapes = [
        shift_metrics(gzip.decompress(path.read_bytes()), -replay.shift_ms)
        for path in sorted((got / "metrics" / "series" / "node1").glob("*.prom.gz"))
    ]
    known = [
        gzip.decompress(path.read_bytes())
        for path in sorted((FULL / "metrics" / "series" / "node1").glob("*.prom.gz"))
    ]
    assert _distinct(scrapes) == known

    for kind in ("app", "warn", "error", "compose"):
        for node in NAMES[:3]:
            text = (got / "logs" / kind / f"{node}.log").read_text()
            assert _back(text, replay) == (FULL / "logs" / kind / f"{node}.log").read_text()
    assert not list((got / "logs").rglob("debug/wk-node*.log"))

    cluster = {json.dumps(r["cluster"]) for r in _rows(got / "cluster.jsonl") if "cluster" in r}
    assert cluster <= {
        json.dumps(r["cluster"]) for r in _rows(FULL / "cluster.jsonl") if "cluster" in r
    }
    assert cluster
    for name in ("node1-cpu.pb.gz", "node1-goroutine.txt"):
        assert (got / "pprof" / name).read_bytes() == (FULL / "pprof" / name).read_bytes()

    window = json.loads((got / "window.json").read_text())
    recorded_window = json.loads((FULL / "window.json").read_text())
    for key in ("valid", "reason", "asked_seconds", "sim_run_id", "interrupted"):
        assert window[key] == recorded_window[key], key
    # What must differ is when it was seen, by less than two samples.
    for key in ("start", "end", "running_since", "counters_moved_at"):
        seen = parse_time(_back(window[key], replay))
        assert abs(seen - parse_time(recorded_window[key])) < 2e9, key


@pytest.mark.parametrize("held", [True, False])
def test_a_replay_that_nobody_asks_anything_ends_by_itself(held: bool, tmp_path: Path) -> None:
    pidfile = tmp_path / "replay.pid"
    _command(
        "serve", "--daemon", "--pidfile", str(pidfile), "--bundle", str(FULL), "--incident", "x",
        "--listen=wk-sim=127.0.0.1:0", "--lease", "0.5", *(["--hold"] if held else []),
    )  # fmt: skip
    port = json.loads(pidfile.read_text())["ports"]["wk-sim"]
    if not held:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=2) as answer:
            assert answer.status == 200
    _until(lambda: not pidfile.exists(), 10)
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=2)


@pytest.mark.parametrize("held", [True, False])
def test_a_replay_that_nobody_could_stop_any_more_ends(held: bool, tmp_path: Path) -> None:
    pidfile = tmp_path / "replay.pid"
    _command(
        "serve", "--daemon", "--pidfile", str(pidfile), "--bundle", str(FULL), "--incident", "x",
        "--listen=wk-sim=127.0.0.1:0", *(["--hold"] if held else []),
    )  # fmt: skip
    pid = json.loads(pidfile.read_text())["pid"]
    pidfile.unlink()
    _until(lambda: process_start(pid) is None, 10)

"""A fault is injected into the window of a run, and always healed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from msgspec.structs import replace
from tests.unit.labfakes import topology

from wktriage.core.errors import InfraError
from wktriage.lab import faults, injector
from wktriage.lab.injector import Injector


@pytest.fixture
def simulator() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"state": "running", "messages_sent": 5}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/status"
    server.shutdown()
    server.server_close()


def test_fault_is_injected_once_the_load_runs_and_healed_when_the_run_ends(
    tmp_path: Path, simulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wktriage.lab.actions.commands.inspect", lambda *_: "paused")
    monkeypatch.setattr(injector, "CHECK_AFTER_SECONDS", 0.01)
    fault = replace(faults.load("pause-node"), after_s=0.01)
    thread = Injector(fault, topology(tmp_path, simulator), hold_s=0.3, node="wk-node2", seed=1)
    thread.start()
    thread.join(timeout=10)
    assert (tmp_path / "log").read_text().split() == ["pause", "unpause"]
    assert thread.record.took_hold is True
    assert thread.record.targets == ["wk-node2"]


def test_a_fault_that_did_not_take_hold_is_said_and_healed(
    tmp_path: Path, simulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wktriage.lab.actions.commands.inspect", lambda *_: "running")
    monkeypatch.setattr(injector, "CHECK_AFTER_SECONDS", 0.01)
    fault = replace(faults.load("pause-node"), after_s=0.01)
    thread = Injector(fault, topology(tmp_path, simulator), hold_s=0.05, node=None, seed=1)
    thread.start()
    thread.join(timeout=10)
    assert thread.record.took_hold is False
    assert "is running, not paused" in thread.record.problems[0]
    assert (tmp_path / "log").read_text().split()[-1] == "unpause"


@pytest.mark.parametrize(
    ("answer", "problems"),
    [("Container 1f is not paused", 0), ("No such container: 1f", 0), ("no space left", 1)],
)
def test_a_fault_that_went_with_its_container_is_healed(
    tmp_path: Path, simulator: str, monkeypatch: pytest.MonkeyPatch, answer: str, problems: int
) -> None:
    monkeypatch.setattr("wktriage.lab.actions.commands.inspect", lambda *_: "paused")
    monkeypatch.setattr(injector, "CHECK_AFTER_SECONDS", 0.01)
    path = topology(tmp_path, simulator)
    stack = json.loads(path.read_text())
    for node in stack["nodes"]:
        node["verbs"]["unpause"] = ["sh", "-c", f"echo Error response: {answer} >&2; exit 1"]
    path.write_text(json.dumps(stack))
    fault = replace(faults.load("pause-node"), after_s=0.01)
    thread = Injector(fault, path, hold_s=0.05, node=None, seed=1)
    thread.start()
    thread.join(timeout=10)
    assert thread.record.took_hold is True
    assert len(thread.record.problems) == problems


def test_what_was_seen_last_is_said_when_the_target_ends_before_the_fault_does(
    tmp_path: Path, simulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["running", "running"])

    def inspect(*_: object) -> str:
        if (answer := next(answers, None)) is None:
            raise InfraError("docker inspect 1f: Error: No such object: 1f")
        return answer

    monkeypatch.setattr("wktriage.lab.actions.commands.inspect", inspect)
    monkeypatch.setattr(injector, "CHECK_AFTER_SECONDS", 0.01)
    fault = replace(faults.load("pause-node"), after_s=0.01)
    thread = Injector(fault, topology(tmp_path, simulator), hold_s=5, node=None, seed=1)
    thread.start()
    thread.join(timeout=4)
    thread.end()
    assert thread.record.took_hold is False
    assert "is running, not paused" in thread.record.problems[0]


def test_a_run_that_ends_before_its_load_injects_nothing(tmp_path: Path) -> None:
    path = topology(tmp_path, "http://127.0.0.1:1/status")
    thread = Injector(faults.load("pause-node"), path, hold_s=1, node=None, seed=1)
    thread.start()
    thread.end()
    assert thread.record.took_hold is False
    assert not (tmp_path / "log").exists()

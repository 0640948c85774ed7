"""The modules that run on hosts: ports, boot, readiness."""

from __future__ import annotations

import importlib.util
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"plugins/modules/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_taken_port_names_its_process(listening: int) -> None:
    probe = module("wk_host_probe")
    who = probe.taken(listening)
    assert who is not None
    if Path("/proc/net/tcp").exists():
        assert who.startswith("pid ")


def test_a_port_that_was_closed_is_free(listening: int) -> None:
    probe = module("wk_host_probe")
    with socket.socket() as client:
        client.connect(("127.0.0.1", listening))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert probe.taken(port) is None


def test_disk_of_a_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    found = module("wk_host_probe").disk(str(tmp_path / "a" / "b"))
    assert found["inspected"] == str(tmp_path)
    assert 0 < found["free_bytes"] <= found["total_bytes"]


class Answer(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b'{"ready":false}')

    def log_message(self, *_args: object) -> None: ...


@pytest.mark.parametrize(("status", "said"), [(200, None), (503, '{"ready":false}')])
def test_readiness_is_what_the_node_says(status: int, said: str | None) -> None:
    handler = type("Handler", (Answer,), {"status": status})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        answer = module("wk_ready").ask(f"http://127.0.0.1:{server.server_address[1]}")
        thread.join()
    assert answer == said


def test_a_refused_connection_is_not_ready(listening: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "refused" in module("wk_ready").ask(f"http://127.0.0.1:{port}")

"""Small HTTP stand-ins for a node, a simulator and a container engine, for collector tests."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Answer = tuple[int, bytes]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        standin: StandIn = self.server.standin  # type: ignore[attr-defined]
        standin.seen.append(self.path)
        if standin.hung.is_set():
            # As `docker pause` does: connecting works, an answer never comes.
            standin.closing.wait(30)
            return
        status, body = standin.answer(urlsplit(self.path).path, self.path)
        # Whoever asked may have run out of patience.
        with suppress(ConnectionError):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def address_string(self) -> str:
        return "stand-in"

    def log_message(self, *_args: Any) -> None:
        return


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False


class StandIn:
    """One server; ``answers`` maps a path to bytes, a JSON value or a function of the full path."""

    def __init__(self, answers: dict[str, Any], socket_path: Path | None = None) -> None:
        self.answers = answers
        self.seen: list[str] = []
        self.hung = threading.Event()
        self.closing = threading.Event()
        self._server: Any
        if socket_path is None:
            self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
            self._server.daemon_threads = True
            self._server.block_on_close = False
            self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        else:
            self._server = _UnixServer(str(socket_path), _Handler)
            self.url = f"unix:{socket_path}"
        self._server.standin = self
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, path: str, full: str) -> Answer:
        if path not in self.answers:
            return 404, b"not found"
        value = self.answers[path]
        if isinstance(value, Callable):  # type: ignore[arg-type]
            value = value(full)
        if isinstance(value, tuple):
            return value
        return 200, value if isinstance(value, bytes) else json.dumps(value).encode()

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


METRICS = b'# HELP x y\nwukongim_gateway_connections_active{protocol="tcp"} 7\n' + b"x 1\n" * 200


def node_answers() -> dict[str, Any]:
    """Return what a healthy node answers."""

    def profile(full: str) -> bytes:
        time.sleep(float(full.rsplit("=", 1)[1]) / 10)
        return b"\x1f\x8bprofile"

    return {
        "/healthz": {"status": "ok"},
        "/readyz": {"ready": True},
        "/metrics": METRICS,
        "/debug/cluster": {"node_id": 1, "slots": []},
        "/debug/goroutines/summary": {
            "boot_id": "b1", "process_started_at": "x", "process_total": 5, "modules": [],
        },
        "/debug/pprof/profile": profile,
        "/debug/pprof/heap": b"\x1f\x8bheap",
        "/debug/pprof/goroutine": b"goroutine 1 [running]:\n",
    }  # fmt: skip


class Simulator:
    """A simulator whose counters are set by the test, or move with time from ``run`` on."""

    def __init__(self) -> None:
        self.status: dict[str, Any] = {
            "state": "starting", "run_id": "r1", "connected_users": 0, "active_users": 0,
            "messages_sent": 0, "send_errors": 0, "recv_errors": 0, "last_error": "",
            "last_transition_at": "2026-11-24T10:00:00.123456789Z", "config": {"total_users": 4},
        }  # fmt: skip
        self._since: float | None = None

    def run(self) -> None:
        self.status.update(state="running", active_users=4, connected_users=4)
        self._since = time.monotonic()

    def stall(self) -> None:
        self._since = None

    def __call__(self, _full: str) -> dict[str, Any]:
        if self._since is not None:
            # Moves in steps, as the real one does.
            self.status["messages_sent"] = int((time.monotonic() - self._since) * 4) * 5
        return dict(self.status)


@contextmanager
def serving(answers: dict[str, Any], socket_path: Path | None = None) -> Iterator[StandIn]:
    """Serve answers until the block ends."""
    standin = StandIn(answers, socket_path)
    try:
        yield standin
    finally:
        standin.close()


@contextmanager
def dripping(head: bytes) -> Iterator[str]:
    """Answer with ``head``, and from then on with a byte every 50 ms, for at most 5 s."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        with suppress(OSError):
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(head)
                for _ in range(100):
                    connection.sendall(b"x")
                    time.sleep(0.05)

    threading.Thread(target=answer, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.close()

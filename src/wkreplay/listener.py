"""The sockets of a stand-in process, and how it takes or refuses a request."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

from wkreplay.failures import CLOSED, HANG, REFUSED, RESET, UP
from wkreplay.lease import Lease
from wkreplay.ports import Port
from wkreplay.surfaces.answers import Answer
from wkreplay.surfaces.base import Surface


class Listener(threading.Thread):
    """One stand-in process: a port that is open, closed or mute as it was in the recording."""

    def __init__(self, surface: Surface, incident: str, port: Port, lease: Lease) -> None:
        super().__init__(name=f"replay-{surface.name}", daemon=True)
        self.surface = surface
        self.incident = incident
        self.stopping = threading.Event()
        self._port = port
        self._lease = lease
        self._sock = port.bind()
        self._open = False

    def run(self) -> None:
        """Take connections until stopped."""
        while not self.stopping.is_set():
            state = self.surface.reachable(self.surface.clock.moment())
            self._set_open(state != REFUSED)
            readable, _, _ = select.select([self._sock] if self._open else [], [], [], 0.05)
            if not self._open:
                self.stopping.wait(0.05)
            if readable:
                with contextlib.suppress(OSError):
                    connection, peer = self._sock.accept()
                    self._lease.renew()
                    threading.Thread(
                        target=self._serve, args=(connection, peer), daemon=True
                    ).start()
        self._sock.close()
        self._port.release()

    def _set_open(self, listening: bool) -> None:
        """Listen, or hold the port without listening: callers are refused, nobody can take it."""
        if listening == self._open:
            return
        if listening:
            self._sock.listen(128)
        else:
            self._sock.close()
            self._sock = self._port.bind()
        self._open = listening

    def _serve(self, connection: socket.socket, peer: Any) -> None:
        with contextlib.suppress(OSError):
            Handler(connection, peer, self)
        with contextlib.suppress(OSError):
            connection.close()

    def wait_while_mute(self, connection: socket.socket, since: int) -> bool:
        """Hold a request like a frozen process does; False when caller or replay is gone."""
        while not self.stopping.is_set():
            if not self.surface.mute(since, self.surface.clock.moment()):
                return True
            readable, _, _ = select.select([connection], [], [], 0.1)
            if readable and not connection.recv(4096):
                return False
        return False


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server_version = "wktriage-replay"
    timeout = 30

    def __init__(self, connection: socket.socket, peer: Any, listener: Listener) -> None:
        self.listener = listener
        super().__init__(connection, peer, listener)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer with what was recorded, or fail as it failed."""
        self.close_connection = True
        surface = self.listener.surface
        path, _, query = self.path.partition("?")
        since = surface.clock.moment()
        answer = surface.answer(path, query, since)
        if answer.state == HANG and surface.reachable(since) == HANG:
            if not self.listener.wait_while_mute(self.connection, since):
                return
            answer = surface.answer(path, query, surface.clock.moment())
        if answer.delay_s:
            self.listener.stopping.wait(answer.delay_s)
        if answer.long:
            since = surface.clock.moment()
            state = surface.reachable(since)
            if state == HANG and not self.listener.wait_while_mute(self.connection, since):
                return
            if state in (RESET, CLOSED, REFUSED):
                answer = Answer(state=state)
        if answer.state == HANG:
            # This path alone hung: hold it until the caller gives up.
            self.listener.stopping.wait(60)
        elif answer.state in (RESET, REFUSED):
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
        elif answer.state == UP:
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        surface = self.listener.surface
        self.send_response(answer.code)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        self.send_header("X-Replay-Of", self.listener.incident)
        if surface.clock.moment() > surface.recording.end:
            self.send_header("X-Replay", "recording ended")
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent: the stand-in's output is the recorded log, nothing else."""

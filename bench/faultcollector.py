"""The collector alone, before interfaces and a log directory that mean it no good."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench.faultcells import Cell, row
from tests.disturbed import until
from tests.unit.collectstack import Detached, Stack


def _server(how: str, exits: ExitStack) -> str:
    server = socket.create_server(("127.0.0.1", 0))
    exits.callback(server.close)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(4096)
            if how == "never answers":
                time.sleep(300)
            elif how == "answers a byte a second":
                for at in range(300):
                    connection.sendall(head[at : at + 1] or b"x")
                    time.sleep(1)
            else:
                connection.sendall(head)
                for _ in range(1000):
                    connection.sendall(b"a" * 1_000_000)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                in_thread(serve, connection)

    in_thread(accept)
    return f"http://127.0.0.1:{server.getsockname()[1]}"


def in_thread(target: Callable[..., None], *args: object) -> None:
    """Run something in a thread that keeps nobody waiting."""
    threading.Thread(target=target, args=args, daemon=True).start()


def collected(how: str, place: Path) -> str:
    """Let the collector meet a hostile interface, or log directory; return its row."""
    cell = Cell(how, "window", lambda _c, _r: None)
    began, most = time.monotonic(), 0.0
    with ExitStack() as exits:
        (place / "out").parent.mkdir(parents=True, exist_ok=True)
        stack = Stack(place, exits)
        stack.sim.run()
        if how.startswith("a log directory"):
            (place / "secret").mkdir()
            (place / "secret" / "app.log").write_text("root:x:0:0\n")
            (place / "logs").symlink_to(place / "secret")
            stack.spec["nodes"][0]["log_dir"] = str(place / "logs")
        else:
            url = _server(how.partition(" that ")[2], exits)
            if how.startswith("a node"):
                stack.spec["nodes"][0]["api_url"] = url
            else:
                stack.spec["status_url"] = stack.spec["sim"]["status_url"] = url + "/status"
        collector = Detached(stack)
        pid = collector("start", str(collector.spec))["pid"]
        state: dict[str, object] = {}
        deadline = time.monotonic() + 90
        while not state.get("done") and time.monotonic() < deadline:
            time.sleep(0.3)
            state = collector.poll()
            most = max(most, _megabytes(pid))
        if not state.get("done"):
            cell.wrong.append("the collector did not end")
        if not until(lambda: not Path(f"/proc/{pid}").exists(), 10):
            cell.wrong.append("the collector runs on")
        if any("root:x" in p.read_text(errors="replace")
               for p in stack.evidence.rglob("*") if p.is_file()):  # fmt: skip
            cell.wrong.append("what the link leads to was collected")
        if most > 300:
            cell.wrong.append(f"the collector took {most:.0f} MB")
    reason = state.get("reason") or "whole"
    return row(cell, f"window: {reason}; collector {most:.0f} MB", 0, time.monotonic() - began)


def _megabytes(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1000
    return 0.0


HOSTILE = (
    *(f"{who} that {how}" for who in ("a node's interface", "a simulator")
      for how in ("never answers", "answers a byte a second", "answers 1 GB")),
    "a log directory that is a link",
)  # fmt: skip

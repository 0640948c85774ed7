"""The modules that run on hosts: ports, boot, readiness."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.standin import dripping

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


def test_a_node_whose_answer_drips_keeps_nobody_waiting() -> None:
    with dripping(b"HTTP/1.1 200 OK\r\nX: ") as url:
        assert module("wk_ready").ask_all({"wk-node1": url}, 0.5) == {
            "wk-node1": "no answer in time"
        }


# --- wk_processes ---------------------------------------------------------------------------


def plan(tmp_path: Path, **values: Any) -> dict[str, Any]:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    digest = hashlib.sha256(program.read_bytes()).hexdigest()
    entry = {
        "name": "wk-node1",
        "program": {"file": str(program), "sha256": digest},
        "argv": [str(program)],
        "env": {"WK_X": "secret"},
        "files": {"wukongim.toml": "# secret"},
        "ports": [],
        "data": "node1",
        "stop_seconds": 1,
    }
    entry |= {key: values.pop(key) for key in list(values) if key in entry}
    base = {"project": "p", "data_root": str(tmp_path / "data"), "mode": "clean"}
    return {**base, "benchmark_host": True, "processes": [entry], **values}


def test_processes_are_made_started_and_removed(tmp_path: Path) -> None:
    processes, top = module("wk_processes"), str(tmp_path / "stack")
    told = processes.create(top, plan(tmp_path))
    try:
        assert told["data_bytes_at_start"] == 0
        assert told["python"] == sys.executable
        assert (
            Path(told["program"]).read_text() == Path(processes.wk_supervisor.__file__).read_text()
        )
        for name in ("process.json", "wukongim.toml"):
            assert (tmp_path / "stack" / "wk-node1" / name).stat().st_mode & 0o077 == 0
        assert processes.start(top, ["wk-node1"], check_mode=True)
        assert processes.start(top, ["wk-node1"], check_mode=False)
        assert not processes.start(top, ["wk-node1"], check_mode=False)
        assert not processes.start(top, ["wk-node1"], check_mode=True)
        # Created anew: what was left is stopped first, and its data measured and kept.
        (tmp_path / "data" / "node1" / "log").write_text("1234")
        told = processes.create(top, plan(tmp_path, mode="accumulated"))
        assert told["data_bytes_at_start"] == 4
        assert processes.start(top, ["wk-node1"], check_mode=True)
    finally:
        assert processes.wk_supervisor.remove(top)


def test_a_host_without_the_flag_is_left_alone(tmp_path: Path) -> None:
    processes = module("wk_processes")
    with pytest.raises(processes.RefusedError, match="set wk_benchmark_host: true there"):
        processes.create(str(tmp_path / "stack"), plan(tmp_path, benchmark_host=False))
    assert not (tmp_path / "stack").exists()
    assert not (tmp_path / "data").exists()


def test_a_port_that_somebody_else_holds_is_named(tmp_path: Path, listening: int) -> None:
    processes = module("wk_processes")
    with pytest.raises(processes.RefusedError, match=rf"port {listening} of wk-node1 is held by"):
        processes.create(str(tmp_path / "stack"), plan(tmp_path, ports=[listening]))
    assert not (tmp_path / "data").exists()


def test_data_without_a_marker_is_not_emptied(tmp_path: Path) -> None:
    processes = module("wk_processes")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "precious").touch()
    with pytest.raises(processes.wk_data_root.DataRootError, match="mode=clean will not empty"):
        processes.create(str(tmp_path / "stack"), plan(tmp_path))
    assert (tmp_path / "data" / "precious").exists()


def test_another_program_than_the_one_asked_for_is_not_run(tmp_path: Path) -> None:
    processes, top = module("wk_processes"), str(tmp_path / "stack")
    processes.create(top, plan(tmp_path))
    (tmp_path / "program").write_text("#!/bin/sh\n# another\n")
    with pytest.raises(processes.RefusedError, match="another sha256"):
        processes.start(top, ["wk-node1"], check_mode=False)
    (tmp_path / "program").chmod(0o644)
    if os.geteuid():  # root may run what nobody may
        with pytest.raises(processes.RefusedError, match=r"chmod \+x"):
            processes.start(top, ["wk-node1"], check_mode=False)
    (tmp_path / "program").unlink()
    with pytest.raises(processes.RefusedError, match="there is no file"):
        processes.start(top, ["wk-node1"], check_mode=False)


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux tells who holds a port")
def test_a_port_of_our_own_process_counts_as_free(tmp_path: Path) -> None:
    probe = module("wk_host_probe")
    code = (
        "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen();"
        "print(s.getsockname()[1], flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        assert probe.taken(port).startswith(f"pid {process.pid} (")
        assert probe.taken(port, probe.own_processes(str(tmp_path / "other"))) is not None
        assert probe.taken(port, probe.own_processes(str(tmp_path))) is None
        process.kill()


def test_what_is_copied_stays_for_the_next_run_and_goes_when_it_is_torn_down(
    tmp_path: Path,
) -> None:
    processes, top = module("wk_processes"), str(tmp_path / "runs" / ".processes" / "stack")
    content = b"a binary"
    known = hashlib.sha256(content).hexdigest()
    file = tmp_path / "runs" / ".processes" / ".binaries" / known / "wukongim"
    asked = plan(tmp_path)
    asked["processes"][0]["program"] = {"file": str(file), "sha256": known}
    assert processes.create(top, asked)["missing"] == [str(file)]
    file.write_bytes(b"half of")
    assert processes.create(top, asked)["missing"] == [str(file)]
    file.write_bytes(content)
    assert processes.absent(top, False, False)
    assert processes.create(top, asked)["missing"] == []
    assert processes.absent(top, True, True)
    assert file.exists()
    assert processes.absent(top, True, False)
    assert not (tmp_path / "runs").exists()
    assert not processes.absent(top, True, False)


def test_directories_that_were_there_stay(tmp_path: Path) -> None:
    processes, runs = module("wk_processes"), tmp_path / "runs"
    runs.mkdir()
    top = str(runs / ".processes" / "stack")
    processes.create(top, plan(tmp_path))
    processes.absent(top, True, False)
    assert list(runs.iterdir()) == []


def test_binaries_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    processes, top = module("wk_processes"), str(tmp_path / ".processes" / "stack")
    precious = tmp_path / ".processes" / ".binaries" / "precious"
    precious.parent.mkdir(parents=True)
    precious.touch()
    with pytest.raises(processes.wk_supervisor.ProcessError, match="only what it made"):
        processes.absent(top, True, False)
    assert precious.exists()


def test_a_data_root_of_somebody_else_is_told(tmp_path: Path) -> None:
    probe = module("wk_host_probe")
    (tmp_path / "precious").touch()
    assert "mode=clean will not empty it" in probe.data_root_problem(str(tmp_path), True)
    assert probe.data_root_problem(str(tmp_path), False) is None
    assert probe.data_root_problem(str(tmp_path / "new"), True) is None


def test_the_shell_of_the_collector_removes_what_was_not_there(tmp_path: Path) -> None:
    shell = collector_shell()
    runs, out = tmp_path / "runs", tmp_path / "runs" / ".work" / "id" / "collector" / "host"
    for there in (False, True):
        if there:
            runs.mkdir()
        subprocess.run(["/bin/sh", "-c", shell["MAKE"].format(out=out)], check=True)
        (out / "file").touch()
        for _ in range(2):
            remove = shell["REMOVE"].format(out=out)
            subprocess.run(["/bin/sh", "-c", remove], check=True)
        assert runs.exists() is there
    assert list(runs.iterdir()) == []


def collector_shell() -> dict[str, str]:
    """Return the commands that the collector's plugin gives to a host's shell."""
    tree = ast.parse((ROOT / "plugins/action/wk_collector.py").read_text())
    return {
        ast.unparse(node.targets[0]): node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    }

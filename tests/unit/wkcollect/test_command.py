"""The detached process, as the zipapp starts it under the oldest Python of this machine."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.unit.collectstack import Detached, Stack, until

from wktriage.core import schemas
from wktriage.run.lock import process_start


def test_detached_run_from_start_to_pack(stack: Stack) -> None:
    run = Detached(stack)
    pid = run("start", str(run.spec))["pid"]
    assert os.getsid(pid) != os.getsid(0)
    again = run("start", str(run.spec), check=False)
    assert again.returncode == 2
    assert "stop it first" in again.stderr
    early = run("pack", str(run.out), str(stack.tmp / "early.tar"), check=False)
    assert early.returncode == 3
    # Until the load runs, the collector waits, however busy this machine is.
    stack.sim.run()
    state = until(lambda: (s := run.poll())["done"] and s, 20)
    assert state["valid"] is True
    assert state["phase"] == "done"
    assert state["users_connected"] == 4
    assert (run.out / "collector.log").read_text().endswith("phase done\n")
    archive = stack.tmp / "e.tar"
    packed = run("pack", str(run.out), str(archive))
    assert packed["done"] is True
    assert packed["bytes"] == archive.stat().st_size
    assert packed["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    # Packed again, it would be another file, and a part that was fetched would be lost.
    assert run("pack", str(run.out), str(archive))["sha256"] == packed["sha256"]
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


def test_packing_may_end_a_run_that_goes_on(stack: Stack) -> None:
    stack.spec["window"] = {"seconds": 60}
    stack.sim.run()
    run = Detached(stack)
    run("start", str(run.spec))
    until(lambda: run.poll()["samples_taken"] > 1)
    packed = run("pack", str(run.out), str(stack.tmp / "e.tar"), "--stop", "the controller is gone")
    assert packed["done"] is True
    window = json.loads((stack.evidence / "window.json").read_text())
    assert window["interrupted"] == "the controller is gone"


@pytest.mark.hosts  # needs root, for a small disk
def test_a_full_disk_neither_keeps_a_run_going_nor_loses_what_it_has(stack: Stack) -> None:
    stack.spec["window"] = {"seconds": 60}
    stack.sim.run()
    run = Detached(stack)
    with small_disk(run.out):
        run("start", str(run.spec))
        until(lambda: run.poll()["samples_taken"] > 3)
        with suppress(OSError), (run.out / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        packed = run("pack", str(run.out), str(run.out / "e.tar"), "--stop", "enough")
        assert packed["done"] is True
        assert not run.poll()["alive"]
        window = json.loads((stack.evidence / "window.json").read_text())
        assert window["valid"] is False
        assert window["interrupted"] == "the collector was ended by a signal"
        assert "samples were lost: " in window["reason"]
        assert "No space left on device" in window["reason"]
        assert "No space left on device" in (run.out / "collectors.json").read_text()
        assert len(stack.rows("status.jsonl")) > 3


def test_a_collector_whose_directory_is_gone_ends_and_leaves_none(stack: Stack) -> None:
    stack.spec["window"] = {"seconds": 60}
    stack.sim.run()
    run = Detached(stack)
    pid = run("start", str(run.spec))["pid"]
    until(lambda: run.poll()["samples_taken"] > 1)
    shutil.rmtree(run.out)
    until(lambda: process_start(pid) is None)
    assert not run.out.exists()


@contextmanager
def small_disk(where: Path) -> Iterator[None]:
    """Put a disk of 8 MB at a new directory."""
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(where)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


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


def test_running_collector_does_not_need_its_file(stack: Stack) -> None:
    run = Detached(stack)
    own = stack.tmp / "collector.pyz"
    shared = run.program
    own.write_bytes(shared.read_bytes())
    run.program = own
    run("start", str(run.spec))
    own.unlink()
    run.program = shared
    stack.sim.run()
    state = until(lambda: (s := run.poll())["done"] and s, 20)
    assert state["valid"] is True
    assert (stack.evidence / "metrics/node3.prom").stat().st_size > 0
    assert "Traceback" not in (run.out / "collector.log").read_text()


def test_commands_on_an_empty_directory_say_what_is_missing(stack: Stack) -> None:
    run = Detached(stack)
    for command in (["poll"], ["pack"], ["stop"]):
        files = [str(run.out), *(["e.tar"] if command == ["pack"] else [])]
        done = run(*command, *files, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("collector: ")
        assert str(run.out) in done.stderr

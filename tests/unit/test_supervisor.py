"""The program that keeps a process of the stack running on its host."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import wk_supervisor

PROGRAM = Path(wk_supervisor.__file__)
#: Says what it got, then waits; with "deaf" it hears no SIGTERM.
SLEEPER = """
import json, os, signal, sys, time
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(json.dumps({"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd()}), flush=True)
if "ends" in sys.argv:
    sys.exit(3)
time.sleep(60)
"""


@pytest.fixture
def top(tmp_path: Path) -> Iterator[Path]:
    """A stack's directory, removed with all its processes in the end."""
    path = tmp_path / "stack"
    path.mkdir()
    (path / wk_supervisor.MARKER).touch()
    shutil.copy(PROGRAM, path / wk_supervisor.PROGRAM)
    yield path
    if path.exists():
        wk_supervisor.remove(str(path))


def made(top: Path, name: str = "wk-node1", *arguments: str, **spec: Any) -> wk_supervisor.Process:
    directory = top / name
    directory.mkdir()
    argv = [sys.executable, "-c", SLEEPER, *arguments]
    document = {"argv": argv, "env": {}, "stop_seconds": 5, "unit": None, **spec}
    (directory / "process.json").write_text(json.dumps(document))
    return wk_supervisor.Process(str(directory))


def do(verb: str, process: wk_supervisor.Process) -> subprocess.CompletedProcess[str]:
    """Run a verb as the topology names it."""
    program = Path(process.directory).parent / wk_supervisor.PROGRAM
    argv = [sys.executable, str(program), verb, process.directory]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30)


def wait_until(holds: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + 15
    while time.monotonic() < end:
        if value := holds():
            return value
        time.sleep(0.02)
    raise AssertionError(f"never: {what}")


def letter(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def first_output(process: wk_supervisor.Process) -> dict[str, Any]:
    log = Path(process.log_file)
    line = wait_until(lambda: log.exists() and log.read_text().partition("\n")[0], "some output")
    return dict(json.loads(line))


def test_it_runs_with_its_own_environment_and_nothing_of_ours(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WK_SIM_USERS", "5")
    process = made(top, "wk-node1", "one", env={"WK_SECRET": "hunter2"})
    assert process.launch()
    process.wait_for_start()
    output = first_output(process)
    assert output["argv"] == ["one"]
    assert output["cwd"] == process.directory
    assert output["env"]["WK_SECRET"] == "hunter2"
    assert "WK_SIM_USERS" not in output["env"]
    pid = process.pid()
    assert pid is not None
    shown = subprocess.run(["ps", "-axo", "args"], capture_output=True, text=True).stdout
    assert "hunter2" not in shown
    assert os.getpgid(pid) == pid


def test_starting_it_again_changes_nothing(top: Path) -> None:
    process = made(top)
    assert process.launch()
    process.wait_for_start()
    pid = process.pid()
    assert not process.launch()
    assert process.pid() == pid


def test_one_that_ends_by_itself_is_started_again_and_its_end_kept(top: Path) -> None:
    process = made(top)
    process.launch()
    process.wait_for_start()
    first = process.pid()
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: process.pid() not in (None, first), "a second process")
    rows = [json.loads(line) for line in Path(process.path("exits.jsonl")).read_text().splitlines()]
    assert [(row["pid"], row["signal"]) for row in rows] == [(first, signal.SIGKILL)]


def test_one_that_dies_at_once_is_started_all_the_same(top: Path) -> None:
    process = made(top, "wk-node1", "ends")
    process.launch()
    process.wait_for_start()
    row = wait_until(lambda: Path(process.path("exits.jsonl")).exists(), "an exit")
    assert row
    assert json.loads(Path(process.path("exits.jsonl")).read_text().partition("\n")[0])["code"] == 3


@pytest.mark.parametrize("verb", ["stop", "kill"])
def test_one_that_was_stopped_or_killed_stays_so_until_it_is_started(top: Path, verb: str) -> None:
    process = made(top)
    assert do("start", process).returncode == 0
    first = process.pid()
    assert do(verb, process).returncode == 0
    assert not process.kept()
    assert do("start", process).returncode == 0
    assert process.pid() not in (None, first)


def test_a_frozen_process_stands_still_and_can_be_stopped(top: Path) -> None:
    process = made(top)
    do("start", process)
    pid = process.pid()
    assert pid is not None
    assert do("pause", process).returncode == 0
    wait_until(lambda: letter(pid) == "T", "standing still")
    assert do("unpause", process).returncode == 0
    wait_until(lambda: letter(pid) == "S", "running")
    do("pause", process)
    assert do("stop", process).returncode == 0
    assert not process.kept()


def test_one_that_hears_no_request_to_end_is_killed(top: Path) -> None:
    process = made(top, "wk-node1", "deaf", stop_seconds=0.2)
    process.launch()
    process.wait_for_start()
    first_output(process)
    assert do("stop", process).returncode == 0
    assert not process.kept()


def test_restart_gives_another_process(top: Path) -> None:
    process = made(top)
    do("start", process)
    first = process.pid()
    assert do("restart", process).returncode == 0
    assert process.pid() not in (None, first)


def test_without_its_supervisor_it_can_still_be_stopped(top: Path) -> None:
    process = made(top)
    process.launch()
    process.wait_for_start()
    supervisor = wk_supervisor.living(process.path("supervisor.pid"))
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    assert do("stop", process).returncode == 0
    assert not process.kept()


def test_a_supervisor_that_is_asked_to_end_takes_its_process_along(top: Path) -> None:
    process = made(top)
    process.launch()
    process.wait_for_start()
    supervisor = wk_supervisor.living(process.path("supervisor.pid"))
    assert supervisor is not None
    os.kill(supervisor, signal.SIGTERM)
    wait_until(lambda: not process.kept(), "both gone")


def test_a_number_that_belongs_to_another_process_by_now_is_left_alone(top: Path) -> None:
    process = made(top)
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.DEVNULL) as other:
        Path(process.pid_file).write_text(f"{other.pid} some-boot:1\n")
        assert process.pid() is None
        done = do("pause", process)
        assert done.returncode == 1
        assert "wk-node1 does not run" in done.stderr
        assert do("kill", process).returncode == 0
        assert other.poll() is None
        other.kill()


def test_logs_are_what_it_wrote(top: Path) -> None:
    process = made(top)
    process.launch()
    process.wait_for_start()
    first_output(process)
    assert json.loads(do("logs", process).stdout)["cwd"] == process.directory


def test_remove_stops_all_and_leaves_nothing(top: Path) -> None:
    several = [made(top, f"wk-node{n}") for n in range(1, 6)]
    for process in several:
        process.launch()
    for process in several:
        process.wait_for_start()
    pids = [process.pid() for process in several]
    assert wk_supervisor.remove(str(top))
    assert not top.exists()
    assert not any(pid is not None and wk_supervisor.mark(pid) for pid in pids)
    assert not wk_supervisor.remove(str(top))


@pytest.mark.parametrize("linked", [False, True])
def test_remove_touches_only_what_the_harness_made(tmp_path: Path, linked: bool) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "precious").touch()
    target = theirs
    if linked:
        (theirs / wk_supervisor.MARKER).touch()
        target = tmp_path / "link"
        target.symlink_to(theirs)
    with pytest.raises(wk_supervisor.ProcessError, match="only what it made"):
        wk_supervisor.remove(str(target))
    assert (theirs / "precious").exists()


@pytest.mark.parametrize("argv", [[], ["start"], ["pass", "x"], ["start", "x", "y"]])
def test_wrong_use_is_one_line(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert wk_supervisor.main(argv) == 2
    assert capsys.readouterr().err.startswith("usage: wk_supervisor.py VERB DIRECTORY")


# --- systemd --------------------------------------------------------------------------------

SYSTEMD_RUN = """#!/bin/sh
echo "systemd-run $*" >> "$SYSTEMD_LOG"
while [ "$1" != -- ]; do shift; done
shift
setsid "$@" </dev/null >/dev/null 2>&1 &
"""
SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >> "$SYSTEMD_LOG"
"""


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins of systemd's two commands, and what they were asked."""
    tools, log = tmp_path / "tools", tmp_path / "systemd.log"
    tools.mkdir()
    for name, text in (("systemd-run", SYSTEMD_RUN), ("systemctl", SYSTEMCTL)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SYSTEMD_LOG", str(log))
    return log


def test_with_systemd_it_is_a_unit_of_its_own(top: Path, systemd: Path) -> None:
    unit = "wktriage-p-wk-node1.service"
    process = made(top, "wk-node1", unit=unit, env={"WK_SECRET": "hunter2"})
    assert process.launch()
    process.wait_for_start()
    assert process.pid() is not None
    assert do("stop", process).returncode == 0
    asked = systemd.read_text()
    assert f"--unit={unit}" in asked
    assert "--property=Restart=always" in asked
    assert f"systemctl stop {unit}" in asked
    assert "hunter2" not in asked
    assert not Path(process.path("supervisor.pid")).exists()


def test_a_unit_that_cannot_be_started_says_why(top: Path, systemd: Path) -> None:
    tool = systemd.with_name("tools") / "systemd-run"
    tool.write_text("#!/bin/sh\necho 'Failed to start transient service unit' >&2\nexit 1\n")
    process = made(top, "wk-node1", unit="u.service")
    done = do("start", process)
    assert done.returncode == 1
    assert done.stderr == "systemd-run: Failed to start transient service unit\n"

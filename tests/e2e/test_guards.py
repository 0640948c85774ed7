"""Wrong input and a busy stack, through ansible-playbook itself: refused before anything starts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.stackfakes import make_checkout

from wktriage.run import lock

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "wktriage-e2e-guards"


def triage(tmp_path: Path, *extra: str, **env: str) -> str:
    """Run triage.yml on a small checkout; return what it said. It must fail and leave nothing."""
    checkout = tmp_path / "checkout"
    if not checkout.exists():
        make_checkout(checkout)
    given = {
        "wukongim_checkout": str(checkout),
        "runs_dir": str(tmp_path / "runs"),
        "data_root": str(tmp_path / "data"),
        "stack_project": PROJECT,
    }
    argv = [str(Path(sys.executable).with_name("ansible-playbook")), str(ROOT / "triage.yml")]
    for item in [*(f"{k}={v}" for k, v in given.items()), *extra]:
        argv += ["-e", item]
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "CI": "1", **env},
        cwd=tmp_path,
    )
    assert done.returncode != 0
    assert not list((tmp_path / "runs").glob("2*"))
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (
            "scenario=mixed-hirate",
            r"unknown scenario 'mixed-hirate'; did you mean 'mixed-highrate'",
        ),
        ("duration=-1", "duration=-1: must be a whole number from 5"),
        ("users=10", "use -e scenario=custom"),
        ("duratoin=10", "did you mean 'duration'"),
        ("wukongim_checkout=nowhere", "nowhere is not a directory"),
    ],
)
def test_wrong_input(tmp_path: Path, extra: str, says: str) -> None:
    said = triage(tmp_path, extra)
    assert re.search(says, said)
    assert said.count("FAILED") == 1


def test_data_without_marker(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "precious").write_text("x")
    assert "mode=clean will not empty it" in triage(tmp_path)
    assert (tmp_path / "data" / "precious").exists()


def test_no_docker(tmp_path: Path) -> None:
    said = triage(tmp_path, DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert re.search(r"start Docker Desktop|no docker command", said)
    assert "inventory/replay" in said


def test_a_busy_stack_says_who_holds_it(tmp_path: Path) -> None:
    # A stack of its own: tests that need an engine run beside this one, and take the lock too.
    project = f"{PROJECT}-busy"
    path = lock.lock_path(project)
    lock.acquire(path, pid=os.getpid(), run_id="theirs", now="2026-01-01T00:00:00.000Z")
    try:
        said = triage(tmp_path, f"stack_project={project}")
    finally:
        lock.release(path, pid=os.getpid())
    assert re.search(rf"in use by process {os.getpid()} of .* run theirs, since 2026-01-01", said)


@pytest.mark.docker
def test_teardown_needs_no_checkout(tmp_path: Path) -> None:
    # Tests of an engine run beside the others: they have a lock of their own.
    project = f"{PROJECT}-down"
    argv = [str(Path(sys.executable).with_name("ansible-playbook"))]
    argv += [str(ROOT / "playbooks/teardown.yml"), "-e", f"stack_project={project}"]
    argv += ["-e", f"runs_dir={tmp_path}"]
    env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "CI": "1"}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0, done.stdout
    assert lock.read(lock.lock_path(project)) is None

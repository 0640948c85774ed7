"""A run that is disturbed leaves its evidence and nothing running: bench/faults.py has them all."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from bench import faultcells, faults
from tests.disturbed import Disturbed
from tests.replayproject import Project

from wktriage.run.interruption import BY_USER, CONTROLLER_GONE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


def after(run: Disturbed) -> str | None:
    """Wait until all is over; return why the bundle is not whole. Nothing else may be left."""
    assert run.ended() is not None
    assert run.settled() == []
    assert run.remains() == []
    assert run.next_command() is None
    assert run.bundle() is not None
    return run.why()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "why"), [(signal.SIGKILL, CONTROLLER_GONE), (signal.SIGTERM, BY_USER)]
)
def test_a_controller_that_is_ended(
    number: int, why: str, project: Project, tmp_path: Path
) -> None:
    run = Disturbed(project, tmp_path)
    run.start()
    try:
        run.await_phase("start")
        controller = run.controller()
        assert controller is not None
        os.kill(controller, number)
        assert (after(run) or "").startswith(why)
    finally:
        run.end_all()


@pytest.mark.slow
@pytest.mark.hosts  # needs root, for a small disk
def test_a_disk_that_fills_keeps_no_stack_running(project: Project, tmp_path: Path) -> None:
    (cell,) = (c for c in faultcells.cells() if c.mount == "." and c.phase == "start")
    text = faults.disturbed(cell, project, tmp_path)
    assert cell.wrong == []
    assert "No space left on device" in text

"""Playbooks and the tasks that they include."""

from __future__ import annotations

from pathlib import Path

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"


def test_no_included_tasks_are_called_like_a_playbook() -> None:
    """Ansible looks for included tasks beside the playbook first, and takes a play for tasks."""
    plays = {path.name for path in PLAYBOOKS.glob("*.yml")}
    tasks = {path.name for path in (PLAYBOOKS / "tasks").glob("*.yml")}
    assert plays
    assert tasks
    assert plays & tasks == set()

"""A git ref is built and run on a recording: the first run of a bisection, whose good is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), "-c", "user.name=x", "-c", "user.email=x@example.org", *words],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


def _play(playbook: str, asked: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i", "inventory/replay", playbook,
            *(word for name, value in asked.items() for word in ("-e", f"{name}={value}")),
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
        env={**os.environ, "WKTRIAGE_PLAIN": "1"},
    )  # fmt: skip


def _repository(directory: Path) -> Path:
    directory.mkdir()
    _git(directory, "init", "-q", "-b", "main")
    return directory


def test_a_good_commit_that_is_slow_is_refused_after_its_run(tmp_path: Path) -> None:
    repository = _repository(tmp_path / "repository")
    for tag in ("good", "bad"):
        (repository / "play").write_text("slowvol-all\n")
        (repository / "tag").write_text(tag)
        _git(repository, "add", "-A")
        _git(repository, "commit", "-qm", tag)
        _git(repository, "tag", tag)
    asked = {
        "good": "good",
        "bad": "bad",
        "expect": "send_server_latency_mean <= 0.2",
        # Spaces, quotes and a variable arrive at the shell as they were typed.
        "stack_build_command": 'cp play "$WK_BUILD_DIRECTORY/incident" && echo "built $PWD"',
        "wukongim_checkout": str(repository),
        "runs_dir": str(tmp_path / "runs"),
        "cases_dir": str(tmp_path / "cases"),
        "stack_project": "e2e-code",
        "duration": "12",
        "profile_seconds": "0",
    }
    done = _play("playbooks/bisect.yml", asked)
    assert done.returncode != 0
    shown = " ".join(done.stdout.split())
    assert "The good commit does not show send_server_latency_mean <= 0.2" in shown, shown[-4000:]
    commit = _git(repository, "rev-parse", "good")
    (bundle,) = (p for p in (tmp_path / "runs").iterdir() if p.name[0] != ".")
    inputs = json.loads((bundle / "fingerprint.json").read_text())["inputs"]
    assert inputs["git_revision"] == commit
    assert inputs["image"].startswith(f"wktriage-build:{commit}-")
    (case,) = (tmp_path / "cases").glob("*/case.json")
    assert json.loads(case.read_text())["bisection"]["control"] is None
    kept = case.parent / "evidence" / f"build-{commit[:12]}.txt"
    assert kept.read_text().startswith("built /")
    assert _git(repository, "status", "--short") == ""
    assert len(_git(repository, "worktree", "list").splitlines()) == 1


def test_what_cannot_be_run_is_refused_before_it_is_built(tmp_path: Path) -> None:
    repository = _repository(tmp_path / "repository")
    _git(repository, "commit", "-q", "--allow-empty", "-m", "first")
    asked = {
        "scenario": "custom",
        "code": "main",
        "duratoin": "12",
        "stack_build_command": f"touch {tmp_path}/built",
        "wukongim_checkout": str(repository),
        "runs_dir": str(tmp_path / "runs"),
    }
    done = _play("triage.yml", asked)
    assert done.returncode != 0
    assert "unknown extra var 'duratoin'" in " ".join(done.stdout.split())
    assert not (tmp_path / "built").exists()

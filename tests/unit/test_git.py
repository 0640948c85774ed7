"""The state of a checkout: known, partly known, and unknown."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from wktriage.core.git import GitState, git_state


def git(checkout: Path, *args: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
    done = subprocess.run(
        ["git", "-C", str(checkout), *identity, *args], check=True, capture_output=True, text=True
    )
    return done.stdout


def test_a_directory_without_git_is_unknown(tmp_path: Path) -> None:
    state = git_state(tmp_path / "absent")
    assert state == GitState(None, None, None, None)
    assert state.mark is None


def test_git_state_of_a_checkout_without_a_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "a").write_text("1")
    state = git_state(tmp_path)
    assert state.revision is None
    assert state.diff_sha256 is None
    assert state.status == "?? a\n"


def test_uncommitted_changes_have_a_mark_of_their_own(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-q", "-m", "a")
    clean = git_state(tmp_path)
    assert clean.branch == "main"
    assert clean.revision == git(tmp_path, "rev-parse", "HEAD").strip()
    assert clean.diff_sha256 == hashlib.sha256(b"").hexdigest()
    assert clean.status == ""
    (tmp_path / "a").write_text("2")
    changed = git_state(tmp_path)
    assert changed.status == " M a\n"
    assert changed.revision == clean.revision
    assert changed.mark != clean.mark

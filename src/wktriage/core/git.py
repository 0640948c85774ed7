"""The state of a git checkout."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

GIT_SECONDS = 60


@dataclass(frozen=True)
class GitState:
    """Branch, revision and uncommitted changes of a checkout; None where git can't tell.

    ``status`` is what ``git status --short`` prints, ``diff_sha256`` the hash of the difference
    to the revision.
    """

    branch: str | None
    revision: str | None
    status: str | None
    diff_sha256: str | None

    @property
    def mark(self) -> str | None:
        """Revision and changes as one word; None when the revision is unknown."""
        return None if self.revision is None else f"{self.revision}+{self.diff_sha256}"

    def as_dict(self) -> dict[str, str | None]:
        """Return the fields as a JSON object."""
        return asdict(self)


def git_state(checkout: Path) -> GitState:
    """Ask git for the state of a checkout; never raises for a directory without git."""

    def git(*args: str) -> bytes | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(checkout), "--no-optional-locks", *args],
                capture_output=True, timeout=GIT_SECONDS, check=False,
                env={**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    def text(*args: str) -> str | None:
        output = git(*args)
        return None if output is None else output.decode("utf-8", "replace")

    branch, revision = text("rev-parse", "--abbrev-ref", "HEAD"), text("rev-parse", "HEAD")
    diff = git("diff", "HEAD", "--binary")
    return GitState(
        branch=branch.strip() if branch else None,
        revision=revision.strip() if revision else None,
        status=text("status", "--short"),
        diff_sha256=None if diff is None else hashlib.sha256(diff).hexdigest(),
    )

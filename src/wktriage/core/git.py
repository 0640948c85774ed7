"""The state of a git checkout, and worktrees of its commits."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from wktriage.core.errors import InfraError, UsageError

GIT_SECONDS = 120


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
            done = run(checkout, "--no-optional-locks", *args)
        except InfraError:
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


def resolve(checkout: Path, ref: str) -> str:
    """Return the commit that a ref names. Raises UsageError when there is none."""
    if not ref or ref.startswith("-"):
        raise UsageError(f"{ref!r} is no git ref")
    done = run(checkout, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    if done.returncode != 0:
        raise UsageError(f"{checkout}: has no commit {ref!r}")
    return done.stdout.decode().strip()


@contextlib.contextmanager
def worktree(checkout: Path, commit: str) -> Iterator[Path]:
    """Give a worktree of a commit for as long as the context lasts; the checkout stays as it is.

    Raises InfraError when git cannot make it.
    """
    with tempfile.TemporaryDirectory(prefix="wktriage-worktree-") as temporary:
        path = Path(temporary) / "tree"
        done = run(checkout, "worktree", "add", "--quiet", "--detach", str(path), commit)
        if done.returncode != 0:
            why = done.stderr.decode("utf-8", "replace").strip()[-300:]
            raise InfraError(f"{checkout}: git could not make a worktree of {commit}: {why}")
        try:
            yield path
        finally:
            run(checkout, "worktree", "remove", "--force", str(path))


def run(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run git in a checkout, whatever its exit code. Raises InfraError when it does not answer."""
    try:
        return subprocess.run(
            ["git", "-C", str(checkout), *arguments],
            capture_output=True, timeout=GIT_SECONDS, check=False,
            env={**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise InfraError(f"git did not answer in {checkout}: {exc}") from exc

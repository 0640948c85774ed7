"""The code of a run as a git ref, and where what a user's command builds of it lies.

``stack_build_command`` turns a worktree of the ref into what the stack runs: an image, or binaries.
A build belongs to one commit and one command, so that both sides of an experiment are built alike.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wktriage.core import git
from wktriage.core.declarations import Declared
from wktriage.core.errors import UsageError

CODE, COMMAND, REPOSITORY = "code", "stack_build_command", "wukongim_checkout"
DIRECTORY = ".builds"
"""In the directory of runs: one folder for each build."""

CLEAN_DIFF = hashlib.sha256(b"").hexdigest()
"""What a fingerprint says of a revision without uncommitted changes."""

_IMAGE = re.compile(r"wktriage-build:(?P<commit>[0-9a-f]{40})-(?P<command>[0-9a-f]{8})\Z")


class Code(Declared, frozen=True):
    """A git ref as it is run.

    ``commit`` is the full hash that ``ref`` named, ``image`` the name that its build has, as an
    image or as a mark. ``directory`` holds what else the build makes.
    """

    ref: str
    commit: str
    command: str
    repository: str
    image: str
    directory: str

    @property
    def name(self) -> str:
        """What a person reads: the ref and the commit, once."""
        short = self.commit[:12]
        return short if self.commit.startswith(self.ref) else f"{self.ref} ({short})"

    def inputs(self) -> dict[str, str]:
        """Return what a run of it has of the fingerprint's inputs: together they are the code."""
        return inputs_of(self.commit, self.image)


def of(values: Mapping[str, Any], runs_dir: Path, ref: str | None = None) -> Code | None:
    """Return the code that the extra vars ask for (or ``ref``, with them); None without one.

    Raises UsageError when it cannot be built as asked.
    """
    name = ref or str(values.get(CODE, ""))
    if not name:
        return None
    command = str(values.get(COMMAND, "")).strip()
    if not command:
        raise UsageError(
            f"{CODE}={name} needs {COMMAND}: nothing says how a git ref becomes what the stack "
            f"runs. Add -e {COMMAND}='…'; it is run in a worktree of the ref and makes the image "
            "$WK_BUILD_IMAGE, or the binaries wukongim and wkbench in $WK_BUILD_DIRECTORY"
        )
    where = values.get(REPOSITORY)
    if not where:
        raise UsageError(f"{CODE}={name} needs the repository: add -e {REPOSITORY}=/path/to/it")
    repository = (Path.cwd() / Path(str(where)).expanduser()).resolve()
    if not repository.is_dir():
        raise UsageError(f"{REPOSITORY} {repository} is not a directory")
    commit = git.resolve(repository, name)
    mark = hashlib.sha256(command.encode()).hexdigest()[:8]
    return Code(
        ref=name,
        commit=commit,
        command=command,
        repository=str(repository),
        image=f"wktriage-build:{commit}-{mark}",
        directory=str(runs_dir / DIRECTORY / f"{commit}-{mark}"),
    )


def inputs_of(commit: str, image: str) -> dict[str, str]:
    """Return the fingerprint inputs of a build."""
    return {"image": image, "git_revision": commit, "git_diff_sha256": CLEAN_DIFF}


def built(inputs: Mapping[str, Any]) -> str | None:
    """Return the commit of which these fingerprint inputs say that it was built; None: of none."""
    match = _IMAGE.match(str(inputs.get("image")))
    return match["commit"] if match and match["commit"] == inputs.get("git_revision") else None


def build_of(inputs: Mapping[str, Any]) -> str | None:
    """Return the name of the folder in DIRECTORY whose build these inputs ran; None: of none."""
    match = _IMAGE.match(str(inputs.get("image")))
    return f"{match['commit']}-{match['command']}" if match else None


def turned(inputs: Mapping[str, Any], commit: str) -> dict[str, str]:
    """Return the code's inputs of another commit that the same command builds."""
    match = _IMAGE.match(str(inputs.get("image")))
    mark = match["command"] if match else "0" * 8
    return inputs_of(commit, f"wktriage-build:{commit}-{mark}")

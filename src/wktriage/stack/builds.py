"""A git ref becomes what a stack runs: the user's own command, in a worktree of the ref.

The worktree is made and removed by the harness; the checkout of the user stays as it is. What was
built once is not built again for the same commit and command.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from wktriage.core import git, private_files
from wktriage.core.errors import UsageError
from wktriage.core.terminal import visible
from wktriage.request.code import COMMAND, Code
from wktriage.stack.driver import Driver

SECONDS = 1800
"""As long as the compose driver's own build may take."""

OUTPUT = "output.txt"
KEPT_BYTES = 256 << 10
PRINTED_BYTES = 64 << 20
"""A command that prints more is ended: it would fill the disk."""

_LOOK_SECONDS = 1.0
_TOLD_BYTES = 300


class BuildError(UsageError):
    """A ref that could not be built: its commit, and the end of what its command printed."""

    def __init__(self, text: str, commit: str, output: bytes) -> None:
        """Take the text for a person, the commit and the output."""
        super().__init__(text)
        self.commit = commit
        self.output = output


@dataclass(frozen=True)
class Build:
    """A ref that is built; ``output`` is the end of what was printed, ``seconds`` 0 if it was."""

    code: Code
    output: bytes
    seconds: float


def there(code: Code, driver: Driver) -> bool:
    """Tell whether the ref is built already, as far as the driver can see."""
    return Path(code.directory).is_dir() and driver.unbuilt(code) is None


def build(code: Code, driver: Driver, seconds: float = SECONDS) -> Build:
    """Have the ref built; one that is built already is taken as it is.

    The command is run by ``sh -c`` in the worktree, for at most ``seconds``. Its environment has
    ``WK_BUILD_REF``, ``WK_BUILD_COMMIT``, ``WK_BUILD_WORKTREE``, ``WK_BUILD_IMAGE`` and
    ``WK_BUILD_DIRECTORY``. Raises BuildError when it fails, takes too long or does not make what
    the driver needs.
    """
    final = Path(code.directory)
    if there(code, driver):
        return Build(code, _tail(final / OUTPUT), 0.0)
    private_files.directory(final.parent)
    # Whole or not at all: the directory has its name once everything in it is there.
    fresh = final.with_name(f".{final.name}.{secrets.token_hex(8)}")
    private_files.directory(fresh)
    start = time.monotonic()
    try:
        with git.worktree(Path(code.repository), code.commit) as worktree:
            problem = _run(code, worktree, fresh, seconds)
        output = _tail(fresh / OUTPUT)
        missing = None if problem else driver.unbuilt(replace(code, directory=str(fresh)))
        if missing is not None:
            problem = f"ended well, but {missing}"
        if problem is not None:
            last = " ".join(output.decode("utf-8", "replace").split())[-_TOLD_BYTES:]
            says = f". It said: {visible(last)}" if last else ", without a word"
            kept = final.with_name(f"{final.name}.failed.txt")
            private_files.write(kept, output)
            raise BuildError(
                f"{code.name} is not built: {COMMAND} {problem}{says} (all of it: {kept})",
                code.commit,
                output,
            )
        shutil.rmtree(final, ignore_errors=True)
        with contextlib.suppress(OSError):  # somebody else was faster, with the same
            fresh.rename(final)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return Build(code, output, time.monotonic() - start)


def _run(code: Code, worktree: Path, directory: Path, seconds: float) -> str | None:
    """Run the command; return why it failed, None when it did not."""
    path = directory / OUTPUT
    with path.open("wb") as output:
        # In a group of its own, so that all that it started ends with it.
        process = subprocess.Popen(
            ["/bin/sh", "-c", code.command], cwd=worktree, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, **environment(code, worktree, directory)},
        )  # fmt: skip
        try:
            return _watched(process, path, time.monotonic() + seconds, seconds)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _watched(
    process: subprocess.Popen[bytes], path: Path, deadline: float, seconds: float
) -> str | None:
    while time.monotonic() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = process.wait(min(_LOOK_SECONDS, max(0.0, deadline - time.monotonic())))
            return None if status == 0 else f"ended with exit code {status}"
        if path.stat().st_size > PRINTED_BYTES:
            return f"printed more than {PRINTED_BYTES >> 20} MB"
    return f"was not done after {seconds:g} s"


def environment(code: Code, worktree: Path, directory: Path) -> Mapping[str, str]:
    """Return what the command is told."""
    return {
        "WK_BUILD_REF": code.ref,
        "WK_BUILD_COMMIT": code.commit,
        "WK_BUILD_WORKTREE": str(worktree),
        "WK_BUILD_IMAGE": code.image,
        "WK_BUILD_DIRECTORY": str(directory),
    }


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as output:
            output.seek(max(0, path.stat().st_size - KEPT_BYTES))
            return output.read(KEPT_BYTES)
    except OSError:
        return b""

"""The regression test of a fix: run in a worktree of a ref, several times, its output read.

Go says "ok" where no test ran and exits alike for a failed assertion and for code that does not
compile. Which of them it was is read from ``go test -json`` (test2json), never from the exit code.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import msgspec

from wktriage.core import git
from wktriage.core.errors import InfraError, UsageError
from wktriage.core.json_files import parse_object

ATTEMPTS = 5
SECONDS = 600
OUTPUT_CAP = 4 * 1024 * 1024
_ENV = re.compile(r"(GO[A-Z0-9]*|CGO_ENABLED)=\S*\Z")
_BUILD = re.compile(r"\[(build|setup) failed\]")
_TEST_FILE = re.compile(r"(_test\.go|(^|/)testdata/.+)\Z")


class Ran(StrEnum):
    """What the attempts at a test came to, all together."""

    PASSED = "passed"
    FAILED = "failed"
    NO_SUCH_TEST = "no_such_test"
    DOES_NOT_COMPILE = "does_not_compile"
    FLAKY = "flaky"
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"


class TestRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A regression test as it ran at one ref.

    ``tests`` are those that decide (failed ones, else those that ran) as ``package.Test``.
    ``output`` is what they printed in the first deciding attempt, at most 4 MB.
    """

    __test__ = False  # pytest: this is no test

    command: str
    ref: str
    commit: str
    attempts: int
    ran: Ran
    text: str
    tests: tuple[str, ...]
    output: str
    added_files: tuple[str, ...] = ()
    schema_version: int = 1


@dataclass
class Attempt:
    """One run of the command, as its events tell it."""

    ran: Ran
    tests: tuple[str, ...] = ()
    output: str = ""


@dataclass
class _Events:
    passed: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    broken: bool = False
    failed_packages: set[str] = field(default_factory=set)
    by_test: dict[str, list[str]] = field(default_factory=dict)
    other: list[str] = field(default_factory=list)


def command_words(command: str) -> tuple[dict[str, str], list[str]]:
    """Return environment and words of a ``go test`` command. Raises UsageError for another one.

    Settings of Go may stand before it (``GOWORK=off go test …``). ``-json`` and ``-count`` are the
    harness's own.
    """
    try:
        words = shlex.split(command)
    except ValueError as exc:
        raise UsageError(f"regression_test {command!r}: {exc}") from exc
    environment = {}
    while words and _ENV.match(words[0]):
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    if words[:2] != ["go", "test"] or not any(w.startswith(("-run", "--run")) for w in words):
        raise UsageError(
            f"regression_test {command!r}: must be one focused test, such as "
            "'go test ./internal/gateway -run TestDispatchIsBounded'"
        )
    taken = [w for w in words if re.match(r"--?(json|count|exec|toolexec|o|c)(=|\Z)", w)]
    if taken:
        raise UsageError(f"regression_test {command!r}: leave out {taken[0]}")
    return environment, [*words[:2], "-json", "-count=1", *words[2:]]


def read_events(text: str) -> Attempt:
    """Return what one run's output says. Lines that are no event are taken as output."""
    events = _Events()
    for line in text.splitlines():
        event = parse_object(line)
        if event is not None and isinstance(event.get("Action"), str):
            _take(events, event)
        else:
            events.other.append(line + "\n")
    other = "".join(events.other)
    if events.broken or _BUILD.search(other):
        return Attempt(Ran.DOES_NOT_COMPILE, (), other)
    # A parent fails with its subtest; the subtest is the one that says why.
    failed = {t for t in events.failed if not any(o.startswith(f"{t}/") for o in events.failed)}
    lines = [*events.other, *(line for shown in events.by_test.values() for line in shown)]
    if any("panic: test timed out" in line for line in lines):
        return Attempt(Ran.TIMED_OUT, tuple(sorted(failed)), other)
    if failed:
        shown = "".join(line for name in sorted(failed) for line in events.by_test.get(name, []))
        return Attempt(Ran.FAILED, tuple(sorted(failed)), shown)
    if events.failed_packages:
        return Attempt(Ran.CRASHED, tuple(sorted(events.failed_packages)), other)
    if events.passed:
        names = tuple(sorted(events.passed))
        shown = "".join(line for name in names for line in events.by_test.get(name, []))
        return Attempt(Ran.PASSED, names, shown)
    return Attempt(Ran.NO_SUCH_TEST, (), other)


def _take(events: _Events, event: Mapping[str, object]) -> None:
    action, test = event["Action"], event.get("Test")
    package = str(event.get("Package") or event.get("ImportPath") or "")
    output = event.get("Output")
    if action == "build-fail" or event.get("FailedBuild"):
        events.broken = True
    if isinstance(output, str):
        if isinstance(test, str):
            events.by_test.setdefault(f"{package}.{test}", []).append(output)
        else:
            events.other.append(output)
    elif isinstance(test, str):
        if action in ("pass", "fail"):
            (events.passed if action == "pass" else events.failed).add(f"{package}.{test}")
    elif action == "fail":
        events.failed_packages.add(package)


def together(attempts: Sequence[Attempt]) -> tuple[Ran, str]:
    """Return what several attempts come to, and say it."""
    kinds = {attempt.ran for attempt in attempts}
    names = ", ".join(attempts[0].tests) or "the test"
    if len(kinds) > 1 or len({attempt.tests for attempt in attempts}) > 1:
        failed = sum(attempt.ran is not Ran.PASSED for attempt in attempts)
        return Ran.FLAKY, (
            f"It is flaky: of {len(attempts)} runs of the same code {failed} failed, not all in "
            "the same way."
        )
    ran = kinds.pop()
    return ran, {
        Ran.PASSED: f"{names} passed in all {len(attempts)} runs.",
        Ran.FAILED: f"{names} failed in all {len(attempts)} runs.",
        Ran.NO_SUCH_TEST: "No test ran: Go says ok where -run matches none.",
        Ran.DOES_NOT_COMPILE: "It does not compile, which is no failed assertion.",
        Ran.CRASHED: f"The test binary of {names} ended before a test could fail.",
        Ran.TIMED_OUT: f"{names} did not end in time, which is no failed assertion.",
        Ran.FLAKY: "",
    }[ran]


def run(
    checkout: Path,
    ref: str,
    command: str,
    *,
    tests_from: str | None = None,
    attempts: int = ATTEMPTS,
    seconds: float = SECONDS,
) -> TestRun:
    """Run a regression test at ``ref`` of a checkout, in a worktree of its own.

    A new test is not in the base yet: the test files (``_test.go``, ``testdata/``) of
    ``tests_from`` are put into the worktree; without one, those that the checkout has changed or
    added. ``attempts`` are runs of the same code, ``seconds`` the limit of each. Raises UsageError
    for a ref or command that is none, InfraError without git or go.
    """
    environment, words = command_words(command)
    if shutil.which("go") is None:
        raise InfraError("go is not on PATH: install Go to run the regression test")
    commit = git.resolve(checkout, ref)
    with git.worktree(checkout, commit) as directory:
        added = _add_tests(checkout, commit, tests_from, directory)
        seen = [_attempt(directory, words, environment, seconds) for _ in range(attempts)]
    ran, text = together(seen)
    shown = next((a for a in seen if a.ran is not Ran.PASSED), seen[0])
    return TestRun(
        command, ref, commit, attempts, ran, text, shown.tests, shown.output[:OUTPUT_CAP], added
    )


def _add_tests(
    checkout: Path, commit: str, tests_from: str | None, directory: Path
) -> tuple[str, ...]:
    if tests_from is not None:
        source = git.resolve(checkout, tests_from)
        changed = _names(checkout, "diff", "--name-only", "-z", "--diff-filter=AM", commit, source)
        files = [name for name in changed if _TEST_FILE.search(name)]
        for name in files:
            shown = git.run(checkout, "show", f"{source}:{name}")
            _put(directory, name, shown.stdout)
        return tuple(files)
    changed = _names(checkout, "diff", "--name-only", "-z", "--diff-filter=AM", "HEAD")
    changed += _names(checkout, "ls-files", "-z", "--others", "--exclude-standard")
    files = sorted({name for name in changed if _TEST_FILE.search(name)})
    for name in files:
        path = checkout / name
        if path.is_file() and not path.is_symlink():
            _put(directory, name, path.read_bytes())
    return tuple(files)


def _put(directory: Path, name: str, data: bytes) -> None:
    target = directory / name
    if not target.resolve().is_relative_to(directory.resolve()):
        raise UsageError(f"{name}: lies outside of the worktree")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def _names(checkout: Path, *arguments: str) -> list[str]:
    done = git.run(checkout, *arguments)
    return [n for n in done.stdout.decode("utf-8", "surrogateescape").split("\0") if n]


def _attempt(
    directory: Path, words: Sequence[str], environment: Mapping[str, str], seconds: float
) -> Attempt:
    # To a file, which no amount of output can block; in a group of its own, so that the test
    # binary ends with the command.
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            words, cwd=directory, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, env={**os.environ, **environment}, start_new_session=True,
        )  # fmt: skip
        try:
            process.wait(seconds)
            late = False
        except subprocess.TimeoutExpired:
            late = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        text = output.read(8 * OUTPUT_CAP).decode("utf-8", "replace")
    attempt = read_events(text)
    return Attempt(Ran.TIMED_OUT, attempt.tests, attempt.output) if late else attempt

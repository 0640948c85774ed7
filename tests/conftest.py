"""What tests need of the machine, and what is said when it is not there.

A test marked ``docker``, ``browser``, ``hosts`` or ``go`` is skipped where that is missing; the
closing summary says so in one line. ``WKTRIAGE_REQUIRE=docker,browser,hosts`` (CI) turns such a
skip into a failure.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import ansible.module_utils
import pytest
from tests import sshhosts
from tests.hostprograms import oldest_python

# Modules find their helpers there, as ansible.cfg says.
ansible.module_utils.__path__.append(str(Path(__file__).parents[1] / "plugins" / "module_utils"))


def _answer(*command: str) -> str | None:
    """Return None when the command works, else the last line it said."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    return ((done.stderr or done.stdout).strip().splitlines() or ["no reason given"])[-1]


@functools.cache
def missing_docker() -> str | None:
    """Say why no Docker engine with compose v2 can be used, None when one can."""
    if shutil.which("docker") is None:
        return "no Docker here: the docker command is not on PATH"
    if why := _answer("docker", "info"):
        return f"no Docker engine here: {why}"
    if why := _answer("docker", "compose", "version"):
        return f"no Docker compose v2 here: {why}"
    return None


@functools.cache
def missing_browser() -> str | None:
    """Say why no headless Chromium can be used, None when one can."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return None if any(map(shutil.which, names)) else "no Chromium here: none on PATH"


@functools.cache
def missing_go() -> str | None:
    """Say why Go cannot be used, None when it can."""
    if shutil.which("go") is None:
        return "no Go here: the go command is not on PATH"
    return None if (why := _answer("go", "version")) is None else f"no working Go here: {why}"


def pytest_report_header() -> str:
    """Say which interpreter host programs run under."""
    shown = subprocess.run([oldest_python(), "--version"], capture_output=True, text=True)
    return f"host programs run under {shown.stdout.strip()}: {oldest_python()}"


NEEDS = {
    "docker": missing_docker,
    "browser": missing_browser,
    "hosts": sshhosts.missing,
    "go": missing_go,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what shares an engine, ports or a stack's lock on one worker, one after the other."""
    for item in items:
        if item.get_closest_marker("docker"):
            item.add_marker(pytest.mark.xdist_group("docker"))
        elif item.path.parent.name == "e2e" and not item.get_closest_marker("molecule"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what the machine cannot run, or fail where it has to."""
    required = os.environ.get("WKTRIAGE_REQUIRE", "").split(",")
    for name, missing in NEEDS.items():
        if item.get_closest_marker(name) and (why := missing()):
            if name in required:
                pytest.fail(why, pytrace=False)
            pytest.skip(why)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line each what was not run and why."""
    reasons = Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    for reason, count in reasons.items():
        terminalreporter.write_line(f"not run: {count} tests: {reason}")

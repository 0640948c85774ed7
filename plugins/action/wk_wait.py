# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Follows a host's collector until it is done, and shows what it sees."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.utils.display import Display

from wktriage.bundle.host_evidence import PROBLEM, fell_silent
from wktriage.cli import console, progress
from wktriage.cli.action_base import TriageAction
from wktriage.core.json_files import parse_object
from wktriage.run import collector_spec, interruption
from wktriage.run.lock import process_start

display = Display()
QUIET_SECONDS = 10
"""Seconds between answers of a host whose progress nobody looks at."""

POLL = """\
n=0; while [ $n -lt {seconds} ] && ! grep -q '"done":true' {file}; do n=$((n+1)); sleep 1; done
cat {file}"""
"""Shell on the host, which waits there: a way to the host costs more than all else about a poll."""

# Taken when the controller's main process loads this file; tasks run in processes without a
# terminal of their own.
PLAIN = console.is_plain(sys.stdout.isatty())
WIDTH = shutil.get_terminal_size().columns


class ActionModule(TriageAction):
    _requires_connection = True

    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        out = str(arguments["out_dir"])
        if not out or self._task.check_mode:
            return {"changed": False, "skipped": True, "done": False, "alive": False}
        watch = progress.Watch()
        self._answered, self._heard = True, time.time()
        self._controller = os.getppid()
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._interrupt)
        try:
            stalled = self._follow(arguments, watch)
        except KeyboardInterrupt:
            self._stop(arguments["python"], out)
            raise
        finally:
            self._show_live("")
        if not self._answered and arguments["clock_file"]:
            host = task_vars["inventory_hostname"]
            problem = Path(arguments["clock_file"]).with_name(f"{host}{PROBLEM}")
            problem.write_text(fell_silent(self._heard))
        return {"changed": False, **collector_spec.outcome(watch.state, stalled=stalled)}

    def _follow(self, arguments: dict[str, Any], watch: progress.Watch) -> bool:
        """Follow the collector; return whether it fell silent."""
        end = time.monotonic() + arguments["deadline_seconds"]
        show = arguments["show"]
        command = POLL.format(
            file=shlex.quote(f"{arguments['out_dir']}/state.json"),
            seconds=0 if show else QUIET_SECONDS,
        )
        due = time.monotonic()
        while True:
            state = self._ask(command)
            now = time.monotonic()
            watch.update(state, now)
            if show and PLAIN and (line := watch.line(now)) is not None:
                display.display(f"        {line}")
            elif show and not PLAIN and watch.state:
                self._show_live(progress.render(watch.state, WIDTH - 8))
            if watch.done or watch.stalled(now) or now > end:
                return not watch.done and watch.stalled(now)
            due = max(due + 1.0, now)
            time.sleep(due - now)

    def _ask(self, command: str) -> dict[str, Any] | None:
        """Return the collector's state; None when its host does not answer, or has none."""
        try:
            answer = self._low_level_execute_command(command)
        except AnsibleConnectionFailure:
            # Its collector does not need us, and the evidence is asked for once more later.
            self._answered = False
            return None
        self._answered, self._heard = True, time.time()
        lines = str(answer["stdout"]).strip().splitlines()
        return parse_object(lines[-1]) if answer["rc"] == 0 and lines else None

    @staticmethod
    def _show_live(text: str) -> None:
        if not PLAIN:
            shown = f"        {text}" if text else ""
            display.display(console.live(shown, WIDTH), screen_only=True, newline=False)

    @staticmethod
    def _interrupt(_signum: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    def _stop(self, python: str, out: str) -> None:
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, signal.SIG_IGN)
        # A process of many threads is its children's parent for a moment after its end.
        alive = process_start(self._controller) is not None
        reason = interruption.BY_USER if alive else interruption.CONTROLLER_GONE
        self._low_level_execute_command(
            shlex.join(collector_spec.command(python, out, "stop", out, "--reason", reason))
        )

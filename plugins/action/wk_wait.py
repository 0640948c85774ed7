# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Follows a host's collector until it is done, and shows what it sees."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_wait
short_description: Follow a collector until it is done
description:
  - Reads the collector's state every second and shows phase, users, messages a second, errors and
    the time left; a live line on a terminal, else a line every ten seconds and at each new phase.
  - Returns when the collector is done, when nothing was heard of it for ten seconds (it died or
    its host stands still), or at the deadline. None of these is a failure of the task.
  - On Ctrl-C the collector is asked to finish with what there is.
options:
  out_dir:
    description: Where the collector of this host works; nothing is done when empty.
    type: path
    required: true
  deadline_seconds:
    description: Stop waiting after so many seconds.
    type: float
    required: true
  python:
    description: Python of the host.
    type: str
    default: python3
  show:
    description: Whether to show progress; one host's is enough.
    type: bool
    default: true
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Does nothing in check mode.
    support: full
"""

EXAMPLES = r"""
- name: Watch the run
  wk_wait:
    out_dir: "{{ evidence_collector.out_dir }}"
    deadline_seconds: "{{ evidence_collector.deadline_seconds }}"
"""

RETURN = r"""
phase:
  description: Where the collector is.
  type: str
done:
  description: Whether it has finished.
  type: bool
alive:
  description: Whether it still runs.
  type: bool
valid:
  description: Whether the window is valid; null while it is not over.
  type: bool
reason:
  description: What is to be said about the window.
  type: str
"""

import shlex
import shutil
import signal
import sys
import time
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from wktriage.cli import console, progress
from wktriage.core.json_files import parse_object
from wktriage.run import collector_spec

display = Display()
# Taken when the controller's main process loads this file; tasks run in processes without a
# terminal of their own.
PLAIN = console.is_plain(sys.stdout.isatty())
WIDTH = shutil.get_terminal_size().columns


class ActionModule(ActionBase):
    _supports_check_mode = True
    _VALID_ARGS = frozenset({"out_dir", "deadline_seconds", "python", "show"})

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        out = str(self._task.args["out_dir"] or "")
        if not out or self._task.check_mode:
            return {"changed": False, "skipped": True, "done": False, "alive": False}
        watch = progress.Watch()
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._interrupt)
        try:
            stalled = self._follow(out, watch)
        except KeyboardInterrupt:
            self._stop(out)
            raise
        finally:
            self._show_live("")
        return {"changed": False, **collector_spec.outcome(watch.state, stalled=stalled)}

    def _follow(self, out: str, watch: progress.Watch) -> bool:
        """Follow the collector; return whether it fell silent."""
        end = time.monotonic() + float(self._task.args["deadline_seconds"])
        show = boolean(self._task.args.get("show", True))
        # Reading the file costs a tenth of what starting `collector.py poll` every second would.
        command = f"cat {shlex.quote(out)}/state.json"
        due = time.monotonic()
        while True:
            answer = self._low_level_execute_command(command)
            now = time.monotonic()
            watch.update(parse_object(answer["stdout"]) if answer["rc"] == 0 else None, now)
            if show and PLAIN and (line := watch.line(now)) is not None:
                display.display(f"        {line}")
            elif show and not PLAIN and watch.state:
                self._show_live(progress.render(watch.state, WIDTH - 8))
            if watch.done or watch.stalled(now) or now > end:
                return not watch.done and watch.stalled(now)
            due = max(due + 1.0, now)
            time.sleep(due - now)

    @staticmethod
    def _show_live(text: str) -> None:
        if not PLAIN:
            shown = f"        {text}" if text else ""
            display.display(f"\r\x1b[K{shown}\r", screen_only=True, newline=False)

    @staticmethod
    def _interrupt(_signum: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    def _stop(self, out: str) -> None:
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, signal.SIG_IGN)
        python = self._task.args.get("python", "python3")
        self._low_level_execute_command(
            shlex.join(
                [python, f"{out}/collector.py", "stop", out, "--reason", "interrupted by the user"]
            )
        )

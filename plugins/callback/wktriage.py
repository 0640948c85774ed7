"""The screen of a triage: phases with elapsed time, full causes of failures, the verdict box."""

from __future__ import annotations

DOCUMENTATION = """
name: wktriage
type: stdout
short_description: Phases with elapsed time, full causes of failures, the verdict box
description:
  - Prints one heading for each phase of a run with the time since its start.
  - On a terminal shows the task that runs now; plain lines when the output is no terminal, in CI,
    or with E(WKTRIAGE_PLAIN) set to 1.
  - A failure shows everything that the task said about its cause.
  - A play for the stack without a host of its group ends with an error that says what to do.
  - On Ctrl-C says where the bundle of the interrupted run will be.
  - Ends with a box that holds the verdict, when a task returned RV(ignore:verdict_file).
  - With C(-v) every result is shown as the default callback does.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - set as stdout in configuration
"""

import contextlib
import ctypes
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ansible import constants, context
from ansible.executor.task_result import CallbackTaskResult
from ansible.plugins.callback.default import CallbackModule as DefaultCallback

from wktriage.cli import console, inventories
from wktriage.cli.ansible import report_failure
from wktriage.core.errors import UsageError
from wktriage.core.json_files import read_object
from wktriage.core.terminal import visible
from wktriage.run import interruption
from wktriage.run.record import RunPaths

#: Roles that only tie others together: they are no phase of their own.
GLUE_ROLES = frozenset({"run"})
#: Actions that show their own progress.
TALKING_ACTIONS = ("wk_wait",)
DEBUG_ACTIONS = ("debug", "ansible.builtin.debug")
#: A task of at least this many seconds gets a line of its own.
SLOW_TASK_S = 2.0
STACK_GROUP = "wk_stack"
PR_SET_PDEATHSIG = 1


def role_path(task: Any) -> str:
    """Return the roles that a task belongs to, outermost first, glue left out."""
    names: list[str] = []
    item = task
    while item is not None:
        role = getattr(item, "_role", None)
        name = role.get_name(include_role_fqcn=False) if role else None
        if name and name not in names and name not in GLUE_ROLES:
            names.append(name)
        item = getattr(item, "_parent", None)
    return " > ".join(reversed(names))


def exception_chain(summary: Any) -> Iterator[str]:
    """Yield the messages of an error summary and its causes, and a traceback when there is one."""
    event = getattr(summary, "event", None)
    while event is not None:
        yield event.msg
        if event.formatted_traceback:
            yield event.formatted_traceback
        event = event.chain.event if event.chain else None


def tie_tasks_to_controller() -> None:
    """Make every task's process end with this one, where the system (Linux) can.

    Otherwise a controller that is killed leaves its task at work on a stack that is taken down.
    """
    try:
        prctl = ctypes.CDLL(None).prctl
    except (AttributeError, OSError):
        return

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))

    os.register_at_fork(after_in_child=tie)


class CallbackModule(DefaultCallback):
    """Prints headings; what a task says while it runs goes through Display and is left alone."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "wktriage"

    def __init__(self) -> None:
        super().__init__()
        self._started = time.monotonic()
        self._task_started = self._started
        self._phase = ""
        self._live = False
        self._task: Any = None
        self._outputs: dict[str, str] = {}
        self._outcome: list[list[str]] = []
        self._hidden = False
        self._run: RunPaths | None = None
        self._pid = os.getpid()
        self._plain = console.is_plain(sys.stdout.isatty())

    # -- lines ---------------------------------------------------------------------------------

    def _say(self, text: str, color: str | None = None) -> None:
        self._clear_live()
        self._display.display(text, color=color)

    def _clear_live(self) -> None:
        if self._live:
            self._live = False
            self._put_live("")

    def _show_live(self, text: str) -> None:
        self._put_live(text)
        sys.stdout.flush()
        self._live = True

    def _put_live(self, text: str) -> None:
        shown = console.live(text, shutil.get_terminal_size().columns)
        self._display.display(shown, screen_only=True, newline=False)

    def _clock(self) -> str:
        return console.elapsed(time.monotonic() - self._started)

    def _finish_task(self) -> None:
        """Give a task that took long a line with its time."""
        self._clear_live()
        if self._task is None:
            return
        took = time.monotonic() - self._task_started
        if took >= SLOW_TASK_S:
            self._say(f"        {visible(self._task.get_name())} ({took:.1f} s)")
        self._task = None

    # -- events --------------------------------------------------------------------------------

    def v2_playbook_on_start(self, playbook: Any) -> None:
        tie_tasks_to_controller()
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, partial(self._interrupt, signal.getsignal(signum)))
        if self._display.verbosity:
            super().v2_playbook_on_start(playbook)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._finish_task()
        if self._display.verbosity:
            super().v2_playbook_on_play_start(play)
        self._play = play
        self._phase = ""
        mode = " [check mode]" if play.check_mode else ""
        self._say(f"[{self._clock()}] {play.get_name().strip()}{mode}", constants.COLOR_HIGHLIGHT)

    def v2_playbook_on_no_hosts_matched(self) -> None:
        if STACK_GROUP not in self._play.hosts:
            super().v2_playbook_on_no_hosts_matched()
            return
        # Ansible itself would end with "done" and 0, which is not what was asked for.
        error = UsageError(
            inventories.no_hosts(STACK_GROUP, context.CLIARGS.get("inventory") or ())
        )
        report_failure(error)
        self._say(f"        {visible(str(error))}", constants.COLOR_ERROR)
        raise SystemExit(error.exit_code)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._begin(task, "TASK")

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._begin(task, "RUNNING HANDLER")

    def v2_playbook_on_include(self, included_file: Any) -> None:
        if self._display.verbosity:
            super().v2_playbook_on_include(included_file)

    def _begin(self, task: Any, prefix: str) -> None:
        self._finish_task()
        phase = role_path(task)
        if phase and phase != self._phase:
            self._phase = phase
            self._say(f"[{self._clock()}]   {phase}", constants.COLOR_HIGHLIGHT)
        if self._display.verbosity:
            self._task_start(task, prefix=prefix)
        self._task, self._task_started = task, time.monotonic()
        name = visible(task.get_name())
        if not self._plain and not task.action.rpartition(".")[2].startswith(TALKING_ACTIONS):
            self._show_live(f"[{self._clock()}]     {name} ...")

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        self._remember(result.result)
        if self._display.verbosity:
            self._clear_live()
            super().v2_runner_on_ok(result)
            return
        self._warn(result)
        message = result.result.get("msg")
        if result.task.action in DEBUG_ACTIONS and message:
            self._say("\n".join(f"        {line}" for line in self._plain_text(message)))

    def v2_runner_on_skipped(self, result: CallbackTaskResult) -> None:
        if self._display.verbosity:
            self._clear_live()
            super().v2_runner_on_skipped(result)

    def v2_runner_item_on_ok(self, result: CallbackTaskResult) -> None:
        if self._display.verbosity:
            self._clear_live()
            super().v2_runner_item_on_ok(result)
        else:
            self._warn(result)

    def v2_runner_item_on_skipped(self, result: CallbackTaskResult) -> None:
        if self._display.verbosity:
            self._clear_live()
            super().v2_runner_item_on_skipped(result)

    def v2_runner_item_on_failed(self, result: CallbackTaskResult) -> None:
        how = "failed, ignored" if result.task.ignore_errors else "FAILED"
        self._fail(result, how, f" (item={self._get_item_label(result.result)})")

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        if result.task.loop and result.result.get("results"):
            return  # every failed item was told already
        self._fail(result, "failed, ignored" if ignore_errors else "FAILED")

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        self._fail(result, "UNREACHABLE")

    def v2_runner_retry(self, result: CallbackTaskResult) -> None:
        if self._display.verbosity:
            self._clear_live()
            super().v2_runner_retry(result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._finish_task()
        if self._display.verbosity:
            super().v2_playbook_on_stats(stats)
        self._outcome_box()
        self._verdict_box()
        failed = sorted(h for h in stats.processed if stats.failures.get(h) or stats.dark.get(h))
        state = f"failed on {', '.join(failed)}" if failed else "done"
        self._say(
            f"[{self._clock()}] {state}", constants.COLOR_ERROR if failed else constants.COLOR_OK
        )

    # -- parts ---------------------------------------------------------------------------------

    @staticmethod
    def _plain_text(message: Any) -> list[str]:
        lines = message if isinstance(message, list) else str(message).splitlines()
        return [visible(str(line)) for line in lines]

    def _warn(self, result: CallbackTaskResult) -> None:
        if result.result.get("warnings") or result.result.get("deprecations"):
            self._clear_live()
            self._handle_warnings(result.result)

    def _fail(self, result: CallbackTaskResult, how: str, item: str = "") -> None:
        self._warn(result)
        task, host = result.task, self.host_label(result)
        color = constants.COLOR_UNREACHABLE if how == "UNREACHABLE" else constants.COLOR_ERROR
        chain = exception_chain(getattr(result, "exception", None))
        lines = console.cause_lines(result.result, chain)
        self._say(f"[{self._clock()}]   {how}: {task.get_name()} [{host}]{item}", color)
        self._say(f"        at {task.get_path()}")
        self._say("\n".join(f"        {line}" for line in lines), color)
        if self._display.verbosity >= 3:
            self._say(self._dump_results(result.result, indent=4))

    def _interrupt(self, previous: Any, signum: int, frame: Any) -> None:
        """Say what becomes of the run, then let Ansible end as it does."""
        if os.getpid() == self._pid:  # a task's process inherits this until it sets its own
            lines = interruption.noted(self._run)
            # What is being printed at this very moment cannot be printed into.
            with contextlib.suppress(RuntimeError):
                self._say("\n".join(lines), constants.COLOR_ERROR)
        if callable(previous):
            previous(signum, frame)

    def _remember(self, result: Any) -> None:
        if isinstance(opened := result.get("paths"), dict) and opened.get("bundle"):
            bundle = Path(str(opened["bundle"]))
            self._run = RunPaths(bundle.parent, bundle.name)
        # A single run of an experiment says nothing, and showing it would be peeking.
        self._hidden = self._hidden or bool(result.get("hides_verdicts"))
        if result.get("outcome_lines"):
            self._outcome = result["outcome_lines"]
            self._outputs = {"case_file": str(result["case_file"])}
        if result.get("verdict_file") and not self._hidden:
            self._outputs = {
                k: str(result[k])
                for k in ("verdict_file", "report_file", "summary_file")
                if result.get(k)
            }

    def _outcome_box(self) -> None:
        """Show what an experiment came to."""
        if not self._outcome:
            return
        width = max(40, min(100, shutil.get_terminal_size((100, 24)).columns - 4))
        lines = console.labelled(self._outcome, width)
        if self._plain:
            shown = [f"OUTCOME {line}" for line in lines]
        else:
            shown = console.box(lines, "outcome", width)
        self._say("\n".join(shown), constants.COLOR_CHANGED)
        self._say(f"case:     {visible(self._outputs['case_file'])}")

    def _verdict_box(self) -> None:
        path = self._outputs.get("verdict_file")
        if not path or not Path(path).is_file():
            return
        verdict = read_object(Path(path)) or {}
        width = max(40, min(100, shutil.get_terminal_size((100, 24)).columns - 4))
        lines = console.verdict_lines(verdict, width)
        if self._plain:
            shown = [f"VERDICT {line}" for line in lines]
        else:
            shown = console.box(lines, "verdict", width)
        color = (
            constants.COLOR_OK if verdict.get("category") == "healthy" else constants.COLOR_CHANGED
        )
        self._say("\n".join(shown), color)
        if command := console.command_lines(verdict):
            self._say("\n".join(command))
        for key in ("report_file", "summary_file"):
            if key in self._outputs:
                self._say(f"{key.partition('_')[0] + ':':<9} {visible(self._outputs[key])}")

"""The one place that starts Ansible: runs a playbook of this project and says how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_runner.interface import init_command_config

from wktriage.cli import inventories
from wktriage.core.errors import InfraError, TriageError
from wktriage.core.json_files import read_object
from wktriage.core.paths import PROJECT, cache_dir

RESULT_FILE = "WKTRIAGE_RESULT_FILE"
PLAIN = "WKTRIAGE_PLAIN"
NOT_STARTED = 254  # what ansible-runner says when the command itself could not run
COMMAND_SECONDS = 60
"""How long a command on a host may take, the way there included."""

INTERRUPTED = frozenset({99, 130, -2})  # ansible-playbook's own code for Ctrl-C, and the shell's


@dataclass(frozen=True)
class Outcome:
    """How a playbook ended: Ansible's code, and what its plugins told us.

    ``exit_code`` and ``message`` are of the last error of ours, ``bundle`` is where the run's
    evidence goes.
    """

    rc: int
    exit_code: int | None = None
    message: str | None = None
    bundle: Path | None = None

    @property
    def interrupted(self) -> bool:
        """Whether the user ended it."""
        return self.rc in INTERRUPTED


def tell(**facts: Any) -> None:
    """Leave facts of a plugin where the ``wktriage`` command finds them; later ones win.

    Without that command (plain ansible-playbook) there is nobody to tell.
    """
    where = os.environ.get(RESULT_FILE)
    if where:
        Path(where).write_text(json.dumps({**_facts(Path(where)), **facts}))


def report_failure(exc: TriageError) -> None:
    """Leave a plugin's error, with its exit code."""
    tell(exit_code=exc.exit_code, message=str(exc))


def _facts(where: Path) -> dict[str, Any]:
    return read_object(where) or {}


def _await_children() -> None:
    # Ansible was killed but is not gone yet, and until then the run seems to go on.
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def run_playbook(
    playbook: str, extra_vars: Mapping[str, Any], *, inventory: str | None = None
) -> Outcome:
    """Run a playbook of the project with the terminal passed through, and wait for it.

    SIGINT and SIGTERM end Ansible, and count as an interruption.

    ``inventory`` is a folder of the project's ``inventory/`` by its name, or a path. Raises
    UsageError when there is no such inventory.
    """
    # ansible-runner silently takes env/extravars of an earlier run in the same directory.
    with tempfile.TemporaryDirectory(prefix="wktriage-") as private:
        result = Path(private) / "result.json"
        extra_file = Path(private) / "extra-vars.json"
        extra_file.write_text(json.dumps(dict(extra_vars)))
        argv = [str(PROJECT / playbook), "--extra-vars", f"@{extra_file}"]
        if inventory is not None:
            argv += ["--inventory", inventories.resolve(inventory)]
        runner = init_command_config(
            str(Path(sys.executable).with_name("ansible-playbook")),
            cmdline_args=argv,
            private_data_dir=private,
            host_cwd=str(Path.cwd()),
            runner_mode="subprocess",
            input_fd=subprocess.DEVNULL,
            output_fd=sys.stdout,
            error_fd=sys.stderr,
            quiet=True,
        )
        env = runner.config.env
        # The runner's own callback marks its events with control codes in the output. Nobody
        # reads them here, and the terminal belongs to ours.
        for name in ("ANSIBLE_STDOUT_CALLBACK", "ANSIBLE_CALLBACK_PLUGINS"):
            env.pop(name, None)
        env["ANSIBLE_CONFIG"] = str(PROJECT / "ansible.cfg")
        # What ansible.cfg says is beside it, where an installed wheel writes nothing.
        env["ANSIBLE_LOCAL_TEMP"] = str(cache_dir() / "ansible")
        env[RESULT_FILE] = str(result)
        if not sys.stdout.isatty():
            env[PLAIN] = "1"
        sys.stdout.flush()
        # Ended from outside is ended like by its user: Ansible ends, and the bundle is finished.
        previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            runner.run()
            rc = int(runner.rc)
        except KeyboardInterrupt:
            rc = -2
            _await_children()
        finally:
            signal.signal(signal.SIGTERM, previous)
        if rc == NOT_STARTED:
            raise InfraError("ansible-playbook could not be started: install wktriage again")
        facts = _facts(result)
    bundle = facts.get("bundle")
    return Outcome(
        rc, facts.get("exit_code"), facts.get("message"), None if bundle is None else Path(bundle)
    )


def run_on_host(inventory: str, host: str, argv: Sequence[str]) -> str:
    """Run a command on a host of an inventory, and return its output. Raises InfraError."""
    with tempfile.TemporaryDirectory(prefix="wktriage-") as answers:
        try:
            done = subprocess.run(
                [
                    str(Path(sys.executable).with_name("ansible")),
                    host,
                    *("-i", inventories.resolve(inventory), "--tree", answers),
                    *("-m", "ansible.builtin.command", "-a", json.dumps({"argv": list(argv)})),
                ],
                capture_output=True,
                text=True,
                check=False,
                timeout=COMMAND_SECONDS,
                env={**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")},
            )
        except subprocess.TimeoutExpired:
            raise InfraError(f"{host}: no answer within {COMMAND_SECONDS} s") from None
        answer = read_object(Path(answers) / host) or {}
    if answer.get("rc") != 0:
        problem = answer.get("stderr") or answer.get("msg") or done.stderr.strip() or "no answer"
        raise InfraError(f"{host}: {' '.join(argv)}: {problem}")
    return str(answer.get("stdout", ""))

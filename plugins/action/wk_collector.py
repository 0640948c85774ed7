# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Starts the collector on a host, and has it packed there when it is done."""

from __future__ import annotations

import json
import shlex
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail

from wktriage.bundle.clocks import Reading, correction
from wktriage.cli.action_base import TriageAction
from wktriage.core import topology, zipapps
from wktriage.core.json_files import parse_object
from wktriage.run import clocks, collector_spec

STOP_SECONDS = 90.0
MAKE = """\
umask 077; first={out}
while [ ! -e "$(dirname "$first")" ]; do first=$(dirname "$first"); done
mkdir -p {out} && printf %s "$first" > {out}/made && cp {copies} {out}/"""
REMOVE = """\
[ -f {out}/made ] || exit 0
first=$(cat {out}/made); rm -rf {out} && echo removed; above=$(dirname {out})
while [ "${{#above}}" -ge "${{#first}}" ] && rmdir "$above" 2>/dev/null; do
above=$(dirname "$above"); done; true"""
"""Shell on the host. What was not there before goes again, as far as it is empty."""

NOTHING = {"changed": False, "out_dir": "", "lead": False, "deadline_seconds": 0.0}


class ActionModule(TriageAction):
    TRANSFERS_FILES = True
    _requires_connection = True

    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        host = task_vars["inventory_hostname"]
        out = collector_spec.out_dir(arguments["host_dir"], host)
        if self._task.check_mode:
            return {**NOTHING, "changed": True, "tar": ""}
        if arguments["state"] == "started":
            return self._start(host, out, arguments)
        if arguments["state"] == "removed":
            return self._remove(out)
        return self._pack(out, arguments)

    def _start(self, host: str, out: str, arguments: dict[str, Any]) -> dict[str, Any]:
        settings = dict(arguments["spec"])
        if not settings.get("stack_started_at"):
            settings["stack_started_at"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        stack = topology.load(Path(arguments["topology_file"]))
        if not collector_spec.concerns(stack, host):
            return dict(NOTHING)
        reading = self._read_clock("before", arguments)
        document = collector_spec.spec(
            stack, host, out, clock_ahead_s=correction(reading), **settings
        )
        tmp = self._make_tmp_path()
        try:
            names = (collector_spec.PROGRAM, "spec.json")
            files = [self._connection._shell.join_path(tmp, name) for name in names]
            self._transfer_data(files[0], zipapps.content("wkcollect"))
            self._transfer_data(files[1], json.dumps(document))
            self._fixup_perms2([tmp, *files])
            quoted = shlex.quote(out)
            copies = " ".join(shlex.quote(f) for f in files)
            self._shell(MAKE.format(out=quoted, copies=copies))
        finally:
            self._remove_tmp_path(tmp)
        self._collector(arguments["python"], out, "start", f"{out}/spec.json")
        return {
            "changed": True,
            "out_dir": out,
            "lead": document["lead"],
            "deadline_seconds": collector_spec.deadline_seconds(document),
        }

    def _remove(self, out: str) -> dict[str, Any]:
        # The controller's own files of a run lie where the collector works there.
        if self._connection.transport == "local":
            return {"changed": False, "tar": ""}
        removed = self._shell(REMOVE.format(out=shlex.quote(out)))
        return {"changed": "removed" in removed, "tar": ""}

    def _pack(self, out: str, arguments: dict[str, Any]) -> dict[str, Any]:
        quoted = shlex.quote(out)
        if self._low_level_execute_command(f"test -e {quoted}/state.json")["rc"] != 0:
            return {"changed": False, "tar": ""}
        python = arguments["python"]
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            state = parse_object(self._collector(python, out, "poll", out)) or {}
            if state.get("done") or not state.get("alive"):
                break
            self._collector(python, out, "stop", out, "--reason", arguments["reason"])
            time.sleep(0.5)
        self._read_clock("after", arguments)
        target = f"{out}/evidence.tar.gz"
        self._collector(python, out, "pack", out, target)
        return {"changed": True, "tar": target}

    def _read_clock(self, moment: str, arguments: dict[str, Any]) -> Reading:
        command = shlex.join([arguments["python"], *clocks.COMMAND])
        reading = clocks.measure(lambda: float(self._shell(command)))
        clocks.note(Path(arguments["clock_file"]), moment, reading)
        return reading

    def _collector(self, python: str, out: str, *command: str) -> str:
        return self._shell(shlex.join(collector_spec.command(python, out, *command)))

    def _shell(self, command: str) -> str:
        done = self._low_level_execute_command(command)
        if done["rc"] != 0:
            message = (done["stderr"] or done["stdout"]).strip()
            raise AnsibleActionFail(f"{command.split(' ')[0]}: {message or 'no message'}")
        return str(done["stdout"])

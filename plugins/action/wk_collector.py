# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Starts the collector on a host, and fetches what it has when it is done."""

from __future__ import annotations

import json
import shlex
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError

from wktriage.bundle.clocks import correction
from wktriage.bundle.host_evidence import PROBLEM
from wktriage.cli.action_base import TriageAction
from wktriage.core import topology, zipapps
from wktriage.core.errors import TriageError
from wktriage.run import clocks, collector_spec, transfer

MAKE = """\
umask 077; first={out}
while [ ! -e "$(dirname "$first")" ]; do first=$(dirname "$first"); done
mkdir -p {out} && printf %s "$first" > {out}/made"""
REMOVE = """\
[ -f {out}/made ] || exit 0
first=$(cat {out}/made); rm -rf {out}; above=$(dirname {out})
while [ "${{#above}}" -ge "${{#first}}" ] && rmdir "$above" 2>/dev/null; do
above=$(dirname "$above"); done; true"""
"""Shell on the host. What was not there before goes again, as far as it is empty."""

UNPACK = f"""\
import sys
for name, size in (("{collector_spec.PROGRAM}", int(sys.argv[1])), ("spec.json", -1)):
    open(sys.argv[2] + "/" + name, "wb").write(sys.stdin.buffer.read(size))"""
"""Python on the host that takes program and spec, one after the other."""

NOTHING = {"changed": False, "out_dir": "", "lead": False, "deadline_seconds": 0.0}


class ActionModule(TriageAction):
    _requires_connection = True

    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        host = task_vars["inventory_hostname"]
        out = collector_spec.out_dir(arguments["host_dir"], host)
        if self._task.check_mode:
            return {**NOTHING, "changed": True, "archive": "", "bytes": 0}
        problem = Path(arguments["clock_file"]).with_name(f"{host}{PROBLEM}")
        try:
            if arguments["state"] == "started":
                return self._start(host, out, arguments)
            return self._collect(out, arguments)
        except (AnsibleError, TriageError) as exc:
            # Where the run's files are gone, or the disk is full, this hides no other reason.
            with suppress(OSError):
                problem.parent.mkdir(exist_ok=True)
                if not problem.exists():
                    problem.write_text(str(exc))
            raise

    def _start(self, host: str, out: str, arguments: dict[str, Any]) -> dict[str, Any]:
        settings = dict(arguments["spec"])
        if not settings.get("stack_started_at"):
            settings["stack_started_at"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        stack = topology.load(Path(arguments["topology_file"]))
        if not collector_spec.concerns(stack, host):
            return dict(NOTHING)
        ask_time = shlex.join([arguments["python"], *clocks.COMMAND])
        reading = clocks.measure(lambda: clocks.told(self._shell(ask_time)))
        clocks.note(Path(arguments["clock_file"]), "before", reading)
        document = collector_spec.spec(
            stack, host, out, clock_ahead_s=correction(reading), **settings
        )
        # One way there for all of it: on a busy controller each takes its time.
        program = zipapps.content("wkcollect")
        quoted, python = shlex.quote(out), arguments["python"]
        unpack = shlex.join([python, "-c", UNPACK, str(len(program)), out])
        start = shlex.join(collector_spec.command(python, out, "start", f"{out}/spec.json"))
        self._shell(
            f"{MAKE.format(out=quoted)} && {unpack} && {start}",
            program + json.dumps(document).encode(),
        )
        return {
            "changed": True,
            "out_dir": out,
            "lead": document["lead"],
            "deadline_seconds": collector_spec.deadline_seconds(document),
        }

    def _collect(self, out: str, arguments: dict[str, Any]) -> dict[str, Any]:
        python, quoted = arguments["python"], shlex.quote(out)
        archive, packed = Path(arguments["archive"]), f"{out}/evidence.tar.gz"
        pack = collector_spec.command(
            python, out, "pack", out, packed, "--stop", arguments["reason"]
        )

        def send(offset: int, length: int) -> str:
            argv = [python, "-c", transfer.SEND, packed, str(offset), str(length)]
            return shlex.join(argv)

        # One way there for both: most evidence is smaller than one piece.
        offer = transfer.offered(
            self._shell(
                f"if [ -e {quoted}/state.json ]; then {shlex.join(pack)} && "
                f"{send(0, transfer.PIECE_BYTES)}; else echo {transfer.NOTHING}; fi"
            )
        )
        if offer is None:
            return {"changed": False, "archive": "", "bytes": 0}
        transfer.fetch(
            lambda offset, length: self._shell(send(offset, length)),
            offer,
            archive,
            broken=AnsibleError,
        )
        ends = shlex.join([python, *clocks.COMMAND])
        # The controller's own files of a run lie where the collector works there.
        if not arguments["keep"] and self._connection.transport != "local":
            ends += f"\n{REMOVE.format(out=quoted)}"
        before = time.time()
        there = clocks.told(self._shell(ends))
        reading = clocks.between(before, there, time.time())
        clocks.note(Path(arguments["clock_file"]), "after", reading)
        return {"changed": True, "archive": str(archive), "bytes": offer.size}

    def _shell(self, command: str, data: bytes | None = None) -> str:
        done = self._low_level_execute_command(command, in_data=data)
        if done["rc"] != 0:
            raise AnsibleActionFail((done["stderr"] or done["stdout"]).strip() or "no message")
        return str(done["stdout"])

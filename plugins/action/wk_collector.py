# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Starts the collector on a host, and has it packed there when it is done."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_collector
short_description: Start a host's collector, or pack what it has
description:
  - C(op=start) copies the collector to the host and starts it, detached. Nothing is started on a
    host that has no node and no simulator of the stack.
  - C(op=pack) packs the evidence there. A collector that still runs is asked to finish first.
options:
  op:
    description: What to do.
    type: str
    required: true
    choices: [start, pack]
  host_dir:
    description: Directory on the host for this run; the collector works in a directory below it.
    type: path
    required: true
  python:
    description: Python of the host, 3.8 or newer.
    type: str
    default: python3
  topology_file:
    description: The stack's topology (C(start)).
    type: path
  spec:
    description:
      - What to collect (C(start)), with run_id, window_seconds, profile_seconds, ready_timeout,
        settle, interval, series_interval, docker_socket, stack_started_at and hide_proc.
    type: dict
  reason:
    description: Why a collector that still runs has to stop (C(pack)).
    type: str
    default: the run ended
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Does nothing in check mode.
    support: full
"""

EXAMPLES = r"""
- name: Start the collector
  wk_collector:
    op: start
    host_dir: /var/tmp/wktriage/run1
    topology_file: /path/on/controller/topology.json
    spec: "{{ evidence_spec }}"
"""

RETURN = r"""
out_dir:
  description: Where the collector of this host works; empty when none is needed.
  type: path
  returned: op=start
lead:
  description: Whether this host has the simulator.
  type: bool
  returned: op=start
deadline_seconds:
  description: After how many seconds it should long have finished.
  type: float
  returned: op=start
tar:
  description: The packed evidence on the host; empty when there is none.
  type: path
  returned: op=pack
"""

import json
import shlex
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from wktriage.core import topology
from wktriage.core.errors import TriageError
from wktriage.core.json_files import parse_object
from wktriage.run import collector_spec

STOP_SECONDS = 90.0


class ActionModule(ActionBase):
    TRANSFERS_FILES = True
    _supports_check_mode = True
    _VALID_ARGS = frozenset({"op", "host_dir", "python", "topology_file", "spec", "reason"})

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        host = (task_vars or {})["inventory_hostname"]
        out = collector_spec.out_dir(str(self._task.args["host_dir"]), host)
        if self._task.check_mode:
            return {"changed": False, "skipped": True, "out_dir": "", "lead": False, "tar": ""}
        if self._task.args["op"] == "start":
            return self._start(host, out)
        return self._pack(out)

    def _start(self, host: str, out: str) -> dict[str, Any]:
        args = self._task.args
        wanted = dict(args["spec"])
        if not wanted.get("stack_started_at"):
            wanted["stack_started_at"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        try:
            stack = topology.load(Path(args["topology_file"]))
            document = collector_spec.spec(stack, host, out, **wanted)
        except TriageError as exc:
            raise AnsibleActionFail(str(exc)) from None
        if document is None:
            return {"changed": False, "out_dir": "", "lead": False, "deadline_seconds": 0.0}
        tmp = self._make_tmp_path()
        try:
            files = [
                self._connection._shell.join_path(tmp, n) for n in ("collector.py", "spec.json")
            ]
            self._transfer_file(str(collector_spec.COLLECTOR), files[0])
            self._transfer_data(files[1], json.dumps(document))
            self._fixup_perms2([tmp, *files])
            quoted = shlex.quote(out)
            copies = " ".join(shlex.quote(f) for f in files)
            self._shell(f"umask 077 && mkdir -p {quoted} && cp {copies} {quoted}/")
        finally:
            self._remove_tmp_path(tmp)
        self._collector(out, "start", f"{out}/spec.json")
        return {
            "changed": True,
            "out_dir": out,
            "lead": document["lead"],
            "deadline_seconds": collector_spec.deadline_seconds(document),
        }

    def _pack(self, out: str) -> dict[str, Any]:
        quoted = shlex.quote(out)
        if self._low_level_execute_command(f"test -e {quoted}/state.json")["rc"] != 0:
            return {"changed": False, "tar": ""}
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            state = parse_object(self._collector(out, "poll", out)) or {}
            if state.get("done") or not state.get("alive"):
                break
            self._collector(
                out, "stop", out, "--reason", self._task.args.get("reason", "the run ended")
            )
            time.sleep(0.5)
        target = f"{out}/evidence.tar.gz"
        self._collector(out, "pack", out, target)
        return {"changed": True, "tar": target}

    def _collector(self, out: str, *command: str) -> str:
        python = self._task.args.get("python", "python3")
        return self._shell(shlex.join([python, f"{out}/collector.py", *command]))

    def _shell(self, command: str) -> str:
        done = self._low_level_execute_command(command)
        if done["rc"] != 0:
            said = (done["stderr"] or done["stdout"]).strip()
            raise AnsibleActionFail(f"{command.split(' ')[0]}: {said or 'no message'}")
        return str(done["stdout"])

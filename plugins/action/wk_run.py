# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Keeps the record of a run while it runs: where it is, how long each phase took, what failed."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_run
short_description: Keep the record of a run
description:
  - C(op=begin) opens a run, C(op=mark) ends a phase of it, C(op=end) closes it.
  - C(op=refer) notes the baseline that vouches for a run, C(op=refuse) makes the bundle of a run
    that its failed baseline kept from starting.
  - C(op=finalise) finishes the bundles of runs whose controller is gone.
  - Runs on the controller.
options:
  op:
    description: What to do.
    type: str
    required: true
    choices: [begin, mark, end, refer, refuse, finalise]
  params:
    description: The checked request.
    type: dict
    required: true
  purpose:
    description: What the run is for (C(begin), C(refuse)).
    type: str
    default: target
  boot_id:
    description: Boot of the hosts (C(begin), C(refuse)).
    type: str
  phase:
    description: Name of the phase that ends now (C(mark), C(end)).
    type: str
  since:
    description: When the request was taken, as ISO 8601 UTC (C(begin)).
    type: str
  failed:
    description: Which task failed and with what message (C(mark)).
    type: dict
  baseline:
    description: Bundle directory of the baseline (C(refer), C(refuse)).
    type: path
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Does nothing in check mode.
    support: none
"""

EXAMPLES = r"""
- name: Open the run
  wk_run:
    op: begin
    params: "{{ wk_params }}"
"""

RETURN = r"""
paths:
  description: Where the run keeps its files.
  type: dict
  returned: op=begin
wall:
  description: Seconds that each phase took.
  type: dict
  returned: op=mark and op=end
refused:
  description: Whether the run must not start.
  type: bool
  returned: op=refer and op=refuse
reference:
  description: File that refers to the baseline.
  type: path
  returned: op=refer
finalised:
  description: Bundles that were finished.
  type: list
  elements: str
  returned: op=finalise
"""

import os
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from wktriage.cli.ansible import report_failure
from wktriage.core.errors import TriageError
from wktriage.request.request import Request, from_dict
from wktriage.run import planning, recovery
from wktriage.run.baseline import BaselineFailedError
from wktriage.run.record import RunPaths, begin, end, mark

SPEC = {
    "op": {
        "type": "str",
        "required": True,
        "choices": ["begin", "mark", "end", "refer", "refuse", "finalise"],
    },
    "params": {"type": "dict", "required": True},
    "purpose": {"type": "str", "default": "target"},
    "boot_id": {"type": "str"},
    "phase": {"type": "str"},
    "since": {"type": "str"},
    "failed": {"type": "dict"},
    "baseline": {"type": "path"},
}


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(SPEC)
        wanted = from_dict(args["params"])
        paths = RunPaths(Path(wanted.runs_dir), wanted.bundle_id)
        try:
            match args["op"]:
                case "begin":
                    document = self._document(wanted, args)
                    begin(paths, document, pid=os.getppid(), since=args["since"])
                    recovery.guard_run(paths, os.getppid())
                    return {"changed": True, "paths": paths.as_dict()}
                case "mark":
                    wall = mark(paths, args["phase"], failed=args["failed"])
                    return {"changed": True, "wall": wall}
                case "end":
                    wall = mark(paths, args["phase"])
                    end(paths)
                    return {"changed": True, "wall": wall}
                case "refer":
                    reference = recovery.refer(paths, Path(args["baseline"]))
                    return {"changed": True, "refused": False, "reference": str(reference)}
                case "refuse":
                    bundle = recovery.refuse(
                        paths,
                        self._document(wanted, args),
                        Path(args["baseline"]),
                        pid=os.getppid(),
                    )
                    why = f"not started, its baseline is not healthy: {bundle}"
                    report_failure(BaselineFailedError(why))
                    return {"changed": True, "refused": True, "reference": "", "msg": why}
                case _:
                    done = recovery.finalise_all(Path(wanted.runs_dir))
                    return {"changed": bool(done), "finalised": [str(b) for b in done]}
        except TriageError as exc:
            report_failure(exc)
            raise AnsibleActionFail(str(exc)) from None

    def _document(self, wanted: Request, args: dict[str, Any]) -> dict[str, Any]:
        return planning.run_document(
            wanted,
            purpose=args["purpose"],
            boot_id=args["boot_id"],
            replay_of=wanted.incident,
        )

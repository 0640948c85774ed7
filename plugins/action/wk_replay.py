# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Says which stand-in of a recorded incident runs where, and exports the topology."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_replay
short_description: Plan a replayed stack
description:
  - C(op=plan) finds the incident and says what each host needs.
  - C(op=identify) writes stack.json, C(op=export) topology.json too.
  - Runs on the controller.
options:
  op:
    description: What to do.
    type: str
    required: true
    choices: [plan, identify, export]
  incident:
    description: Id of the incident (C(plan)).
    type: str
  hosts:
    description: Inventory names of the hosts that serve it (C(plan)).
    type: list
    elements: str
  plan:
    description: What C(plan) returned (C(identify), C(export)).
    type: dict
  ports:
    description: The ports that each host's stand-ins hold, by name (C(export)).
    type: dict
  project:
    description: Name of the stack (C(identify), C(export)).
    type: str
  address:
    description: Where the stand-ins listen and are reached (C(plan)).
    type: str
  work_dir:
    description: Directory of the run's own files (C(identify), C(export)).
    type: path
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Writes nothing in check mode.
    support: full
"""

EXAMPLES = r"""
- name: Find the incident
  wk_replay:
    op: plan
    incident: p01
    hosts: [localhost]
    address: 127.0.0.1
"""

RETURN = r"""
plan:
  description: Incident, archive, and for each host the arguments of its stand-ins.
  type: dict
  returned: op=plan
"""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from wktriage.errors import TriageError
from wktriage.replay import stack


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset(
        {"op", "incident", "hosts", "plan", "ports", "project", "address", "work_dir"}
    )

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        args = self._task.args
        try:
            if args["op"] == "plan":
                root = Path(__file__).resolve().parents[2]
                return {
                    "changed": False,
                    "plan": stack.plan(root, args["incident"], args["hosts"], args["address"]),
                }
            if self._task.check_mode:
                return {"changed": args["op"] == "export"}
            if args["op"] == "identify":
                stack.identify(
                    args["plan"], project_name=args["project"], work_dir=Path(args["work_dir"])
                )
                return {"changed": False}
            stack.write(
                args["plan"],
                args["ports"],
                project_name=args["project"],
                work_dir=Path(args["work_dir"]),
            )
            return {"changed": True}
        except TriageError as exc:
            raise AnsibleActionFail(str(exc)) from exc

# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Judges what the hosts' probes and the engine say before a run starts."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_preflight
short_description: Check engine, image, ports, disk and clocks before a run
description:
  - Runs on the controller, over what M(wk_host_probe) found on each host.
  - Every failure says what to do. Warnings do not stop a run.
options:
  params:
    description: The checked request.
    type: dict
    required: true
  probes:
    description: Result of M(wk_host_probe) by host.
    type: dict
    required: true
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Reads only.
    support: full
"""

EXAMPLES = r"""
- name: Judge the host
  wk_preflight:
    params: "{{ wk_params }}"
    probes: {localhost: "{{ preflight_host.probe }}"}
"""

RETURN = r"""
boot_id:
  description: One mark for the boot of all hosts, null when a host can't tell.
  type: str
  returned: success
notes:
  description: What was found, in words.
  type: list
  elements: str
  returned: success
"""

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from wktriage.cli.ansible import report_failure
from wktriage.core.errors import TriageError
from wktriage.request.request import from_dict
from wktriage.run import preflight
from wktriage.stack.compose.engine import DockerCli

SPEC = {
    "params": {"type": "dict", "required": True},
    "probes": {"type": "dict", "required": True},
}


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(SPEC)
        wanted = from_dict(args["params"])
        try:
            found = preflight.run(wanted, args["probes"], DockerCli())
        except TriageError as exc:
            report_failure(exc)
            raise AnsibleActionFail(str(exc)) from None
        for warning in found.warnings:
            self._display.warning(warning)
        boots = {h: p.get("boot_id") for h, p in args["probes"].items()}
        return {
            "changed": False,
            "boot_id": preflight.boot_id(boots),
            "notes": [*found.notes, *found.warnings],
            "msg": preflight.describe([*found.notes, *found.warnings]),
        }

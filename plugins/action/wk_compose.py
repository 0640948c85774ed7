# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Brings the compose stack of the harness into a state."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_compose
short_description: Bring the harness's compose stack into a state
description:
  - Uses the WuKongIM checkout's own compose file, read-only, with an override file beside the run.
  - Runs on the controller, where the Docker command line is.
options:
  state:
    description:
      - C(absent), stopped and removed, data kept.
      - C(identified), the image is there and known.
      - C(created), containers exist on the data the mode asks for, and nothing runs.
      - C(started), all nodes run. C(loaded), the simulator runs too.
    type: str
    required: true
    choices: [absent, identified, created, started, loaded]
  params:
    description: The checked request.
    type: dict
    required: true
  work_dir:
    description: The harness's own folder of the run. Not needed for C(absent).
    type: path
    default: ''
  sim_env:
    description: Variables of the simulator. Needed for C(created).
    type: dict
    default: {}
  host:
    description: Inventory name of the host where the containers run.
    type: str
    default: localhost
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Changes nothing and says what would change.
    support: partial
"""

EXAMPLES = r"""
- name: Create the stack
  wk_compose:
    state: created
    params: "{{ wk_params }}"
    work_dir: /srv/runs/.work/x
    sim_env: {WK_SIM_USERS: "40"}
"""

RETURN = r"""
stack:
  description: What the stack is (also written to C(work_dir/stack.json)).
  type: dict
  returned: state is identified or created
"""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from wktriage.cli.ansible import report_failure
from wktriage.core import json_files
from wktriage.core.errors import TriageError
from wktriage.request.request import Request, from_dict
from wktriage.stack.compose.engine import DockerCli
from wktriage.stack.compose.stack import ComposeStack, Spec, remove

SPEC = {
    "state": {
        "type": "str",
        "required": True,
        "choices": ["absent", "identified", "created", "started", "loaded"],
    },
    "params": {"type": "dict", "required": True},
    "work_dir": {"type": "path", "default": ""},
    "sim_env": {"type": "dict", "default": {}},
    "host": {"type": "str", "default": "localhost"},
}


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(SPEC)
        wanted = from_dict(args["params"])
        if self._task.check_mode:
            return {"changed": args["state"] not in {"absent", "identified"}}
        try:
            if args["state"] == "absent":
                return {"changed": remove(DockerCli(), wanted.project)}
            return self._reach(args, wanted)
        except TriageError as exc:
            report_failure(exc)
            raise AnsibleActionFail(str(exc)) from None

    def _reach(self, args: dict[str, Any], wanted: Request) -> dict[str, Any]:
        state = args["state"]
        work_dir = Path(args["work_dir"])
        work_dir.mkdir(parents=True, exist_ok=True)
        spec = Spec.of(
            wanted,
            work_dir=work_dir,
            sim_env=args["sim_env"],
            host=args["host"],
        )
        stack = ComposeStack(spec, DockerCli())
        if state == "started":
            return {"changed": stack.started()}
        if state == "loaded":
            return {"changed": stack.loaded()}
        facts = stack.identified() if state == "identified" else stack.created()
        json_files.write(work_dir / "stack.json", facts)
        if state == "created" and facts["mode_measured"] not in {None, wanted.mode}:
            self._display.warning(
                f"mode={wanted.mode} was asked, and the data makes this run "
                f"{facts['mode_measured']}: it is recorded as that"
            )
        changed = state == "created" or bool(facts["image_built"])
        return {"changed": changed, "stack": facts}

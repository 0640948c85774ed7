# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Guards that run on the controller: what was asked, the stack's lock, the baseline gate."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_guard
short_description: Refuse what cannot or must not be done
description:
  - C(check=inputs) validates the extra vars and returns the checked request.
  - C(check=lock) takes the lock of the stack for this playbook run, C(check=unlock) gives it back.
  - C(check=baseline) looks for the healthy smoke-default that a stack needs before anything else.
  - C(check=outcome) gives the lock back and fails when the verdict is not healthy, unless
    C(fail_on=never) was asked.
  - Runs on the controller and touches no host.
options:
  check:
    description: Which guard.
    type: str
    required: true
    choices: [inputs, lock, unlock, baseline, outcome]
  params:
    description: The checked request (all but C(inputs)).
    type: dict
  needs_stack:
    description: Whether a stack will be brought up (C(inputs)); tearing down needs no checkout.
    type: bool
    default: true
  identity_file:
    description: What the driver tells of the stack (C(baseline)).
    type: path
  boot_id:
    description: Boot of the hosts (C(baseline)).
    type: str
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Only reads, but for the lock, which check mode leaves alone.
    support: full
"""

EXAMPLES = r"""
- name: Check what was asked
  wk_guard:
    check: inputs
  register: wk_guarded
"""

RETURN = r"""
params:
  description: The checked request.
  type: dict
  returned: check=inputs
ports:
  description: TCP ports that the stack will listen on.
  type: list
  elements: int
  returned: check=inputs
wall:
  description: Seconds that each phase took.
  type: dict
  returned: check=outcome
baseline:
  description: Directory of the baseline's bundle, empty when there is none.
  type: str
  returned: check=baseline
candidate:
  description: The baseline that a replayed incident names, healthy or not.
  type: str
  returned: check=baseline
rejected:
  description: Candidates that were no baseline, each with the reason.
  type: list
  elements: str
  returned: check=baseline
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

from wktriage.cli import exit_codes
from wktriage.cli.ansible import report_failure, tell
from wktriage.core.errors import TriageError
from wktriage.core.times import utc_now
from wktriage.incidents import library
from wktriage.judging.verdict import verdict_of
from wktriage.request.request import KNOWN, Request, check_names, from_dict, validate
from wktriage.run import lock, preflight
from wktriage.run.baseline import Identity, find_baseline
from wktriage.run.record import RunPaths, mark

ROOT = Path(__file__).resolve().parents[2]

SPEC: dict[str, Any] = {
    "check": {
        "type": "str",
        "required": True,
        "choices": ["inputs", "lock", "unlock", "baseline", "outcome"],
    },
    "params": {"type": "dict"},
    "needs_stack": {"type": "bool", "default": True},
    "identity_file": {"type": "path"},
    "boot_id": {"type": "str"},
}


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        needs = [(c, ["params"]) for c in SPEC["check"]["choices"] if c != "inputs"]
        _, args = self.validate_argument_spec(SPEC, required_if=[("check", *n) for n in needs])
        try:
            if args["check"] == "inputs":
                return self._inputs(task_vars or {}, needs_stack=args["needs_stack"])
            wanted = from_dict(args["params"])
            match args["check"]:
                case "lock":
                    return self._lock(wanted)
                case "unlock":
                    return self._unlock(wanted)
                case "baseline":
                    return self._baseline(wanted, args)
                case _:
                    return self._outcome(wanted)
        except TriageError as exc:
            report_failure(exc)
            raise AnsibleActionFail(str(exc)) from None

    def _inputs(self, task_vars: dict[str, Any], *, needs_stack: bool) -> dict[str, Any]:
        check_names(load_extra_vars(self._loader))
        raw = {name: self._templar.template(task_vars[name]) for name in KNOWN if name in task_vars}
        checked = validate(
            raw,
            driver=self._templar.template(task_vars.get("stack_driver")),
            benchmark_host=task_vars.get("wk_benchmark_host") is True,
            root=ROOT,
            needs_stack=needs_stack,
        )
        tell(bundle=str(RunPaths(Path(checked.runs_dir), checked.bundle_id).bundle))
        return {
            "changed": False,
            "params": checked.as_dict(),
            "ports": preflight.ports_of(checked),
            "started": utc_now(),
        }

    def _lock(self, wanted: Request) -> dict[str, Any]:
        if self._task.check_mode:
            return {"changed": False}
        # The worker that runs this ends with the task; the lock is the playbook's.
        dead = lock.acquire(
            lock.lock_path(wanted.project),
            pid=os.getppid(),
            run_id=wanted.bundle_id,
            now=utc_now(),
        )
        note = "" if dead is None else f"taken over from {dead.describe()}, which is gone"
        return {"changed": False, "msg": note}

    def _unlock(self, wanted: Request) -> dict[str, Any]:
        if not self._task.check_mode:
            lock.release(lock.lock_path(wanted.project), pid=os.getppid())
        return {"changed": False}

    def _baseline(self, wanted: Request, args: dict[str, Any]) -> dict[str, Any]:
        if wanted.driver == "replay":
            return self._recorded_baseline(wanted)
        identity = json.loads(Path(args["identity_file"]).read_text())
        identity["boot_id"] = args["boot_id"]
        found = find_baseline(
            Path(wanted.runs_dir),
            Identity.of_run(identity),
            now=datetime.now(UTC),
            judge=verdict_of,
        )
        return {
            "changed": False,
            "baseline": "" if found.baseline is None else str(found.baseline),
            "candidate": "",
            "rejected": [f"{name}: {why}" for name, why in found.rejected],
        }

    def _recorded_baseline(self, wanted: Request) -> dict[str, Any]:
        # The incident names its baseline: age, boot and image are those of the recording.
        held = library.replay_request(ROOT, {"incident": wanted.incident})["baseline_dir"]
        if held is None:
            return {"changed": False, "baseline": "", "candidate": "", "rejected": []}
        category = verdict_of(Path(held))["category"]
        good = category == "healthy"
        return {
            "changed": False,
            "baseline": held if good else "",
            "candidate": held,
            "rejected": [] if good else [f"the recorded baseline is not healthy: {category}"],
        }

    def _outcome(self, wanted: Request) -> dict[str, Any]:
        paths = RunPaths(Path(wanted.runs_dir), wanted.bundle_id)
        ended = exit_codes.read(paths.bundle)
        wall = mark(paths, "judge")
        self._unlock(wanted)
        if ended.exit_code and wanted.fail_on == "unhealthy":
            raise AnsibleActionFail(ended.message)
        return {"changed": False, "msg": ended.message, "wall": wall}

# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Reports the outcome of a triage."""

from __future__ import annotations

import os
from typing import Any

from ansible.errors import AnsibleActionFail

from wktriage.cli import exit_codes
from wktriage.cli.action_base import TriageAction
from wktriage.request.request import from_dict
from wktriage.run import lock, record


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if self._task.check_mode:
            return {"changed": False, "msg": "check mode: nothing was run", "wall": {}}
        request = from_dict(arguments["request"])
        paths = record.RunPaths.of(request)
        outcome = exit_codes.read(paths.bundle)
        wall = record.mark(paths, "judge")
        lock.release(lock.lock_path(request.project), pid=os.getppid())
        if outcome.exit_code and request.fail_on == "unhealthy":
            raise AnsibleActionFail(outcome.message)
        return {"changed": False, "msg": outcome.message, "wall": wall}

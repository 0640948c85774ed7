# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Holds or releases the lock of a stack."""

from __future__ import annotations

import os
from typing import Any

from wktriage.cli.action_base import TriageAction
from wktriage.core.times import utc_now
from wktriage.request.request import from_dict
from wktriage.run import lock


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if self._task.check_mode:
            return {"changed": False}
        request = from_dict(arguments["request"])
        path = lock.lock_path(request.project)
        # The worker that runs this ends with the task; the lock is the playbook's.
        pid = os.getppid()
        if arguments["state"] == "released":
            lock.release(path, pid=pid)
            return {"changed": False}
        dead = lock.acquire(path, pid=pid, run_id=request.bundle_id, now=utc_now())
        note = "" if dead is None else f"taken over from {dead.describe()}, which is gone"
        return {"changed": False, "msg": note}

# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Opens and closes the record of a run."""

from __future__ import annotations

import os
from typing import Any

from wktriage.cli.action_base import TriageAction, stack_hosts
from wktriage.request.request import from_dict
from wktriage.run import planning, record, recovery


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        request = from_dict(arguments["request"])
        paths = record.RunPaths.of(request)
        opening = arguments["state"] == "opened"
        if self._task.check_mode:
            return {"changed": True, "paths": paths.as_dict(), "wall": {}}
        if not opening:
            wall = record.mark(paths, arguments["phase"])
            record.end(paths)
            return {"changed": True, "wall": wall}
        document = planning.run_document(
            request, purpose=arguments["purpose"], boot_id=arguments["boot_id"]
        )
        hosts = stack_hosts(task_vars["ansible_play_hosts_all"], task_vars)
        record.begin(
            paths,
            document,
            pid=os.getppid(),
            since=arguments["since"],
            remote=[host.name for host in hosts if not host.local],
        )
        recovery.guard_run(paths, os.getppid())
        return {"changed": True, "paths": paths.as_dict()}

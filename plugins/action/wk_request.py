# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Checks what was asked, and returns it as the request that everything later reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wktriage.cli.action_base import TriageAction, stack_hosts
from wktriage.cli.ansible import tell
from wktriage.core.paths import work_dir
from wktriage.core.times import utc_now
from wktriage.judging.project_data import check_project_data
from wktriage.run.record import RunPaths
from wktriage.stack import drivers


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        check_project_data()
        request = drivers.check_request(
            self.asked(arguments, task_vars),
            driver=arguments["driver"],
            benchmark_host=arguments["benchmark_host"] is True,
            root=work_dir(),
            needs_stack=arguments["needs_stack"],
            hosts=stack_hosts(arguments["hosts"], task_vars),
        )
        tell(bundle=str(RunPaths(Path(request.runs_dir), request.bundle_id).bundle))
        return {
            "changed": False,
            "request": request.as_dict(),
            "ports": drivers.named(request.driver).ports(request),
            "started": utc_now(),
        }

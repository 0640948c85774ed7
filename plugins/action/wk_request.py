# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Checks what was asked, and returns it as the request that everything later reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wktriage.cli.action_base import TriageAction, known_variables, stack_hosts, typed_variables
from wktriage.cli.ansible import tell
from wktriage.core.paths import work_dir
from wktriage.core.times import utc_now
from wktriage.judging.project_data import check_project_data
from wktriage.request.request import check_names
from wktriage.run.record import RunPaths
from wktriage.stack import drivers


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        extra_vars = arguments["extra_vars"]
        if not extra_vars:
            check_project_data()
            typed = typed_variables(self._loader)
            check_names(typed)
            extra_vars = known_variables(self._templar, task_vars, typed)
        request = drivers.check_request(
            extra_vars,
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

# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Checks what was asked, and returns it as the request that everything later reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.utils.vars import load_extra_vars

from wktriage.cli.action_base import TriageAction
from wktriage.cli.ansible import tell
from wktriage.core.paths import work_dir
from wktriage.core.times import utc_now
from wktriage.judging.project_data import check_project_data
from wktriage.request.request import HOST_SETTINGS, KNOWN, StackHost, check_names
from wktriage.run.record import RunPaths
from wktriage.stack import drivers


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        check_names(load_extra_vars(self._loader))
        check_project_data()
        request = drivers.check_request(
            {name: self._templar.template(task_vars[name]) for name in KNOWN if name in task_vars},
            driver=arguments["driver"],
            benchmark_host=arguments["benchmark_host"] is True,
            root=work_dir(),
            needs_stack=arguments["needs_stack"],
            hosts=[_stack_host(name, task_vars["hostvars"][name]) for name in arguments["hosts"]],
        )
        tell(bundle=str(RunPaths(Path(request.runs_dir), request.bundle_id).bundle))
        return {
            "changed": False,
            "request": request.as_dict(),
            "ports": drivers.named(request.driver).ports(request),
            "started": utc_now(),
        }


def _stack_host(name: str, variables: Mapping[str, Any]) -> StackHost:
    local = variables.get("ansible_connection") == "local"
    address = variables.get("wk_address") or variables.get("ansible_host")
    return StackHost(
        name=name,
        address=str(address or ("127.0.0.1" if local else name)),
        local=local,
        groups=frozenset(variables.get("group_names") or ()),
        settings={key: variables[key] for key in HOST_SETTINGS if key in variables},
    )

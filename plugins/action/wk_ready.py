# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Gives the module of the same name the nodes that the topology places on its host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wktriage.cli.action_base import TriageAction
from wktriage.core import topology


class ActionModule(TriageAction):
    _requires_connection = True

    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if self._task.check_mode:
            return {"changed": False, "waiting": {}, "seconds": 0.0}
        stack = topology.load(Path(arguments["topology_file"]))
        here = task_vars["inventory_hostname"]
        nodes = [{"name": n.name, "api_url": n.api_url} for n in stack.nodes if n.host == here]
        if not nodes:
            return {"changed": False, "waiting": {}, "seconds": 0.0}
        result: dict[str, Any] = self._execute_module(
            module_args={"nodes": nodes, "timeout": arguments["timeout"]}, task_vars=task_vars
        )
        return result

# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Gives the module of the same name the nodes that the topology places on its host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from wktriage.core import topology
from wktriage.core.errors import TriageError


class ActionModule(ActionBase):
    _supports_check_mode = True
    _VALID_ARGS = frozenset({"topology_file", "timeout"})

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        try:
            stack = topology.load(Path(self._task.args["topology_file"]))
        except TriageError as exc:
            raise AnsibleActionFail(str(exc)) from None
        here = (task_vars or {})["inventory_hostname"]
        nodes = [{"name": n.name, "api_url": n.api_url} for n in stack.nodes if n.host == here]
        result: dict[str, Any] = self._execute_module(
            module_args={"nodes": nodes, "timeout": self._task.args.get("timeout", 60)},
            task_vars=task_vars,
        )
        return result

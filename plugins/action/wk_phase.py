# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Ends a phase of a run."""

from __future__ import annotations

from typing import Any

from wktriage.cli.action_base import TriageAction
from wktriage.request.request import from_dict
from wktriage.run import record


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if self._task.check_mode:
            return {"changed": True, "wall": {}}
        paths = record.RunPaths.of(from_dict(arguments["request"]))
        wall = record.mark(paths, arguments["phase"], failed=arguments["failed"])
        return {"changed": True, "wall": wall}

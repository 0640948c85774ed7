# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Notes the baseline that vouches for a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wktriage.cli.action_base import TriageAction
from wktriage.request.request import from_dict
from wktriage.run import recovery
from wktriage.run.record import RunPaths


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if self._task.check_mode:
            return {"changed": True, "reference": ""}
        paths = RunPaths.of(from_dict(arguments["request"]))
        return {
            "changed": True,
            "reference": str(recovery.refer(paths, Path(arguments["baseline"]))),
        }

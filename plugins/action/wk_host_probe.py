# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the module of the same name and adds how far the host's clock is from the controller's."""

from __future__ import annotations

import time
from typing import Any

from wktriage.cli.action_base import TriageAction


class ActionModule(TriageAction):
    _requires_connection = True

    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        before = time.time()
        result: dict[str, Any] = self._execute_module(task_vars=task_vars)
        after = time.time()
        probe = result.get("probe")
        if isinstance(probe, dict):
            # The host read its clock somewhere between: half of the way is what can't be told.
            probe["clock_offset_s"] = float(probe["epoch"]) - (before + after) / 2
            probe["clock_uncertainty_s"] = (after - before) / 2
            probe["asked_at"], probe["answered_at"] = before, after
        return result

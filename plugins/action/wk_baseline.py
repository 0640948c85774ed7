# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Looks for the baseline that vouches for a stack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wktriage.cli.action_base import TriageAction
from wktriage.request.request import from_dict
from wktriage.run import baseline


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        search = baseline.look(
            from_dict(arguments["request"]), Path(arguments["stack_file"]), arguments["boot_id"]
        )
        return {
            "changed": False,
            "baseline": str(search.baseline or ""),
            "candidate": str(search.candidate or ""),
            "may_run": search.may_run,
            "rejected": [f"{name}: {why}" for name, why in search.rejected],
        }

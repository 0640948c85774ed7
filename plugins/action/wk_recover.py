# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Finishes the bundles of runs whose controller is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wktriage.cli.action_base import TriageAction
from wktriage.request.request import from_dict
from wktriage.run import recovery


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if self._task.check_mode:
            return {"changed": False, "bundles": [], "runs": []}
        runs_dir = Path(from_dict(arguments["request"]).runs_dir)
        hosts = task_vars["ansible_play_hosts_all"]
        if arguments["state"] == "looked":
            return {"changed": False, "runs": recovery.to_fetch(runs_dir, hosts)}
        bundles = recovery.finalise_all(runs_dir, asked=hosts)
        return {"changed": bool(bundles), "bundles": [str(bundle) for bundle in bundles]}

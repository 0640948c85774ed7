# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Makes the bundle of a run that its baseline kept from starting."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from wktriage.cli.action_base import TriageAction
from wktriage.cli.ansible import report_failure
from wktriage.request.request import from_dict
from wktriage.run import planning, recovery
from wktriage.run.baseline import BaselineFailedError
from wktriage.run.record import RunPaths


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if self._task.check_mode:
            return {"changed": True, "msg": ""}
        request = from_dict(arguments["request"])
        document = planning.run_document(
            request, purpose=arguments["purpose"], boot_id=arguments["boot_id"]
        )
        baseline = Path(arguments["baseline"])
        bundle = recovery.refuse(RunPaths.of(request), document, baseline, pid=os.getppid())
        why = f"not started, its baseline is not healthy: {bundle}"
        report_failure(BaselineFailedError(why))
        return {"changed": True, "msg": why}

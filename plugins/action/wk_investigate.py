# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Takes one step of an investigation."""

from __future__ import annotations

from typing import Any

from wktriage.cli.action_base import TriageAction, known_variables, typed_variables
from wktriage.cli.investigate_steps import InvestigateStep
from wktriage.experiments.investigation import journal


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        typed = typed_variables(self._loader)
        extra_vars = {**known_variables(self._templar, task_vars, typed), **typed}
        bench = self.bench(arguments, task_vars)
        asked = journal.read(extra_vars, bench.root)
        step = InvestigateStep(asked, bench, dry=bool(self._task.check_mode))
        result = step.take(arguments["state"], arguments)
        return self.shown(result)

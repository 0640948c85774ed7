# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Takes one step of an experiment."""

from __future__ import annotations

from typing import Any

from wktriage.cli import experiment_steps
from wktriage.cli.action_base import TriageAction, known_variables, typed_variables
from wktriage.experiments import asking


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        extra_vars = arguments["extra_vars"]
        if not extra_vars:
            typed = typed_variables(self._loader, asking.TEXTS)
            extra_vars = {**known_variables(self._templar, task_vars, typed), **typed}
        bench = self.bench(arguments, task_vars)
        step = experiment_steps.Step(
            asking.read(extra_vars, bench.root), bench, dry=bool(self._task.check_mode)
        )
        result = step.take(arguments["state"], arguments)
        return self.shown(result)

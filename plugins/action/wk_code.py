# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Takes one step of a bisection, or of the verification of a fix."""

from __future__ import annotations

from typing import Any

from wktriage.cli import code_steps
from wktriage.cli.action_base import TriageAction, known_variables, typed_variables
from wktriage.request.request import TEXTS


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        typed = typed_variables(self._loader, (*code_steps.TEXTS, *TEXTS))
        extra_vars = {**known_variables(self._templar, task_vars, typed), **typed}
        result = code_steps.take(
            arguments["what"],
            arguments["state"],
            extra_vars,
            self.bench(arguments, task_vars),
            arguments["bundle"],
            dry=bool(self._task.check_mode),
        )
        return self.shown(result)

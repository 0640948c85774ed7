# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Takes one step of a bisection, or of the verification of a fix."""

from __future__ import annotations

from typing import Any

from wktriage.cli import code_steps
from wktriage.cli.action_base import (
    TriageAction,
    known_variables,
    stack_hosts,
    typed_variables,
)
from wktriage.cli.ansible import tell
from wktriage.core.paths import work_dir
from wktriage.experiments.grounds import Bench
from wktriage.request.request import TEXTS


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        typed = typed_variables(self._loader, (*code_steps.TEXTS, *TEXTS))
        given = {**known_variables(self._templar, task_vars, typed), **typed}
        bench = Bench(
            driver=arguments["driver"],
            benchmark_host=arguments["benchmark_host"] is True,
            root=work_dir(),
            hosts=tuple(stack_hosts(arguments["hosts"], task_vars)),
        )
        result = code_steps.take(
            arguments["what"],
            arguments["state"],
            given,
            bench,
            arguments["bundle"],
            dry=bool(self._task.check_mode),
        )
        for line in result.pop("say", ()):
            self._display.display(f"        {line}")
        tell(**result.pop("tell", {}))
        return result

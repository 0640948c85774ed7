# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Takes one step of an experiment."""

from __future__ import annotations

from typing import Any

from wktriage.cli import experiment_steps
from wktriage.cli.action_base import TriageAction, known_variables, stack_hosts, typed_variables
from wktriage.cli.ansible import tell
from wktriage.core.paths import work_dir
from wktriage.experiments import asking
from wktriage.experiments.grounds import Bench


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        given = arguments["given"]
        if not given:
            typed = typed_variables(self._loader, asking.TEXTS)
            given = {**known_variables(self._templar, task_vars, typed), **typed}
        bench = Bench(
            driver=arguments["driver"],
            benchmark_host=arguments["benchmark_host"] is True,
            root=work_dir(),
            hosts=tuple(stack_hosts(arguments["hosts"], task_vars)),
        )
        step = experiment_steps.Step(
            asking.read(given, bench.root), bench, dry=bool(self._task.check_mode)
        )
        result = step.take(arguments["state"], arguments)
        for line in result.pop("say", ()):
            self._display.display(f"        {line}")
        tell(**result.pop("tell", {}))
        return result

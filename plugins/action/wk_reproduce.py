# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Turns a bundle into the request that does its run again, and compares the two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wktriage.cli import reproduction
from wktriage.cli.action_base import TriageAction, known_variables, stack_hosts, typed_variables
from wktriage.cli.ansible import tell
from wktriage.core.paths import work_dir
from wktriage.experiments import reproduce
from wktriage.experiments.grounds import Bench


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        # The name of a bundle is nobody's template: it is taken as it was typed.
        typed = typed_variables(self._loader)
        known = known_variables(self._templar, task_vars, typed)
        given = reproduce.read({**known, **_plain(typed)})
        if arguments["state"] == "asked":
            bench = Bench(
                driver=arguments["driver"],
                benchmark_host=arguments["benchmark_host"] is True,
                root=work_dir(),
                hosts=tuple(stack_hosts(arguments["hosts"], task_vars)),
            )
            result = reproduction.asked(given, bench)
        else:
            result = reproduction.compared(
                given,
                Path(arguments["bundle"]),
                arguments["runs_dir"],
                dry=bool(self._task.check_mode),
            )
        for line in result.pop("say", ()):
            self._display.display(f"        {line}")
        tell(**result.pop("tell", {}))
        return result


def _plain(typed: dict[str, Any]) -> dict[str, Any]:
    return {str(k): v for k, v in typed.items() if isinstance(v, (str, int, bool, float, dict))}

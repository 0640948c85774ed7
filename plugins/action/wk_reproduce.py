# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Turns a bundle into the request that does its run again, and compares the two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wktriage.cli import reproduction
from wktriage.cli.action_base import TriageAction, known_variables, typed_variables
from wktriage.experiments import reproduce


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        # The name of a bundle is nobody's template: it is taken as it was typed.
        typed = typed_variables(self._loader)
        known = known_variables(self._templar, task_vars, typed)
        asked = reproduce.read({**known, **_plain(typed)})
        if arguments["state"] == "asked":
            result = reproduction.request_again(asked, self.bench(arguments, task_vars))
        else:
            result = reproduction.compared(
                asked,
                Path(arguments["bundle"]),
                arguments["runs_dir"],
                dry=bool(self._task.check_mode),
            )
        return self.shown(result)


def _plain(typed: dict[str, Any]) -> dict[str, Any]:
    return {str(k): v for k, v in typed.items() if isinstance(v, (str, int, bool, float, dict))}

# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Has the git ref built that a run asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wktriage.cli.action_base import TriageAction, known_variables, typed_variables
from wktriage.core.paths import runs_dir
from wktriage.request import code as codes
from wktriage.stack import builds, drivers


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        extra_vars = arguments["extra_vars"]
        if not extra_vars:
            extra_vars = known_variables(self._templar, task_vars, typed_variables(self._loader))
        code = codes.of(extra_vars, Path(runs_dir(extra_vars.get("runs_dir"))))
        driver = drivers.named(arguments["driver"])
        if code is None or builds.there(code, driver):
            return {"changed": False}
        if not self._task.check_mode:
            self._display.display(f"        building {code.name}")
            build = builds.build(code, driver)
            self._display.display(f"        built in {build.seconds:.0f} s")
        return {"changed": True}

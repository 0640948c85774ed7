# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Has the git ref built that a run asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wktriage.cli.action_base import TriageAction
from wktriage.core.paths import runs_dir, work_dir
from wktriage.request import code as codes
from wktriage.stack import builds, drivers


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        extra_vars = self.asked(arguments, task_vars)
        code = codes.of(extra_vars, Path(runs_dir(extra_vars.get("runs_dir"))))
        driver = drivers.named(arguments["driver"])
        if code is None or builds.there(code, driver):
            return {"changed": False}
        # A build takes minutes: what cannot be run is refused before it.
        drivers.check_request(
            extra_vars, driver=driver.name, benchmark_host=False, root=work_dir(), needs_stack=False
        )
        if not self._task.check_mode:
            self._display.display(f"        building {code.name}")
            build = builds.build(code, driver)
            self._display.display(f"        built in {build.seconds:.0f} s")
        return {"changed": True}

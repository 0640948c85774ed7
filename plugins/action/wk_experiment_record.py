# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Writes the finding of a case into a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wktriage.cli.action_base import TriageAction
from wktriage.core.paths import work_dir
from wktriage.experiments import conclusions, conduct, telling
from wktriage.experiments.case import Case
from wktriage.experiments.finding import PATH


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        cases = Path(arguments["cases_dir"] or work_dir() / "cases").expanduser()
        case = Case.load(cases, arguments["case"])
        dry = bool(self._task.check_mode)
        recorded = conclusions.record(case, Path(arguments["checkout"]), dry=dry)
        if not dry:
            telling.write(case, conduct.read_places(case))
        result: dict[str, Any] = {
            "changed": recorded.changed,
            "heading": recorded.heading,
            "path": PATH.as_posix(),
        }
        if self._task.diff:
            result["diff"] = {"prepared": recorded.diff()}
        return result

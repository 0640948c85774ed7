# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Judges a bundle and writes its verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wktriage.bundle.bundle import Bundle
from wktriage.cli.action_base import TriageAction
from wktriage.core.paths import runs_dir
from wktriage.judging.verdict import judge
from wktriage.judging.verdict_files import target, write


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        path = Path(arguments["bundle"])
        if self._task.check_mode and not path.exists():
            return {"changed": True, "skipped": True}
        bundle = Bundle.open(path)
        out = Path(arguments["out"]) if arguments["out"] else None
        where = target(path, out, runs_dir(arguments["runs_dir"]))
        verdict = judge(bundle)
        return {
            "changed": write(where, verdict, dry=self._task.check_mode),
            "category": verdict["category"],
            "confidence": verdict["confidence"],
            "nodes": verdict["nodes"],
            "verdict_file": str(where / "verdict.json"),
        }

# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Renders the reports of a judged bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wktriage import report
from wktriage.cli.action_base import TriageAction
from wktriage.core.paths import runs_dir
from wktriage.core.private_files import read
from wktriage.experiments import mentions
from wktriage.judging.verdict_files import target

CAP = 64 * 1024 * 1024
NAMES = ("verdict.json", "summary.md", "report.html")


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        bundle = Path(arguments["bundle"])
        if self._task.check_mode and not bundle.exists():
            return {"changed": True, "skipped": True}
        named = Path(arguments["out"]) if arguments["out"] else None
        out = target(bundle, named, runs_dir(arguments["runs_dir"]))
        files = {f"{name.partition('.')[0]}_file": str(out / name) for name in NAMES}
        if self._task.check_mode:
            return {"changed": True, "skipped": True, **files}
        before = [_bytes(out / name) for name in NAMES]
        ours = runs_dir(arguments["runs_dir"])
        cases = mentions.of(bundle, ours) if out == bundle else []
        report.write_for(bundle, out, cases)
        return {"changed": before != [_bytes(out / name) for name in NAMES], **files}


def _bytes(path: Path) -> bytes | None:
    return read(path, CAP)

# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Renders the reports of a judged bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wktriage import report
from wktriage.cli.action_base import TriageAction

NAMES = ("verdict.json", "summary.md", "report.html")


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        bundle = Path(arguments["bundle"])
        out = Path(arguments["out"]) if arguments["out"] else bundle
        files = {f"{name.partition('.')[0]}_file": str(out / name) for name in NAMES}
        if self._task.check_mode:
            return {"changed": True, "skipped": True, **files}
        before = [_bytes(out / name) for name in NAMES]
        report.write_for(bundle, out)
        return {"changed": before != [_bytes(out / name) for name in NAMES], **files}


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None

# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Renders the reports of a bundle that was judged."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_render
short_description: Render the reports of a judged bundle
description:
  - Writes C(summary.md) and C(report.html) from a bundle and its C(verdict.json).
  - Runs on the controller.
options:
  bundle:
    description: Directory of the bundle.
    type: path
    required: true
  out:
    description: Where C(verdict.json) lies and the reports go; the bundle itself when empty.
    type: path
    default: ''
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Does nothing in check mode.
    support: none
"""

EXAMPLES = r"""
- name: Write the report
  wk_render:
    bundle: runs/20261124T090000Z-smoke-default-12ab
"""

RETURN = r"""
verdict_file:
  description: The verdict that was rendered.
  type: path
  returned: always
summary_file:
  description: The report in the form of WuKongIM's triage skill.
  type: path
  returned: always
report_file:
  description: The page for a person.
  type: path
  returned: always
"""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from wktriage import report
from wktriage.cli.ansible import report_failure
from wktriage.core.errors import TriageError


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "bundle": {"type": "path", "required": True},
                "out": {"type": "path", "default": ""},
            }
        )
        bundle = Path(args["bundle"])
        out = Path(args["out"]) if args["out"] else bundle
        names = ("verdict.json", "summary.md", "report.html")
        before = [_bytes(out / name) for name in names]
        try:
            report.write_for(bundle, out)
        except TriageError as exc:
            report_failure(exc)
            raise AnsibleActionFail(str(exc)) from None
        return {
            "changed": before != [_bytes(out / name) for name in names],
            "verdict_file": str(out / "verdict.json"),
            "summary_file": str(out / "summary.md"),
            "report_file": str(out / "report.html"),
        }


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None

# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Judges a bundle and writes its verdict."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_classify
short_description: Judge a bundle
description:
  - Computes the signals of a bundle, evaluates the rules and writes C(verdict.json).
  - Reads nothing but the bundle. Runs on the controller.
options:
  bundle:
    description: Directory of the bundle, in this harness's layout or in WuKongIM's plain one.
    type: path
    required: true
  out:
    description:
      - Where C(verdict.json) goes; the bundle itself when empty, which is refused for a bundle
        that this harness did not make.
    type: path
    default: ''
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Judges, and writes nothing.
    support: full
"""

EXAMPLES = r"""
- name: Judge the bundle
  wk_classify:
    bundle: runs/20261124T090000Z-smoke-default-12ab
"""

RETURN = r"""
category:
  description: The category that the bundle was given.
  type: str
  returned: always
confidence:
  description: Probability that it is right, 0 to 1.
  type: float
  returned: always
nodes:
  description: Nodes where the cause sits.
  type: list
  elements: str
  returned: always
verdict_file:
  description: The verdict.
  type: path
  returned: always
"""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from wktriage.bundle.bundle import Bundle
from wktriage.cli.ansible import report_failure
from wktriage.core.errors import TriageError
from wktriage.judging.verdict import judge
from wktriage.judging.verdict_files import writable, write


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "bundle": {"type": "path", "required": True},
                "out": {"type": "path", "default": ""},
            }
        )
        try:
            bundle = Bundle.open(Path(args["bundle"]))
            target = writable(bundle, Path(args["out"]) if args["out"] else None)
            verdict = judge(bundle)
            changed = write(target, verdict, dry=self._task.check_mode)
        except TriageError as exc:
            report_failure(exc)
            raise AnsibleActionFail(str(exc)) from None
        return {
            "changed": changed,
            "category": verdict["category"],
            "confidence": verdict["confidence"],
            "nodes": verdict["nodes"],
            "verdict_file": str(target / "verdict.json"),
        }

#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work on the controller."""

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
  runs_dir:
    description:
      - Where this harness keeps its bundles. Without O(out), a bundle that lies anywhere else is
        refused. Empty for C(runs).
    type: path
    default: ''
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Writes nothing in check mode.
    support: full
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

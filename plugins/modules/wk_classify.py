#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work on the controller."""

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
        that does not lie under O(runs_dir).
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

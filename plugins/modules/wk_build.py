#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_build
short_description: Have the git ref built that a run asks for
description:
  - Runs C(stack_build_command) in a worktree of the ref that extra var C(code) names, unless that
    commit was built by the same command before. The worktree is removed again.
  - Does nothing where no ref is asked for. A build that fails is one error with the end of its
    output.
options:
  driver:
    description: How the stack runs, as the inventory says it in C(stack_driver).
    type: str
    required: true
  extra_vars:
    description: What to take instead of the play's variables, as for M(wk_request).
    type: dict
    default: {}
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Builds nothing, and says whether it would.
    support: full
"""

EXAMPLES = r"""
- name: Build the code that is asked for
  wk_build:
    driver: "{{ stack_driver }}"
  run_once: true
"""

RETURN = r"""#"""

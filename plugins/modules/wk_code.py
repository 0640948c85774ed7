#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_code
short_description: Take one step of a bisection, or of the verification of a fix
description:
  - Says which run or experiment is due, takes finished runs, and tells how it ended. Git refs are
    built by C(stack_build_command) before they are run. Each step is in the case before it returns.
  - What is asked stands in the extra vars; see the how-to.
options:
  what:
    description: Whether commits are searched or a fix is verified.
    type: str
    required: true
    choices: [bisect, verify]
  state:
    description:
      - C(opened) finds or begins what was asked for. C(next) returns what is due. C(recorded) takes
        a finished run. C(told) tells the end.
    type: str
    required: true
    choices: [opened, next, recorded, told]
  bundle:
    description: Id of the finished run's bundle (C(recorded)).
    type: str
extends_documentation_fragment:
  - wk_bench
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Refuses as ever; builds, runs and writes nothing.
    support: full
"""

EXAMPLES = r"""
- name: Open the bisection
  wk_code:
    what: bisect
    state: opened
    driver: "{{ stack_driver }}"
    benchmark_host: "{{ wk_benchmark_host }}"
    hosts: "{{ ansible_play_hosts_all }}"
  register: opened
"""

RETURN = r"""
case:
  description: Id of the case.
  type: str
  returned: state is opened
most:
  description: How many steps are taken at most.
  type: int
  returned: state is opened
hides_verdicts:
  description: Whether verdicts of single runs are kept from the screen, so that nobody peeks.
  type: bool
  returned: state is opened
run:
  description: Extra vars of the run that is due; empty when none is.
  type: dict
  returned: state is next
experiment:
  description: Extra vars of the experiment that is due; empty when none is.
  type: dict
  returned: state is next
outcome:
  description: C(named) or C(not named) of a search, C(yes) or C(no) of a fix.
  type: str
  returned: state is told
outcome_lines:
  description: The outcome for a screen, as pairs of label and text.
  type: list
  elements: list
  returned: state is told
case_file:
  description: The case's page.
  type: path
  returned: state is told
"""

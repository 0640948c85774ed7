#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_investigate
short_description: Take one step of an investigation
description:
  - Opens an investigation, says what is due (a run, or an experiment), takes a finished run, and
    tells how it ended. Each step is in the case before it returns.
  - What is asked stands in the extra vars; see the how-to on investigations.
options:
  state:
    description:
      - C(opened) finds the open investigation that was asked for, or opens one.
      - C(next) returns what is due. C(recorded) takes a finished run. C(told) tells how it ended.
    type: str
    required: true
    choices: [opened, next, recorded, told]
  case:
    description: Id of the case (all states but C(opened)).
    type: str
  ends_at:
    description: When the budget is spent, in seconds since the epoch (all states but C(opened)).
    type: float
  bundle:
    description: Id of the finished run's bundle (C(recorded)).
    type: str
extends_documentation_fragment:
  - wk_bench
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Refuses as ever; opens nothing, and nothing is due.
    support: full
"""

EXAMPLES = r"""
- name: Open the investigation
  wk_investigate:
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
ends_at:
  description: When the budget is spent, in seconds since the epoch.
  type: float
  returned: state is opened
most:
  description: How many steps are taken at most.
  type: int
  returned: state is opened
run:
  description: Extra vars of the run that is due; empty when none is.
  type: dict
  returned: state is next
experiment:
  description: What the experiment that is due is asked with; empty when none is.
  type: dict
  returned: state is next
outcome:
  description: How it ended.
  type: str
  returned: state is told
outcome_lines:
  description: The story for a screen, as pairs of label and text.
  type: list
  elements: list
  returned: state is told
case_file:
  description: The case's page.
  type: path
  returned: state is told
"""

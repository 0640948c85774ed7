#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_experiment
short_description: Take one step of an experiment
description:
  - Registers an experiment before its first run, says which run is next, records finished runs, and
    judges when none is left. Each step is in the case before it returns.
  - What is asked stands in the extra vars; see the how-to on experiments.
options:
  state:
    description:
      - C(registered) finds the open experiment that was asked for, or refuses or registers it.
      - C(next) returns the run that is due. C(recorded) adds a finished run. C(judged) judges.
    type: str
    required: true
    choices: [registered, next, recorded, judged]
  extra_vars:
    description: What is asked, instead of the extra vars.
    type: dict
    default: {}
  case:
    description: Id of the case (all states but C(registered)).
    type: str
  number:
    description: Number of the experiment in its case (all states but C(registered)).
    type: int
  bundle:
    description: Id of the finished run's bundle (C(recorded)).
    type: str
  place:
    description: Place of the run in the order, from 0 (C(recorded)).
    type: int
  attempt:
    description: Attempt at that place, from 1 (C(recorded)).
    type: int
  ends_by:
    description: No run is begun that would end later (C(next)); in seconds since the epoch, 0 for
      no such time.
    type: float
    default: 0
extends_documentation_fragment:
  - wk_bench
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Refuses as ever; registers, records and judges nothing, and has no next run.
    support: full
"""

EXAMPLES = r"""
- name: Register the experiment
  wk_experiment:
    state: registered
    driver: "{{ stack_driver }}"
    benchmark_host: "{{ wk_benchmark_host }}"
    hosts: "{{ ansible_play_hosts_all }}"
  register: opened
"""

RETURN = r"""
case:
  description: Id of the case.
  type: str
  returned: success
number:
  description: Number of the experiment in its case.
  type: int
  returned: success
most:
  description: How many runs are done at most.
  type: int
  returned: state is registered
hides_verdicts:
  description: Whether verdicts of single runs are kept from the screen, so that nobody peeks.
  type: bool
  returned: state is registered
run:
  description: Extra vars of the run that is due; empty when none is.
  type: dict
  returned: state is next
place:
  description: Its place in the order, from 0.
  type: int
  returned: state is next
attempt:
  description: Its attempt at that place, from 1.
  type: int
  returned: state is next
outcome:
  description: C(supported), C(refuted) or C(inconclusive).
  type: str
  returned: state is judged
outcome_lines:
  description: The outcome for a screen, as pairs of label and text.
  type: list
  elements: list
  returned: state is judged
case_file:
  description: The case's page.
  type: path
  returned: state is judged
"""

#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_run
short_description: Open or close the record of a run
description:
  - While a run is open, the next command can finish its bundle, should this controller die.
options:
  request:
    description: The checked request.
    type: dict
    required: true

  state:
    description: C(opened) makes the run's directories and its mark, C(closed) removes the mark.
    type: str
    required: true
    choices: [opened, closed]
  purpose:
    description: What the run is for (C(opened)).
    type: str
    default: target
  boot_id:
    description: Mark for the boot of the hosts (C(opened)).
    type: str
  since:
    description: When the request was taken, as ISO 8601 UTC (C(opened)).
    type: str
  phase:
    description: Name of the phase that ends now (C(closed)).
    type: str
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Changes nothing in check mode.
    support: full
"""

EXAMPLES = r"""
- name: Open the run
  wk_run:
    state: opened
    request: "{{ wk_request }}"
"""

RETURN = r"""
paths:
  description: Where the run keeps its files.
  type: dict
  returned: state is opened
wall:
  description: Seconds that each phase took.
  type: dict
  returned: state is closed
"""

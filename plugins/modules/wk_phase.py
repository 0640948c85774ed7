#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_phase
short_description: End a phase of a run
description:
  - Notes how long the phase took, what the driver has said of the stack since, and what failed.
options:
  request:
    description: The checked request.
    type: dict
    required: true

  phase:
    description: Name of the phase that ends now.
    type: str
    required: true
  failed:
    description: Which task failed and with what message.
    type: dict
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Changes nothing in check mode.
    support: full
"""

EXAMPLES = r"""
- name: Note that everything runs
  wk_phase:
    request: "{{ wk_request }}"
    phase: up
"""

RETURN = r"""
wall:
  description: Seconds that each phase took.
  type: dict
  returned: success
"""

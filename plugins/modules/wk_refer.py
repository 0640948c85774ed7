#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_refer
short_description: Note the baseline that vouches for a run
description:
  - Writes the reference that the run's bundle will carry.
options:
  request:
    description: The checked request.
    type: dict
    required: true

  baseline:
    description: Bundle of the healthy baseline.
    type: path
    required: true
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Changes nothing in check mode.
    support: full
"""

EXAMPLES = r"""
- name: Refer to the baseline
  wk_refer:
    request: "{{ wk_request }}"
    baseline: /path/runs/20260101T000000Z-smoke-default-abcd
"""

RETURN = r"""
reference:
  description: File that refers to the baseline.
  type: path
  returned: success
"""

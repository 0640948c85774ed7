#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_refuse
short_description: Make the bundle of a run that its baseline kept from starting
description:
  - The bundle holds what was asked and refers to the baseline, whose own bundle has the cause.
  - The task does not fail; the run's verdict says why it was not started.
options:
  request:
    description: The checked request.
    type: dict
    required: true

  baseline:
    description: Bundle of the baseline that is not healthy.
    type: path
    required: true
  boot_id:
    description: Mark for the boot of the hosts.
    type: str
  purpose:
    description: What the run would have been for.
    type: str
    default: target
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Changes nothing in check mode.
    support: full
"""

EXAMPLES = r"""
- name: Refuse the run
  wk_refuse:
    request: "{{ wk_request }}"
    baseline: /path/runs/20260101T000000Z-smoke-default-abcd
"""

RETURN = r"""
msg:
  description: Why the run was not started, and where its bundle is.
  type: str
  returned: success
"""

#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_baseline
short_description: Look for the baseline that vouches for a stack
description:
  - Looks for a healthy C(smoke-default) bundle of the same image, node configuration, hosts, driver
    and boot that is at most 24 h old. Each candidate is judged again from its evidence.
  - A recorded incident brings its own baseline.
options:
  request:
    description: The checked request.
    type: dict
    required: true

  stack_file:
    description: What the driver says that the stack is (C(stack.json)).
    type: path
    required: true
  boot_id:
    description: Mark for the boot of the hosts.
    type: str
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Reads only. Finds nothing when the stack was not identified before.
    support: full
"""

EXAMPLES = r"""
- name: Look for a healthy baseline
  wk_baseline:
    request: "{{ wk_request }}"
    stack_file: /path/runs/.work/x/stack.json
    boot_id: "{{ checked_host.boot_id }}"
"""

RETURN = r"""
baseline:
  description: Bundle of the healthy baseline; empty when there is none.
  type: path
  returned: success
candidate:
  description: Bundle of a baseline that is there and not healthy; empty when there is none.
  type: path
  returned: success
may_run:
  description: Whether a missing baseline can be run on this stack.
  type: bool
  returned: success
rejected:
  description: Candidates that were no baseline, each with the reason.
  type: list
  elements: str
  returned: success
"""

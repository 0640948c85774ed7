#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_lock
short_description: Hold or release the lock of a stack
description:
  - One run at a time may use a stack. The lock belongs to the playbook's own process and outlives
    no process; one that a dead process left is taken over.
options:
  request:
    description: The checked request.
    type: dict
    required: true

  state:
    description: Whether this playbook holds the lock afterwards.
    type: str
    choices: [held, released]
    default: held
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Changes nothing in check mode.
    support: full
"""

EXAMPLES = r"""
- name: Take the stack's lock
  wk_lock:
    request: "{{ wk_request }}"
"""

RETURN = r"""
msg:
  description: From whom the lock was taken over, if from anybody.
  type: str
  returned: state is held
"""

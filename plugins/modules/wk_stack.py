#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_stack
short_description: Bring a stack into a state
description:
  - Asks the driver that the request names. What has to be done on the hosts themselves is done by
    the driver's task file in role C(stack).
options:
  request:
    description: The checked request.
    type: dict
    required: true

  state:
    description:
      - C(absent), stopped and removed, data kept.
      - C(identified), its image or binaries are there and known; written to C(stack.json).
      - C(placed), what each host has to do is known.
      - C(created), everything exists on the data that the mode asks for, and nothing runs; written
        to C(stack.json) and C(topology.json).
      - C(started), all nodes run. C(loaded), the simulator runs too.
    type: str
    required: true
    choices: [absent, identified, placed, created, started, loaded]
  work_dir:
    description: The harness's own folder of the run. Not needed for C(absent).
    type: path
    default: ''
  sim_env:
    description: Variables of the simulator. Needed for C(created).
    type: dict
    default: {}
  hosts:
    description: Inventory names of the stack's hosts.
    type: list
    elements: str
    default: [localhost]
  address:
    description: Where processes of the stack listen and are reached.
    type: str
    default: 127.0.0.1
  held_ports:
    description: For each host the ports that its processes hold, by name of the process.
    type: dict
    default: {}
  reports:
    description: For each host what the driver's own module told of it.
    type: dict
    default: {}
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Changes nothing and says what would change.
    support: full
"""

EXAMPLES = r"""
- name: Create the stack
  wk_stack:
    state: created
    request: "{{ wk_request }}"
    work_dir: /srv/runs/.work/x
    sim_env: {WK_SIM_USERS: "40"}
"""

RETURN = r"""
stack:
  description: What the stack is.
  type: dict
  returned: state is identified or created
placement:
  description: What each host has to do.
  type: dict
  returned: state is placed
"""

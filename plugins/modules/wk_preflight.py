#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_preflight
short_description: Check engine, image, ports, disk and clocks before a run
description:
  - Runs on the controller, over what M(wk_host_probe) found on each host.
  - Every failure says what to do. Warnings do not stop a run.
options:
  request:
    description: The checked request.
    type: dict
    required: true
  probes:
    description: Result of M(wk_host_probe) by host.
    type: dict
    required: true
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Reads only.
    support: full
"""

EXAMPLES = r"""
- name: Judge the host
  wk_preflight:
    request: "{{ wk_request }}"
    probes: {localhost: "{{ preflight_host.probe }}"}
"""

RETURN = r"""
boot_id:
  description: One mark for the boot of all hosts, null when a host can't tell.
  type: str
  returned: success
round_seconds:
  description: How long it took to ask all hosts, 0 for one host.
  type: float
  returned: success
notes:
  description: What is worth knowing, in words.
  type: list
  elements: str
  returned: success
"""

#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_request
short_description: Check what was asked before anything starts
description:
  - Takes the extra vars that the project knows from the play's variables, refuses unknown ones, and
    fills in defaults. Every refusal says what to do.
options:
  needs_stack:
    description: Whether a stack will be brought up; tearing down needs no checkout.
    type: bool
    default: true
  extra_vars:
    description:
      - What to take instead of the play's variables, by an experiment for one of its runs. Empty
        takes those.
    type: dict
    default: {}
extends_documentation_fragment:
  - wk_bench
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Reads only.
    support: full
"""

EXAMPLES = r"""
- name: Check what was asked
  wk_request:
    driver: "{{ stack_driver }}"
    benchmark_host: "{{ wk_benchmark_host }}"
  register: checked
"""

RETURN = r"""
request:
  description: The checked request, which everything later reads.
  type: dict
  returned: success
ports:
  description: Host ports that the stack will listen on, as far as they are fixed.
  type: list
  elements: int
  returned: success
started:
  description: When the request was taken, as ISO 8601 UTC.
  type: str
  returned: success
"""

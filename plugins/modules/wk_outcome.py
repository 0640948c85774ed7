#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_outcome
short_description: Report the outcome of a triage
description:
  - Releases the stack's lock and says the verdict. Fails when the verdict is not healthy, unless
    the request says C(fail_on=never).
options:
  request:
    description: The checked request.
    type: dict
    required: true
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: There is no verdict to report in check mode.
    support: full
"""

EXAMPLES = r"""
- name: Report the outcome
  wk_outcome:
    request: "{{ wk_request }}"
"""

RETURN = r"""
msg:
  description: Category and nodes, and where to read more.
  type: str
  returned: success
wall:
  description: Seconds that each phase took.
  type: dict
  returned: success
"""

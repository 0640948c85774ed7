#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_recover
short_description: Finish the bundles of runs whose controller is gone
description:
  - What their collectors gathered goes into the bundle, which says that the run was interrupted,
    and the stack that they left behind is removed.
options:
  state:
    description:
      - C(looked) tells which runs have evidence on hosts of this play that are other machines.
        C(finished) makes their bundles with what was fetched, and those of this machine's runs.
    type: str
    choices: [looked, finished]
    default: finished
  request:
    description: The checked request.
    type: dict
    required: true
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Changes nothing in check mode.
    support: full
"""

EXAMPLES = r"""
- name: Finish interrupted runs
  wk_recover:
    request: "{{ wk_request }}"
"""

RETURN = r"""
bundles:
  description: Bundles that were finished.
  type: list
  elements: str
  returned: state is finished
runs:
  description: Interrupted runs on other machines, each with its places, its stack, and the reason.
  type: list
  elements: dict
  returned: state is looked
"""

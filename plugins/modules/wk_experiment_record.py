#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_experiment_record
short_description: Write the finding of a case into a checkout
description:
  - Adds one dated section to C(docs/development/WKSIM_STRESS_FINDINGS.md), newest first. A case
    that stands in it already is left alone, whatever a person made of its section since.
options:
  case:
    description: Id of the case.
    type: str
    required: true
  checkout:
    description: The WuKongIM checkout.
    type: path
    required: true
  cases_dir:
    description: The directory of cases; empty for the default one.
    type: str
    default: ""
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Tells what would be written.
    support: full
  diff_mode:
    description: Shows the list before and after.
    support: full
"""

EXAMPLES = r"""
- name: Write the finding
  wk_experiment_record:
    case: 20261127-why-slow
    checkout: /path/WuKongIM
"""

RETURN = r"""
heading:
  description: Heading of the section.
  type: str
  returned: success
path:
  description: The list, below the checkout.
  type: str
  returned: success
"""

#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_binaries
short_description: Copy the binaries that a host lacks
description:
  - Takes one transfer and one command a file, where M(ansible.builtin.copy) runs two modules and
    reads the file three times more. Nothing is compared here. C(wk_processes) says before which
    files a host lacks, and checks the sha256 of each before it starts it.
options:
  copies:
    description: Files of the controller (C(file)) and where each goes on the host (C(to)).
    type: list
    elements: dict
    required: true
  missing:
    description: Which of those places hold no such file, as C(wk_processes) tells.
    type: list
    elements: path
    default: []
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Copies nothing and says whether it would.
    support: full
"""

EXAMPLES = r"""
- name: Copy the binaries that are not there yet
  wk_binaries:
    copies: [{file: bin/wukongim, to: /srv/runs/.processes/.binaries/0e5b/wukongim}]
    missing: [/srv/runs/.processes/.binaries/0e5b/wukongim]
"""

RETURN = r"""
"""

#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_reproduce
short_description: Do the run of a bundle again, and compare the two
description:
  - Makes a request of the inputs in a bundle's fingerprint, and says afterwards field by field what
    is the same, what could not be, and whether verdict and cause agree.
  - The bundle is named by the extra variable C(bundle), a directory or a tar archive. It may be
    somebody else's.
options:
  state:
    description:
      - C(asked) returns the request. C(compared) writes C(reproduction.json) beside the verdict of
        the new run.
    type: str
    required: true
    choices: [asked, compared]
  bundle:
    description: Directory of the new run's bundle (C(compared)).
    type: path
  runs_dir:
    description: Where this harness keeps its bundles (C(compared)).
    type: path
extends_documentation_fragment:
  - wk_bench
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Refuses as ever; compares nothing.
    support: full
"""

EXAMPLES = r"""
- name: Read the bundle
  wk_reproduce:
    state: asked
    driver: "{{ stack_driver }}"
    benchmark_host: "{{ wk_benchmark_host }}"
    hosts: "{{ ansible_play_hosts_all }}"
  register: reproduce_asked
"""

RETURN = r"""
run:
  description: Extra vars of the run.
  type: dict
  returned: state is asked
outcome:
  description: C(agree), C(differ) or C(not compared); empty in check mode.
  type: str
  returned: state is compared
reproduction_file:
  description: Where the comparison was written.
  type: path
  returned: state is compared
"""

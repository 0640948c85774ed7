#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_wait
short_description: Follow a collector until it is done
description:
  - Reads the collector's state every second and shows phase, users, messages a second, errors and
    the time left; a live line on a terminal, else a line every ten seconds and at each new phase.
  - Returns when the collector is done, when nothing was heard of it for ten seconds (it died or
    its host stands still), or at the deadline. None of these is a failure of the task.
  - On Ctrl-C the collector is asked to finish with what there is.
options:
  out_dir:
    description: Where the collector of this host works; nothing is done when empty.
    type: path
    required: true
  deadline_seconds:
    description: Stop waiting after so many seconds.
    type: float
    required: true
  python:
    description: Python of the host.
    type: str
    default: python3
  clock_file:
    description:
      - File on the controller with the readings of the host's clock (C(wk_collector)). Beside it
        goes since when a host has not answered that fell silent.
    type: path
    default: ""
  show:
    description: Whether to show progress; one host's is enough.
    type: bool
    default: true
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Does nothing in check mode.
    support: full
"""

EXAMPLES = r"""
- name: Watch the run
  wk_wait:
    out_dir: "{{ evidence_collector.out_dir }}"
    deadline_seconds: "{{ evidence_collector.deadline_seconds }}"
"""

RETURN = r"""
phase:
  description: Where the collector is.
  type: str
done:
  description: Whether it has finished.
  type: bool
alive:
  description: Whether it still runs.
  type: bool
valid:
  description: Whether the window is valid; null while it is not over.
  type: bool
reason:
  description: What is to be said about the window.
  type: str
"""

#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_collector
short_description: Start a host's collector, or fetch what it has
description:
  - C(state=started) copies the collector to the host and starts it, detached. Nothing is started
    on a host that has no node and no simulator of the stack.
  - C(state=collected) packs the evidence there and fetches it in pieces. A fetch that was cut off
    goes on where it stopped, and what was fetched has the sha256 of what was packed. A collector
    that still runs is asked to finish first. Of what it had on a host that is not the controller
    nothing stays, nor of the directories that were made for it.
options:
  state:
    description: What the collector has done afterwards.
    type: str
    required: true
    choices: [started, collected]
  host_dir:
    description: Directory on the host for this run; the collector works in a directory below it.
    type: path
    required: true
  python:
    description: Python of the host, 3.8 or newer.
    type: str
    default: python3
  topology_file:
    description: The stack's topology (C(started)).
    type: path
  spec:
    description:
      - What to collect (C(started)), with run_id, window_seconds, profile, profile_seconds,
        ready_timeout, settle, interval, series_interval, docker_socket, stack_started_at, hide_proc
        and begin_at.
    type: dict
  clock_file:
    description:
      - File on the controller that keeps how far the host's clock was from the controller's, before
        and after.
    type: path
    required: true
  archive:
    description: File on the controller that takes the packed evidence (C(collected)).
    type: path
  keep:
    description: Whether the collector's files stay on the host (C(collected)).
    type: bool
    default: false
  reason:
    description: Why a collector that still runs has to stop (C(collected)).
    type: str
    default: the run ended
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Does nothing in check mode.
    support: full
"""

EXAMPLES = r"""
- name: Start the collector
  wk_collector:
    state: started
    host_dir: /var/tmp/wktriage/run1
    clock_file: /path/on/controller/packed/node1.clock.json
    topology_file: /path/on/controller/topology.json
    spec: "{{ evidence_spec }}"
"""

RETURN = r"""
out_dir:
  description: Where the collector of this host works; empty when none is needed.
  type: path
  returned: state is started
lead:
  description: Whether this host has the simulator.
  type: bool
  returned: state is started
deadline_seconds:
  description: After how many seconds it should long have finished.
  type: float
  returned: state is started
archive:
  description: The fetched evidence; empty when there is none.
  type: path
  returned: state is collected
bytes:
  description: Its size.
  type: int
  returned: state is collected
"""

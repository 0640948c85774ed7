#!/usr/bin/python
# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the action plugin of this name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wk_assemble
short_description: Make the bundle of a run
description:
  - Unpacks what the collectors packed, adds configuration, fingerprint and manifest, and takes out
    secrets. Runs on the controller.
  - A run on accumulated data is given the reference C(clean-twin) when the directory of its bundle
    holds a clean run with the same inputs.
options:
  bundle_dir:
    description: Where the bundle goes; the directory may exist, a finished bundle may not.
    type: path
    required: true
  tars_dir:
    description:
      - Directory on the controller with C(<host>.tar.gz) of each host, as C(collector.pyz pack)
        made it. A host of the stack without one is recorded as failed.
    type: path
    required: true
  run_file:
    description: The run's run.json.
    type: path
    required: true
  topology_file:
    description: The stack's topology.json.
    type: path
    required: true
  references:
    description: Name and file of each reference that the bundle carries.
    type: dict
    default: {}
  secrets_file:
    description: File on the controller with one secret a line, to be hidden in all evidence.
    type: path
  interrupted:
    description: Why the run did not end by itself.
    type: str
author:
  - WuKongIM triage harness authors (@wktriage)
attributes:
  check_mode:
    description: Does nothing in check mode.
    support: full
"""

EXAMPLES = r"""
- name: Make the bundle
  wk_assemble:
    bundle_dir: /path/runs/20260101T000000Z-custom-abcd
    tars_dir: /path/packed
    run_file: /path/run.json
    topology_file: /path/topology.json
"""

RETURN = r"""
manifest_file:
  description: The bundle's manifest.
  type: path
complete:
  description: Whether the run ended by itself and every host handed in its evidence.
  type: bool
"""

# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Documents the options that say where runs happen."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  driver:
    description: How the stack runs, as the inventory says it in C(stack_driver).
    type: str
    required: true
  benchmark_host:
    description:
      - Whether the inventory says that data directories may be emptied. Only C(true) itself counts,
        no text that looks like it.
    type: raw
    default: false
  hosts:
    description: Inventory names of the stack's hosts.
    type: list
    elements: str
    default: []
"""

# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Checks what the hosts and the stack's driver need before anything starts."""

from __future__ import annotations

from typing import Any

from wktriage.cli.action_base import TriageAction
from wktriage.request.request import from_dict
from wktriage.run import preflight
from wktriage.stack import drivers


class ActionModule(TriageAction):
    def act(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        request = from_dict(arguments["request"])
        probes = arguments["probes"]
        findings = preflight.run(request, probes, drivers.named(request.driver))
        for warning in findings.warnings:
            self._display.warning(warning)
        remarks = [*findings.notes, *findings.warnings]
        return {
            "changed": False,
            "boot_id": preflight.boot_id({h: p.get("boot_id") for h, p in probes.items()}),
            "round_seconds": preflight.round_seconds(probes.values()),
            "notes": remarks,
            "msg": preflight.describe(remarks),
        }

# Copyright (c) the WuKongIM triage harness authors
# SPDX-License-Identifier: Apache-2.0
"""Filters over a checked request; the decisions are in wktriage.run.planning."""

from __future__ import annotations

from typing import Any

from wktriage.request.request import from_dict
from wktriage.run import planning


def wk_baseline(request: dict[str, Any]) -> dict[str, Any]:
    return planning.baseline_request(from_dict(request)).as_dict()


def wk_ready_timeout(request: dict[str, Any]) -> float:
    return planning.ready_timeout(from_dict(request))


def wk_sim_env(request: dict[str, Any]) -> dict[str, str]:
    return planning.sim_env(from_dict(request))


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {
            "wk_baseline": wk_baseline,
            "wk_ready_timeout": wk_ready_timeout,
            "wk_sim_env": wk_sim_env,
        }

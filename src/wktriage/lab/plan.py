"""Which runs the lab makes: the parameters of one, and a draw of many."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from typing import Any

from wktriage.lab import faults
from wktriage.request.workload import KEYS

# 200 users at 50 msg/s leave room on a small host, so that the fault is the only thing wrong.
DEFAULT_RUN: dict[str, Any] = {
    "scenario": "custom",
    "users": 200,
    "person_channels": 100,
    "group_channels": 100,
    "group_members": 10,
    "rate": "0.25/s",
    "concurrency": 128,
    "connect_rate": 100,
    "duration": 45,
    "profile_seconds": 5,
}
HEAL_MARGIN_S = 4.0
DRAWN_SCENARIOS = (
    "custom", "smoke-default", "sampled-correctness", "person-hotpath", "group-fanout"
)  # fmt: skip
"""What runs healthily on a small host; a fault that is a workload of its own keeps that."""
STRENGTH_SPREAD = 1.5
"""Drawn strengths lie between a parameter's default divided by this and times this."""


def run_parameters(of_fault: Mapping[str, Any], of_caller: Mapping[str, Any]) -> dict[str, Any]:
    """Merge defaults, fault and caller. A named scenario takes no workload but its own."""
    parameters = {**DEFAULT_RUN, **of_fault, **of_caller}
    if parameters["scenario"] != "custom":
        for key in KEYS:
            parameters.pop(key, None)
    return parameters


def hold_seconds(parameters: Mapping[str, Any]) -> float:
    """Return how long a fault stays that names no end: window, profile and a margin."""
    window, profile = parameters["duration"], parameters["profile_seconds"]
    return float(window) + float(profile) + HEAL_MARGIN_S


def draw(seed: int, count: int) -> Iterator[str]:
    """Yield ``count`` commands that run a fault, drawn over faults, strengths and scenarios."""
    source = random.Random(seed)  # noqa: S311 (a draw that can be repeated, no secret)
    names = faults.names()
    for number in range(1, count + 1):
        fault = faults.load(source.choice(names))
        words = [f"wktriage lab run {fault.name}", f"--seed {source.randrange(1 << 16)}"]
        for key, value in sorted(fault.parameters.items()):
            factor = STRENGTH_SPREAD ** source.uniform(-1, 1)
            words.append(f"--set {key}={_scaled(value, factor)}")
        scenario = source.choice(DRAWN_SCENARIOS)
        if not fault.run:
            words.append(f"-e scenario={scenario}")
        words.append(f"--id s{seed}-{number:02d}")
        yield " ".join(words)


def _scaled(value: float | str, factor: float) -> str:
    """Multiply the number that a parameter is, or begins with (``6/s``); whole ones stay whole."""
    match = re.match(r"(\d+(?:\.\d+)?)(.*)", str(value))
    if match is None:
        return str(value)
    number, unit = match.groups()
    scaled = float(number) * factor
    return (f"{scaled:.3g}" if "." in number else str(max(1, round(scaled)))) + unit

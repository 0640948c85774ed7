"""What a bundle in WuKongIM's plain layout does not say, inferred from what it holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from wktriage.bundle.files import EXCERPT_CAP, EvidenceFiles
from wktriage.bundle.readers import status as status_reader
from wktriage.request import workload as workloads

_NODE_FILE = re.compile(r"^metrics/node(\d+)(?:-before)?\.prom(?:\.err)?$")
_LOG_FILE = re.compile(r"^logs/[^/]+/([A-Za-z0-9][\w.-]*)\.log(?:\.err)?$")
_DIGITS = re.compile(r"(\d{1,18})$")
_ENV_CAP = 64 * 1024
NODES_CAP = 5_000
"""Nodes of a cluster."""


def nodes(evidence: EvidenceFiles) -> tuple[str, ...]:
    """Return the nodes that metrics and log files are named after, by number."""
    names: set[str] = set()
    for rel in evidence.files:
        metrics = _NODE_FILE.match(rel)
        log = _LOG_FILE.match(rel)
        if metrics:
            names.add(f"wk-node{metrics.group(1)}")
        elif log and log.group(1) != "wk-sim":
            names.add(log.group(1))
    return tuple(sorted(names, key=_by_number)[:NODES_CAP])


def env(evidence: EvidenceFiles) -> dict[str, str]:
    """Return the KEY=value lines of env.txt."""
    variables: dict[str, str] = {}
    text = evidence.read_text("env.txt", _ENV_CAP) or ""
    # A last line that does not end may be cut: half a number is worse than none.
    for line in text[: text.rfind("\n") + 1].splitlines():
        key, separator, value = line.partition("=")
        if separator and key.replace("_", "").isalnum():
            variables[key.strip()] = value.strip()[:EXCERPT_CAP]
    return variables


def workload(evidence: EvidenceFiles, variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the workload that env.txt and the simulator's status tell."""
    values: dict[str, Any] = {}
    for variable, name in workloads.VARIABLES.items():
        if variable in variables:
            text = variables[variable]
            values[name] = int(text) if text.isascii() and text.isdigit() else text
    config = status_reader.effective_config(evidence)
    for theirs, name in workloads.STATUS_NAMES.items():
        if theirs in config and name not in values:
            values[name] = config[theirs]
    return values


def window(evidence: EvidenceFiles) -> tuple[tuple[float, float] | None, str]:
    """Infer the measured window of a bundle without window.json, and say from what.

    It begins with the first sample in state running whose counters have moved (they are published
    every 10 s and start at 0 after warm-up), and ends with the last sample, answered or not: a
    simulator that fell silent did so inside the window.
    """
    seen = status_reader.samples(evidence)
    running = [s for s in seen if s.state == "running"]
    if not running:
        return None, "none: the simulator was never seen running"
    end = seen[-1].time
    moved = next((s for s in running if s.total > 0), None)
    if moved is not None and end > moved.time:
        return (moved.time, end), "from the first moved counters to the last status sample"
    if end > running[0].time:
        return (running[0].time, end), "from the first running sample: counters never moved"
    return None, "none: a single running sample"


def _by_number(name: str) -> tuple[str, int]:
    digits = _DIGITS.search(name)
    return (name[: digits.start()], int(digits.group(1))) if digits else (name, -1)

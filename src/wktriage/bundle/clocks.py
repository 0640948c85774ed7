"""clocks.json: how far the hosts' clocks were from the controller's, before and after a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wktriage.core.json_files import read_object
from wktriage.core.times import parse_time

SCHEMA_VERSION = 1
SUFFIX = ".clock.json"
"""Ends the file in which the controller keeps the readings of one host, beside its evidence."""

DRIFT = 200e-6
"""How far two undisturbed clocks may drift apart, per second. Quartz keeps below half of it."""

Reading = Mapping[str, Any]
"""``offset_s``, seconds ahead of the controller; ``uncertainty_s``, how well that is known; ``at``,
when it was read, in the controller's time (ISO 8601 UTC)."""


def document(folder: Path) -> dict[str, Any] | None:
    """Return clocks.json from the readings that lie in ``folder``; None when there are none."""
    hosts = []
    for file in sorted(folder.glob(f"*{SUFFIX}")):
        readings = read_object(file) or {}
        before, after = readings.get("before"), readings.get("after")
        hosts.append(
            {
                "host": file.name.removesuffix(SUFFIX),
                "before": before,
                "after": after,
                "corrected_s": correction(before),
                "step_s": step(before, after),
            }
        )
    return {"schema_version": SCHEMA_VERSION, "hosts": hosts} if hosts else None


def correction(reading: Reading | None) -> float:
    """Return by how many seconds a host's times are moved back; less than is known is nothing."""
    if reading is None or abs(reading["offset_s"]) <= reading["uncertainty_s"]:
        return 0.0
    return float(reading["offset_s"])


def step(before: Reading | None, after: Reading | None) -> float | None:
    """Return by how many seconds a clock was set between two readings; None when unknown.

    Zero is a change that uncertainty and drift explain.
    """
    if before is None or after is None:
        return None
    begin, end = parse_time(str(before["at"])), parse_time(str(after["at"]))
    if begin is None or end is None:
        return None
    change = float(after["offset_s"]) - float(before["offset_s"])
    explained = before["uncertainty_s"] + after["uncertainty_s"] + DRIFT * abs(end - begin)
    return round(change, 6) if abs(change) > explained else 0.0


def moved(clocks: Mapping[str, Any]) -> str | None:
    """Say which clocks were set while the run went on; None when none is known to have been."""
    texts = [
        f"the clock of {host['host']} was set {abs(host['step_s']):.3f} s "
        f"{'forward' if host['step_s'] > 0 else 'back'}"
        for host in clocks["hosts"]
        if host["step_s"]
    ]
    if not texts:
        return None
    return f"{', '.join(texts)} while the run went on: times in logs changed there, rows did not"

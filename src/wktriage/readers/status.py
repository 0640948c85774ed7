"""The simulator's status timeline."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wktriage.readers.jsonl import Row, number, rows
from wktriage.readers.times import parse_time

if TYPE_CHECKING:
    from wktriage.bundle import Bundle

CONFIG_NAMES = {
    "total_users": "users",
    "person_channels": "person_channels",
    "group_channels": "group_channels",
    "group_members": "group_members",
    "person_rate_per_channel": "rate",
    "concurrency": "concurrency",
    "warmup": "warmup",
    "verify_recv": "verify_recv",
    "uid_prefix": "uid_prefix",
    "connect_rate": "connect_rate",
}
"""Names in the status' ``config`` and ours."""

_RATE = re.compile(r"^\s*([0-9.]+)\s*/s\s*$")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


@dataclass(frozen=True)
class Sample:
    """One status sample; ``state`` None when the simulator did not answer."""

    row: Row
    time: float
    state: str | None
    run_id: str
    sent: float
    send_errors: float
    recv_errors: float
    active_users: float
    reconnected: float
    last_error: str
    config: dict[str, Any]

    @property
    def total(self) -> float:
        """Sum of the traffic counters: grows whenever they are published anew."""
        return self.sent + self.send_errors + self.recv_errors


def samples(bundle: Bundle, damaged: list[int] | None = None) -> list[Sample]:
    """Return the samples of status.jsonl that have a time, in time order."""
    found: list[Sample] = []
    for row in rows(bundle, "status.jsonl", damaged):
        if row.time is None:
            if damaged is not None:
                damaged.append(row.line)
            continue
        status = row.data.get("status")
        known = isinstance(status, dict) and isinstance(status.get("state"), str)
        body: dict[str, Any] = status if isinstance(status, dict) and known else {}
        config = body.get("config")
        found.append(
            Sample(
                row=row,
                time=row.time,
                state=body.get("state"),
                run_id=str(body.get("run_id", "")),
                sent=number(body.get("messages_sent")) or 0.0,
                send_errors=number(body.get("send_errors")) or 0.0,
                recv_errors=number(body.get("recv_errors")) or 0.0,
                active_users=number(body.get("active_users")) or 0.0,
                reconnected=number(body.get("reconnected_users")) or 0.0,
                last_error=str(body.get("last_error") or ""),
                config=config if isinstance(config, dict) else {},
            )
        )
    found.sort(key=lambda s: (s.time, s.row.line))
    return found


def effective_config(bundle: Bundle) -> dict[str, Any]:
    """Return the configuration that the simulator reports, {} when none was seen."""
    for row in rows(bundle, "status.jsonl"):
        status = row.data.get("status")
        config = status.get("config") if isinstance(status, dict) else None
        if isinstance(config, dict):
            return config
    return {}


def infer_window(bundle: Bundle) -> tuple[tuple[float, float] | None, str]:
    """Infer the measured window of a bundle without window.json, and say from what.

    It begins with the first sample in state running whose counters have moved (they are published
    every 10 s and start at 0 after warm-up), and ends with the last sample, answered or not: a
    simulator that fell silent did so inside the window.
    """
    seen = samples(bundle)
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


def replayed_window(bundle: Bundle, seen: Sequence[Sample]) -> tuple[float, float]:
    """Return the window (start, end; epoch seconds) that a replay of the bundle goes through.

    ``seen`` are its samples, at least one. It is the measured window; where none was measured it
    begins with the first counted message and is as long as was asked for, or ends with the last
    sample. The stand-ins on the hosts serve the same one.
    """
    window = bundle.read_json("window.json") or {}
    start, end = parse_time(window.get("start")), parse_time(window.get("end"))
    if start is not None and end is not None:
        return start, end
    first, last = seen[0].time, seen[-1].time
    moved = next((sample.time for sample in seen if sample.sent), None)
    asked = _seconds(window.get("asked_seconds") or bundle.env.get("DURATION"))
    if moved is None:
        return max(first, last - (asked or 0.0)), last
    return moved, last if asked is None else min(moved + asked, last)


def _seconds(value: object) -> float | None:
    """Return a finite number that is not negative, given as one or as text; else None."""
    try:
        seconds = float(value) if isinstance(value, str) else number(value)
    except ValueError:
        return None
    return seconds if seconds is not None and 0 <= seconds < math.inf else None


def parse_rate(value: object) -> float | None:
    """Return messages per second of texts such as ``0.25/s``; None for anything else."""
    found = _RATE.match(value) if isinstance(value, str) else None
    try:
        return float(found.group(1)) if found else None
    except ValueError:
        return None


def parse_duration(value: object) -> float | None:
    """Return seconds of a Go duration such as ``1m30s``; None for anything else."""
    if not isinstance(value, str):
        return number(value)
    parts = _DURATION.findall(value)
    if not parts or "".join(a + b for a, b in parts) != value.strip():
        return 0.0 if value.strip() == "0" else None
    return sum(float(amount) * _UNITS[unit] for amount, unit in parts)

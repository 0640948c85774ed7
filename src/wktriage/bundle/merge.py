"""The evidence of several hosts as that of one run."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from wktriage.bundle import layout
from wktriage.bundle.host_evidence import HostEvidence
from wktriage.core import schemas
from wktriage.core.json_files import read_object

WINDOW = "window.json"
_ROW_TIME = re.compile(rb'"(?:sample_time|time)"\s*:\s*"([^"]{1,40})"')


def merge(hosts: Sequence[HostEvidence], stage: Path) -> list[str]:
    """Move every host's evidence into the directory ``stage``; return what two hosts both claimed.

    ``hosts`` come with the one that watched the simulator first: its files win.
    """
    conflicts = []
    for name in layout.ROWS:
        sources = [path for h in hosts if (path := h.evidence / name).is_file()]
        if sources:
            _merge_rows(sources, stage / name)
    for host in hosts:
        for name in layout.relative_files(host.evidence):
            if name in layout.ROWS:
                continue
            target = stage / name
            if target.exists():
                # The lead's window is the run's; its samplers follow the same simulator.
                if name != WINDOW:
                    conflicts.append(f"{name} of {host.host}")
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            (host.evidence / name).replace(target)
    return conflicts


def merged_window(stage: Path, hosts: Sequence[HostEvidence], why: str | None) -> dict[str, Any]:
    """Return the run's window.json with every host's collector listed.

    Without a usable one it is made up, as invalid; ``why`` then is the reason. Raises SchemaError.
    """
    lead = next((h for h in hosts if h.lead), None)
    recorded = read_object(stage / WINDOW) if lead else None
    if recorded is None or schemas.problem("window", recorded) is not None:
        document = _invalid_window(lead.state.get("window_seconds") if lead else None, why)
    else:
        document = recorded
    costs = []
    for host in hosts:
        own = (read_object(host.evidence / WINDOW) or {}).get("collector")
        costs.extend(own if isinstance(own, list) else [])
    if lead is not None:
        costs = [*document["collector"], *(c for c in costs if c not in document["collector"])]
    document["collector"] = costs
    schemas.validate("window", document)
    return document


def _invalid_window(asked_seconds: float | None, why: str | None) -> dict[str, Any]:
    reason = why or "no window was recorded"
    return {
        "schema_version": 1, "valid": False, "reason": reason, "start": None, "end": None,
        "asked_seconds": asked_seconds, "running_since": None, "warmup_over": None,
        "counters_moved_at": None, "sim_run_id": None, "interrupted": why, "phases": [],
        "cadence": {"interval_s": None, "due": None, "taken": None, "missed": None,
                    "jitter_ms": {"p50": None, "p99": None, "max": None}},
        "collector": [],
        "profile": {"start": None, "end": None, "fenced": False, "fence_reason": reason},
    }  # fmt: skip


def _merge_rows(sources: Sequence[Path], target: Path) -> None:
    """Merge JSON-lines files that are each in order of time."""
    handles = [path.open("rb") for path in sources]
    try:
        with target.open("wb") as out:
            rows: Iterable[bytes] = heapq.merge(*map(_whole_lines, handles), key=_row_time)
            out.writelines(rows)
    finally:
        for handle in handles:
            handle.close()


def _whole_lines(handle: BinaryIO) -> Iterator[bytes]:
    """Yield the whole lines of a file; a last one that was cut off by a crash is dropped."""
    return (line for line in handle if line.endswith(b"\n"))


def _row_time(line: bytes) -> bytes:
    match = _ROW_TIME.search(line[:300])
    return match[1] if match else b""

"""Probe results of the nodes: healthz, readyz and goroutine summaries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wktriage.bundle.files import EvidenceFiles
from wktriage.bundle.readers.jsonl import number, rows
from wktriage.core.json_files import parse_object

#: What a replay answers where nothing was recorded: unknown, not down. A node never says it.
NOT_RECORDED = 501


@dataclass(frozen=True)
class Probe:
    """One probe; ``took`` in seconds."""

    time: float
    line: int
    kind: str
    ok: bool
    took: float | None
    error: str | None
    body: str


def read(bundle: EvidenceFiles) -> dict[str, list[Probe]]:
    """Return the probes by node, in file order."""
    by_node: dict[str, list[Probe]] = {}
    for row in rows(bundle, "health.jsonl"):
        node, ok = row.data.get("node"), row.data.get("ok")
        if row.time is None or not isinstance(node, str) or not isinstance(ok, bool):
            continue
        if row.data.get("http_status") == NOT_RECORDED:
            continue
        took = number(row.data.get("took_ms"))
        error = row.data.get("error")
        by_node.setdefault(node, []).append(
            Probe(
                row.time,
                row.line,
                str(row.data.get("probe", "")),
                ok,
                None if took is None else took / 1000,
                error if isinstance(error, str) else None,
                str(row.data.get("body") or ""),
            )
        )
    return by_node


def summary(probe: Probe) -> dict[str, Any]:
    """Return the goroutine summary that a probe holds, {} when it holds none."""
    return parse_object(probe.body) or {}

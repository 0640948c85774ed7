"""The nodes' own views of the cluster: slots, leaders, replica lag."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from wktriage.bundle.files import EvidenceFiles
from wktriage.bundle.readers.jsonl import number, rows


@dataclass
class ClusterView:
    """What cluster.jsonl says of the window; lines are 1-based, 0 for none.

    ``lag`` is by WuKongIM node id, ``apply_gap`` by node name: (entries, line).
    """

    last_line: int = 0
    leaderless: int | None = None
    leaderless_line: int = 0
    lag: dict[str, tuple[float, int]] = field(default_factory=dict)
    apply_gap: dict[str, tuple[float, int]] = field(default_factory=dict)


def read(bundle: EvidenceFiles, window: tuple[float, float] | None) -> ClusterView:
    """Read the samples of the window (progress is only told by a slot's leader: taken from all)."""
    view = ClusterView()
    for row in rows(bundle, "cluster.jsonl", whole=False):
        cluster = row.data.get("cluster")
        if row.time is None or not isinstance(cluster, dict):
            continue
        if window is not None and not window[0] <= row.time <= window[1]:
            continue
        slots = cluster.get("slots")
        if not isinstance(slots, list):
            continue
        view.last_line = row.line
        leaderless = 0
        for slot in slots:
            if not isinstance(slot, dict):
                continue
            if not slot.get("leader_id"):
                leaderless += 1
            _progress(view, slot, str(row.data.get("node", "")), row.line)
        if view.leaderless is None or leaderless > view.leaderless:
            view.leaderless, view.leaderless_line = leaderless, row.line
    return view


def _progress(view: ClusterView, slot: dict[str, Any], node: str, line: int) -> None:
    committed, applied = number(slot.get("commit_index")), number(slot.get("applied_index"))
    if committed is not None and applied is not None:
        gap = max(0.0, committed - applied)
        if node not in view.apply_gap or gap > view.apply_gap[node][0]:
            view.apply_gap[node] = (gap, line)
    progress = slot.get("replica_progress")
    for replica in progress if isinstance(progress, list) else []:
        if not isinstance(replica, dict):
            continue
        lag = number(replica.get("lag_entries"))
        key = str(replica.get("node_id"))
        if lag is not None and (key not in view.lag or lag > view.lag[key][0]):
            view.lag[key] = (lag, line)

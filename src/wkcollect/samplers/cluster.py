"""A node's own view of the cluster: /debug/cluster."""

from __future__ import annotations

import time
from typing import Any

from wkcollect import limits
from wkcollect.http import Unanswered, refusal
from wkcollect.run import Run
from wkcollect.values import describe, parse_json


class ClusterView:
    """Samples the cluster as one node sees it."""

    def __init__(self, run: Run, node: dict[str, Any]) -> None:
        self._run = run
        self._node: str = node["name"]
        self._client = run.client(node["api_url"])
        self._tally = run.evidence.tally("cluster")

    def take(self, _seq: int, _due: float, _lateness: float) -> None:
        """Take one sample."""
        run = self._run
        began = time.monotonic()
        row: dict[str, Any] = {"sample_time": run.clock.iso(began), "node": self._node}
        error, timeout = None, False
        try:
            row["cluster"] = self._view()
        except Unanswered as failure:
            error, timeout = str(failure), failure.timeout
            row["error"] = error
        run.evidence.add_row("cluster", "cluster.jsonl", row)
        if not error or run.window.opened:
            self._tally.note(not error, error, timeout, began)

    def _view(self) -> Any:
        code, body, cut = self._client.get(
            "/debug/cluster", limits.SLOW_PROBE_TIMEOUT, limits.CLUSTER_BODY
        )
        if code != 200:
            raise Unanswered(refusal(code))
        if cut:
            raise Unanswered("answer too large")
        try:
            return parse_json(body)
        except ValueError as error:
            raise Unanswered(f"the answer is not JSON: {describe(error)}") from None

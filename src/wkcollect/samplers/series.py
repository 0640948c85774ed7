"""A node's /metrics again and again, stored compressed."""

from __future__ import annotations

import gzip
import time
from typing import Any

from wkcollect import limits, metrics
from wkcollect.http import Unanswered
from wkcollect.run import Run


class Series:
    """Samples the metrics of one node."""

    def __init__(self, run: Run, node: dict[str, Any]) -> None:
        self._run = run
        self._label = f"node{node['id']}"
        self._client = run.client(node["api_url"])
        self._tally = run.evidence.tally("metrics-series")

    def take(self, _seq: int, _due: float, _lateness: float) -> None:
        """Take one sample; what fails before the window is normal and leaves no trace."""
        run = self._run
        began = time.monotonic()
        name = f"metrics/series/{self._label}/{int(run.clock.wall(began) * 1000)}.prom"
        try:
            body = metrics.fetch(self._client, limits.METRICS_TIMEOUT, run.file_bytes)
        except Unanswered as failure:
            if run.window.opened:
                self._tally.note(False, str(failure), failure.timeout, began)
                run.evidence.add_error("metrics-series", name, str(failure))
            return
        run.connections[self._label] = metrics.gateway_connections(body)
        # Level 1: a third of the cost of the default for a tenth more bytes, and zlib lets go
        # of the interpreter lock while it works.
        run.evidence.add_file("metrics-series", name + ".gz", gzip.compress(body, 1))
        self._tally.note(True, began=began)

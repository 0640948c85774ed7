"""A node's /metrics: fetched whole, and the one number in it that is shown during the run."""

from __future__ import annotations

from typing import Any

from wkcollect import limits
from wkcollect.http import Http, get_body
from wkcollect.run import Run

_CONNECTIONS = b"\nwukongim_gateway_connections_active"


def fetch(client: Http, timeout: float, limit: int) -> bytes:
    """Return the text of /metrics, of at most ``limit`` bytes. Raises Unanswered."""
    return get_body(client, "/metrics", timeout, limit)


def scrape_all(run: Run, collector: str, suffix: str) -> None:
    """Fetch /metrics of all nodes at once into metrics/nodeN<suffix>.prom."""

    def scrape(node: dict[str, Any]) -> None:
        client = run.client(node["api_url"])
        timeout = run.patience(node, limits.METRICS_TIMEOUT)
        run.evidence.store(
            collector,
            f"metrics/node{node['id']}{suffix}.prom",
            lambda: fetch(client, timeout, run.file_bytes),
        )

    run.for_nodes(scrape)


def gateway_connections(body: bytes) -> int | None:
    """Return the sum of wukongim_gateway_connections_active in a /metrics text, or None."""
    total, at = None, 0
    while True:
        at = body.find(_CONNECTIONS, at)
        if at < 0:
            return total
        line = body[at + 1 : body.find(b"\n", at + 1)]
        at += len(_CONNECTIONS)
        try:
            total = (total or 0) + int(float(line.rsplit(b" ", 1)[1]))
        except (ValueError, IndexError, OverflowError):
            continue

"""The closed lists of categories, with their groups, and of components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal


@dataclass(frozen=True)
class Category:
    """One category. ``blames`` says whose trouble it is.

    ``nobody``, the ``stack`` that never ran, the ``data`` of earlier runs, the ``client`` (the
    simulator), the ``connections`` between it and the servers, the ``servers``, or their ``host``.
    """

    name: str
    blames: str


TABLE = (
    Category("insufficient_evidence", "nobody"),
    Category("baseline_health", "stack"),
    Category("history_sensitive", "data"),
    Category("client_bottleneck", "client"),
    Category("online_churn", "connections"),
    Category("cold_start", "servers"),
    Category("delivery_path", "servers"),
    Category("send_path", "servers"),
    Category("local_capacity", "host"),
    Category("distributed_lag", "servers"),
    Category("server_hot_path", "servers"),
    Category("healthy", "nobody"),
)
"""In the order in which they are decided: the first that holds wins."""

CATEGORIES = tuple(category.name for category in TABLE)

COMPONENTS = (
    "none",
    "client",
    "gateway",
    "channel_append",
    "storage_commit",
    "replication",
    "slot_raft",
    "controller",
    "transport",
    "delivery",
    "presence",
    "connections",
    "node_process",
    "host",
    "stack",
    "history",
)
"""The parts of the system that a verdict may name."""

# What declarations of data files take; a checker of types cannot follow a list made at run time.
if TYPE_CHECKING:
    CategoryName = str
    ComponentName = str
else:
    CategoryName = Literal[CATEGORIES]
    ComponentName = Literal[COMPONENTS]

ABSTAIN = "insufficient_evidence"
HEALTHY = "healthy"


def blaming(*whom: str) -> frozenset[str]:
    """Return the names of the categories that blame one of ``whom``."""
    return frozenset(category.name for category in TABLE if category.blames in whom)


SERVERS = blaming("servers")
"""Their cause can be a defect of the server's code."""

CAUSES = blaming("client", "connections", "servers", "host")
"""They name what failed under the load. The others are about the run, or find no failure."""

NOT_ABOUT_TRAFFIC = blaming("nobody", "stack")
"""They say nothing about the traffic, so taking a mix of it apart would not help."""

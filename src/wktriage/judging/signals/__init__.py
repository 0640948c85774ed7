"""Signals: named measurements of a bundle, each with unit, value or unknown, and citations.

One module an area. The catalogue (catalogue.yml) is the contract with the rules: every name in it
is stated for every bundle, as unknown with a reason where the evidence is missing.
"""

from __future__ import annotations

from wktriage.bundle.bundle import Bundle
from wktriage.core.model import SignalSet
from wktriage.judging.signals import (
    client,
    connections,
    containers,
    control_groups,
    cpu,
    delivery,
    devices,
    go_limits,
    history,
    hosts,
    latency,
    logs,
    network,
    nodes,
    onset,
    peer_failures,
    pools,
    profiles,
    quorum,
    restarts,
    runtime,
    stalls,
    traffic,
    window,
)
from wktriage.judging.signals.context import Context, catalogue, title

__all__ = ["Context", "catalogue", "compute", "title"]

AREAS = (
    window,
    traffic,
    logs,
    latency,
    pools,
    delivery,
    cpu,
    hosts,
    network,
    control_groups,
    devices,
    go_limits,
    client,
    nodes,
    containers,
    stalls,
    restarts,
    quorum,
    connections,
    peer_failures,
    profiles,
    runtime,
    history,
    onset,
)
"""In order: later areas use what earlier ones stated."""

_DAMAGE = (ValueError, KeyError, IndexError, TypeError, ArithmeticError, AttributeError, OSError)


def compute(bundle: Bundle, *, strict: bool = False) -> SignalSet:
    """Compute every signal of the catalogue.

    Evidence that trips a reader makes the signals of that area unknown, with the reason; with
    ``strict`` (tests) it raises instead.
    """
    ctx = Context(bundle)
    reasons: dict[str, str] = {}
    for area in AREAS:
        try:
            area.compute(ctx)
        except _DAMAGE as error:
            if strict:
                raise
            name = area.__name__.rpartition(".")[2]
            reasons[name] = f"{name}: the evidence could not be read ({type(error).__name__})"
    default = "; ".join(reasons.values()) or "nothing in this bundle tells it"
    for name, entry in catalogue().items():
        scope = entry["scope"]
        scopes: list[str | None] = [None] if scope in ("cluster", "both") else []
        scopes += list(bundle.nodes) if scope in ("node", "both") else []
        for node in scopes:
            if ctx.signals.get(name, node) is None:
                ctx.put(name, None, node=node, why=default)
    return ctx.signals

"""Connections, links, ports and descriptors of each node and the simulator, as Linux counts."""

from __future__ import annotations

from functools import partial

from wktriage.bundle.readers.usage import SIM, UsageSample
from wktriage.judging.signals import kernel
from wktriage.judging.signals.context import Context
from wktriage.judging.signals.kernel import Measure, Reading

FEW_SEGMENTS = 100
"""Segments below which the share of those sent again says nothing."""

_COUNTS: dict[str, tuple[str, ...]] = {
    "tcp_timeouts": ("tcp_timeouts",),
    "tcp_syn_retransmits": ("tcp_syns_retransmitted",),
    "tcp_connects_failed": ("tcp_connects_failed",),
    "tcp_resets": ("tcp_established_resets",),
    "tcp_drops": ("tcp_backlog_drops", "tcp_receive_queue_drops"),
    "listen_overflows": ("listen_overflows",),
    "link_drops": ("link_rx_drops", "link_tx_drops"),
    "link_errors": ("link_rx_errors", "link_tx_errors"),
}
"""Signals that are the growth of counters in the window."""

_OF_SIMULATOR = ("tcp_connects_failed", "link_drops")
"""Those that are stated for the simulator, too: it has no peers to be compared with."""


def compute(ctx: Context) -> None:
    """State what the network of each node and of the simulator did."""
    shared = _shared_namespaces(ctx)
    for name, counters in _COUNTS.items():
        simulator = name in _OF_SIMULATOR
        kernel.state(ctx, name, _grown(*counters), "sum", simulator=simulator, why=shared)
    kernel.state(ctx, "tcp_retransmit_ratio", _retransmitted, why=shared)
    kernel.state(ctx, "time_wait_sockets", _time_wait, simulator=False, why=shared)
    kernel.state(ctx, "ports_used", _ports_used, why=shared)
    for name, counter in (
        ("link_receive_rate", "link_rx_bytes"),
        ("link_send_rate", "link_tx_bytes"),
    ):
        kernel.state(ctx, name, _rate(counter), "sum", simulator=False, why=shared)
    value, cites = kernel.descriptors_used(ctx, SIM)
    ctx.put("sim_descriptors_used", value, cites, why=kernel.NOT_COUNTED)


def _grown(*counters: str) -> Measure:
    return lambda ctx, entity: kernel.growth(ctx, entity, *counters)


def _rate(counter: str) -> Measure:
    return partial(_rate_of, counter)


def _rate_of(counter: str, ctx: Context, entity: str) -> Reading:
    return kernel.rate(ctx, entity, counter)


def _retransmitted(ctx: Context, entity: str) -> Reading:
    sent, _ = kernel.growth(ctx, entity, "tcp_segments_sent")
    again, cites = kernel.growth(ctx, entity, "tcp_segments_retransmitted")
    if sent is None or again is None or sent < FEW_SEGMENTS:
        return None, []
    # OutSegs leaves out what is sent again (RFC 4022).
    return again / (sent + again), cites


def _time_wait(ctx: Context, entity: str) -> Reading:
    return kernel.highest(ctx, entity, lambda s: s.counters["tcp_time_wait"], "tcp_time_wait")


def _ports_used(ctx: Context, entity: str) -> Reading:
    """Return sockets over ports: each destination has the whole range to itself."""
    names = ("tcp_sockets", "tcp_time_wait", "port_range_low", "port_range_high")

    def share(sample: UsageSample) -> float:
        sockets, waiting, low, high = (sample.counters[name] for name in names)
        return (sockets + waiting) / max(1.0, high - low + 1)

    return kernel.highest(ctx, entity, share, *names)


def _shared_namespaces(ctx: Context) -> dict[str, str]:
    """Return why the network of a node or the simulator tells nothing of it alone, by name.

    Processes of one host share its namespace; inode numbers name one on its own host only.
    """
    topology = ctx.bundle.read_json("topology.json") or {}
    sim = topology.get("sim")
    hosts = {SIM: sim.get("host") if isinstance(sim, dict) else None}
    hosts |= {str(entry["name"]): entry.get("host") for entry in ctx.bundle.topology_nodes}
    by_namespace: dict[tuple[str, float], set[str]] = {}
    for entity in (*ctx.nodes, SIM):
        for sample in kernel.samples(ctx, entity, "network_namespace")[-1:]:
            place = str(hosts.get(entity)), sample.counters["network_namespace"]
            by_namespace.setdefault(place, set()).add(entity)
    return {
        entity: "it shares its network namespace with others of the stack"
        for together in by_namespace.values()
        if len(together) > 1
        for entity in together
    }

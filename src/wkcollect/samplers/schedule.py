"""Which samplers run, how often, and when in the second: offsets spread the work."""

from __future__ import annotations

from wkcollect import limits
from wkcollect.run import Run
from wkcollect.samplers.cluster import ClusterView
from wkcollect.samplers.containers import ContainerUsage, States
from wkcollect.samplers.events import Events
from wkcollect.samplers.health import Health
from wkcollect.samplers.host import HostUsage
from wkcollect.samplers.processes import ProcessUsage
from wkcollect.samplers.series import Series
from wkcollect.samplers.served import ServedUsage
from wkcollect.samplers.status import Status


def start(run: Run) -> None:
    """Start every sampler, each in a thread of its own."""
    run.sample("status", run.interval, 0.0, Status(run))
    _start_nodes(run)
    _start_resources(run)
    run.sample("host", run.interval, 0.05, HostUsage(run))


def _start_nodes(run: Run) -> None:
    series_interval = float(run.spec.get("series_interval", 10))
    slow = limits.SLOW_INTERVAL
    for index, node in enumerate(run.nodes):
        share = index / len(run.nodes)
        turn = slow * share
        healthz = Health(run, node, "healthz", "/healthz", limits.HEALTHZ_TIMEOUT)
        readyz = Health(run, node, "readyz", "/readyz", limits.SLOW_PROBE_TIMEOUT)
        goroutines = Health(
            run, node, "goroutines", "/debug/goroutines/summary", limits.SLOW_PROBE_TIMEOUT
        )
        run.sample("health", run.interval, 0.1 + 0.1 * share, healthz)
        run.sample("health", slow, turn + 0.4, readyz)
        run.sample("health", slow, turn + 1.4, goroutines)
        run.sample("cluster", slow, turn + 2.4, ClusterView(run, node))
        run.sample("metrics-series", series_interval, turn + 3.45, Series(run, node))


def _start_resources(run: Run) -> None:
    targets = run.targets()
    containers = [t for t in targets if t.handle.get("kind") == "container"]
    if containers:
        states = States(run, containers)
        run.sample("resources", run.interval, 0.25, states)
        for index, target in enumerate(containers):
            usage = ContainerUsage(run, target, states)
            run.sample("resources", run.interval, 0.35 + 0.5 * index / len(containers), usage)
        run.spawn("events", Events(run, containers, states).follow)
    else:
        run.evidence.tally("docker-stats").settle("not_applicable")
        if not any(t.handle.get("events_url") for t in targets):
            run.evidence.tally("events").settle("not_applicable")
    for index, target in enumerate(targets):
        offset = 0.35 + 0.5 * index / len(targets)
        if target.handle.get("kind") == "process":
            run.sample("resources", run.interval, offset, ProcessUsage(run, target))
        elif target.handle.get("kind") == "http":
            run.sample("resources", run.interval, offset, ServedUsage(run, target))

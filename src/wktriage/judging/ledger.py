"""Where a message's time goes: seconds a message, by stage and node, summing to the whole.

The whole is the measured cycle where the simulator is held back (Little's law: messages in flight
/ rate), else the time inside the servers. What no histogram explains is a stage of its own, so
that the stages sum to the whole. A stage whose evidence is missing is unknown, and so is every rest
that would have to be reckoned from it; nothing that is missing counts as zero.

The stages and their order are those of WuKongIM's docs/development/PERF_TRIAGE.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from wktriage.core.categories import ComponentName
from wktriage.core.model import SignalSet
from wktriage.judging.symptom import number

StageName = Literal[
    "client", "gateway", "create", "route", "append_pool", "own_store", "followers", "append_rest"
]

STAGES: Mapping[str, str] = {
    "client": "outside the servers",
    "gateway": "waiting for a gateway worker",
    "create": "creating the channel",
    "route": "between gateway and append",
    "append_pool": "append: waiting for a worker",
    "own_store": "append: the leader's own store",
    "followers": "append: waiting for followers",
    "append_rest": "append: the rest",
}
"""What a person reads for each stage, in the order in which a message passes them."""

PART = 0.1
"""Share of a message's time from which on a stage, or what holds it up, is part of the symptom."""

COMPONENTS: Mapping[str, ComponentName] = {
    "client": "client",
    "gateway": "gateway",
    "create": "channel_append",
    "route": "channel_append",
    "append_pool": "channel_append",
    "own_store": "storage_commit",
    "followers": "replication",
    "append_rest": "channel_append",
}
"""The part of the system that a stage belongs to."""

_MEASURED = {
    "gateway": "dispatch_wait_mean",
    "create": "channel_create_mean",
    "append_pool": "append_pool_wait_mean",
    "own_store": "local_store_mean",
    "followers": "quorum_wait_mean",
}
"""The stages that have a histogram of their own, with the signal of its mean (s)."""

_FAILURES = (
    ("answers of the gateway", "sendack_errors", ("sendack_error_class", "send_failed_class")),
    ("append queues", "append_errors_backpressured", ()),
    ("the leader's store", "storage_errors", ()),
    ("exchanges with followers", "peer_exchange_errors", ()),
    ("calls between nodes", "rpc_errors", ("rpc_error_service",)),
    ("pushes of deliveries", "push_errors", ()),
)
"""Where the servers count failures: the signals of their number and of the commonest reason."""


_NO_REASON = (None, "none", "unknown")


@dataclass(frozen=True)
class Failures:
    """How many failures were counted at one stage of one node; ``reason`` is None if unknown."""

    where: str
    node: str
    count: float
    reason: str | None = None


@dataclass(frozen=True)
class Account:
    """The seconds a message spends, by stage, at one node or (``node`` None) in the cluster."""

    node: str | None
    whole: float | None
    stages: Mapping[str, float | None]

    def share(self, stage: str) -> float | None:
        """Return the share (0 to 1) of the whole that is spent in a stage, None when unknown.

        Where failed messages count in some stages only, these may sum to more than the whole: then
        it is the share of their sum.
        """
        seconds = self.stages.get(stage)
        if seconds is None or not self.whole:
            return None
        return seconds / max(self.whole, sum(s for s in self.stages.values() if s is not None))


@dataclass(frozen=True)
class Ledger:
    """A message's time in the cluster and at each node, and where failures were counted.

    ``baseline`` holds the shares (0 to 1) of the run's own healthy baseline by stage, as far as
    they are recorded.
    """

    cluster: Account
    nodes: tuple[Account, ...]
    failures: tuple[Failures, ...]
    baseline: Mapping[str, float] = field(default_factory=dict)

    def held_up(self, stages: Iterable[str], nodes: Iterable[str]) -> float | None:
        """Return the share of a message's time that is spent in some stages at some nodes.

        A lower bound: stages that are unknown count as nothing. None where all are unknown, and for
        nodes whose own ledger is not recorded. Without nodes the whole cluster is meant.
        """
        named = frozenset(nodes)
        own = [s for a in self.nodes if a.node in named for s in a.stages.values()]
        if named and all(seconds is None for seconds in own):
            return None
        shares = []
        for stage in stages:
            share = self.cluster.share(stage)
            if share is None:
                continue
            here = {a.node: a.stages.get(stage) for a in self.nodes}
            total = sum(s for s in here.values() if s is not None)
            if named and total:
                share *= sum(s for n, s in here.items() if n in named and s is not None) / total
            shares.append(share)
        return min(1.0, sum(shares)) if shares else None

    def largest(self) -> str | None:
        """Return the stage that most of the time goes to, None when none is known.

        Beside a baseline, the one whose share grew most: what takes long in a healthy run too is
        not what is wrong.
        """
        known = {s: self.cluster.share(s) or 0.0 for s, v in self.cluster.stages.items() if v}
        beside = self.baseline if known.keys() <= self.baseline.keys() else {}
        return max(known, key=lambda s: known[s] - beside.get(s, 0.0)) if known else None

    def as_dict(self) -> dict[str, Any]:
        """Return the ledger as verdict.json has it: seconds and shares, by stage."""
        return {
            "whole_s": self.cluster.whole,
            "stages": [
                {
                    "stage": stage,
                    "title": STAGES[stage],
                    "seconds": seconds,
                    "share": self.cluster.share(stage),
                    "baseline_share": self.baseline.get(stage),
                    "nodes": {str(a.node): a.stages.get(stage) for a in self.nodes},
                }
                for stage, seconds in self.cluster.stages.items()
            ],
            "failures": [asdict(failures) for failures in self.failures],
        }


def of(signal_set: SignalSet, baseline: Mapping[str, Any] | None = None) -> Ledger:
    """Return the ledger of a run from its signals.

    ``baseline`` holds what evidence states as the shares of its baseline; what is none is left out.
    """
    beside = (baseline or {}).items()
    shares = {s: float(v) for s, v in beside if isinstance(v, int | float) and 0 <= v <= 1}
    if shares:
        # Recorded before the creation of channels had a stage: warm channels are not created.
        shares.setdefault("create", 0.0)
    return Ledger(
        _account(signal_set, None),
        tuple(_account(signal_set, node) for node in signal_set.nodes),
        tuple(_failures(signal_set)),
        {stage: shares[stage] for stage in STAGES if stage in shares},
    )


def _account(signal_set: SignalSet, node: str | None) -> Account:
    measured = {stage: number(signal_set, name, node) for stage, name in _MEASURED.items()}
    servers = number(signal_set, "send_server_latency_mean", node)
    append = number(signal_set, "append_mean", node)
    # Only a simulator that is held back keeps all its places in flight: others idle between sends.
    outside = number(signal_set, "cycle_share_outside_servers")
    cycle = number(signal_set, "send_cycle_time") if outside is not None else None
    client = None
    if node is None and cycle is not None and servers is not None:
        client = max(0.0, cycle - servers)
    inside = [measured[s] for s in ("append_pool", "own_store", "followers")]
    stages = {
        "client": client,
        "gateway": measured["gateway"],
        "create": measured["create"],
        "route": _rest(servers, [measured["gateway"], measured["create"], append]),
        "append_pool": measured["append_pool"],
        "own_store": measured["own_store"],
        "followers": measured["followers"],
        "append_rest": _rest(append, inside),
    }
    whole = servers if client is None else servers + client if servers is not None else None
    return Account(node, whole, stages)


def _rest(whole: float | None, parts: Iterable[float | None]) -> float | None:
    """Return what is left of a whole; unknown when one of its parts is."""
    known = list(parts)
    if whole is None or any(part is None for part in known):
        return None
    return max(0.0, whole - sum(part for part in known if part is not None))


def _failures(signal_set: SignalSet) -> Iterator[Failures]:
    for where, name, reasons in _FAILURES:
        for node in signal_set.nodes:
            if count := number(signal_set, name, node):
                known = [v for r in reasons if (v := signal_set.value(r, node)) not in _NO_REASON]
                yield Failures(where, node, count, str(known[0]) if known else None)

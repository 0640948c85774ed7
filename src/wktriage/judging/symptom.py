"""What the users of the cluster felt: which criteria were missed, and by how many messages.

Only what the client sees counts here. A host under foreign load, or a slow node whose users notice
nothing, is no symptom.

The kinds are made comparable as shares of the messages offered (0 to 1), so that one failed send
of twelve thousand does not hide that half of the offer was never sent:

- ``failed_sends``: sends that failed.
- ``failed_receives``: messages that were sent and did not arrive.
- ``displaced``: messages that were not sent because failures held their places. A failed message
  holds one of the places in flight for :data:`HELD_S`, and its sender with it (Little's law). How
  many places there are is known as an upper bound only, so that where most of what was tried in an
  interval failed, as large a share of what was not tried is displaced, too.
- ``not_sent``: the rest of the offer that was not sent.
- ``slow``: sent messages that took longer than the criteria allow.

The first three are failures. Failures dominate when they are at least half of all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from wktriage.core.model import SignalSet, Tri
from wktriage.judging import predicates, signals
from wktriage.judging.predicates import kleene_and, kleene_or

HELD_S = 5.0
"""Time (s) for which a failed message holds its place: the simulator's timeout for a sendack and
for a receive (WuKongIM, internal/bench/workload/person.go, defaultWorkloadTimeout)."""

FAILED_SENDS, FAILED_RECEIVES = "failed_sends", "failed_receives"
DISPLACED, NOT_SENT, SLOW = "displaced", "not_sent", "slow"
FAILURES = (FAILED_SENDS, FAILED_RECEIVES, DISPLACED)

CAPACITY = "capacity"
"""Too few or too slow, and not because of failures: ``not_sent`` and ``slow`` together."""

_KINDS = {
    "send_errors": FAILED_SENDS,
    "send_error_ratio": FAILED_SENDS,
    "recv_errors": FAILED_RECEIVES,
    "recv_error_ratio": FAILED_RECEIVES,
    "achieved_rate_ratio": NOT_SENT,
    "worst_achieved_rate_ratio": NOT_SENT,
    "send_server_latency_p99": SLOW,
    "send_server_latency_mean": SLOW,
    "worst_send_server_latency_p99": SLOW,
}
"""Which kind of symptom a missed criterion is, by the signal it is about."""

_HALF = 0.5


@dataclass(frozen=True)
class Symptom:
    """The symptom of a run.

    ``missed`` tells by kind whether a criterion of that kind was missed; ``shares`` how many of the
    messages offered it concerns (None: unknown). ``dominant`` is whether a family of kinds accounts
    for most of the symptom: failed_sends, failed_receives, or capacity; ``failures`` whether the
    first two together do. ``missing`` names the signals that keep it open, ``signs`` those whose
    criterion was missed.
    """

    criteria: Tri
    missed: Mapping[str, Tri]
    shares: Mapping[str, float | None]
    dominant: Mapping[str, Tri]
    failures: Tri
    missing: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()
    nodes: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    since: str | None = None
    since_not_before: str | None = None

    @property
    def kind(self) -> str:
        """The family that dominates, ``none`` when every criterion is met, else ``unknown``."""
        if self.criteria is Tri.YES:
            return "none"
        return next((name for name, tri in self.dominant.items() if tri is Tri.YES), "unknown")

    def as_dict(self) -> dict[str, Any]:
        """Return the symptom as verdict.json has it."""
        return {
            "kind": self.kind,
            "missed": [kind for kind, tri in self.missed.items() if tri is Tri.YES],
            "signs": list(self.signs),
            "shares": dict(self.shares),
            "nodes": {node: dict(values) for node, values in self.nodes.items()},
            "since": self.since,
            "since_not_before": self.since_not_before,
        }


def of(signal_set: SignalSet, success: Mapping[str, Any]) -> Symptom:
    """Return the symptom of a run, measured against a scenario's success criteria."""
    catalogue = signals.catalogue()
    criteria = predicates.parse(success, "success", catalogue).evaluate(signal_set).tri
    missed = {
        kind: _missed(kind, success, signal_set)
        for kind in (FAILED_SENDS, FAILED_RECEIVES, NOT_SENT, SLOW)
    }
    shares = _shares(missed, signal_set)
    failures, capacity = _families(missed, shares)
    receives = _receives(missed, signal_set)
    onset = signal_set.get("onset_seen")
    dated = onset if onset is not None and onset.value is True else None
    return Symptom(
        criteria,
        missed,
        shares,
        {
            FAILED_SENDS: kleene_and([failures, ~receives]),
            FAILED_RECEIVES: kleene_and([failures, receives]),
            CAPACITY: capacity,
        },
        failures,
        _missing(success, failures, capacity, signal_set),
        _signs(success, signal_set),
        _by_node(signal_set),
        dated.since if dated else None,
        dated.since_not_before if dated else None,
    )


def _leaves(tree: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "signal" in tree:
        yield tree
    for form in ("all", "any"):
        for child in tree.get(form, ()):
            yield from _leaves(child)


def _signs(success: Mapping[str, Any], signal_set: SignalSet) -> tuple[str, ...]:
    """Return the signals whose criterion was missed."""
    catalogue = signals.catalogue()
    return tuple(
        str(leaf["signal"])
        for leaf in _leaves(success)
        if predicates.parse(leaf, "success", catalogue).evaluate(signal_set).tri is Tri.NO
    )


def _missed(kind: str, success: Mapping[str, Any], signal_set: SignalSet) -> Tri:
    """Tell whether a criterion of that kind is missed; NO where the scenario has none."""
    catalogue = signals.catalogue()
    met = [
        predicates.parse(leaf, "success", catalogue).evaluate(signal_set).tri
        for leaf in _leaves(success)
        if _KINDS.get(str(leaf["signal"])) == kind
    ]
    return ~kleene_and(met) if met else Tri.NO


def number(signal_set: SignalSet, name: str, node: str | None = None) -> float | None:
    """Return the number that a signal is, None where it is unknown or no number."""
    value = signal_set.value(name, node)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _shares(missed: Mapping[str, Tri], signal_set: SignalSet) -> dict[str, float | None]:
    sent = number(signal_set, "achieved_rate_ratio")
    failed = _of_offer("send_errors", "send_error_ratio", sent, signal_set)
    lost = _of_offer("recv_errors", "recv_error_ratio", sent, signal_set)
    gap = None if sent is None or failed is None else max(0.0, 1 - sent - failed)
    displaced = _displaced(failed, lost, gap, signal_set)
    not_sent: float | None = 0.0
    if missed[NOT_SENT] is not Tri.NO:
        not_sent = None if gap is None or displaced is None else gap - displaced
        # The offer is met on the whole: what was missed in the worst interval is no more than that.
        worst = number(signal_set, "worst_achieved_rate_ratio")
        intervals = number(signal_set, "counter_intervals")
        if not_sent is not None and not_sent < 0.05 and worst is not None and intervals:
            not_sent = max(not_sent, (1 - worst) / intervals - (failed or 0.0) - (displaced or 0.0))
    return {
        FAILED_SENDS: failed,
        FAILED_RECEIVES: lost,
        DISPLACED: displaced,
        NOT_SENT: not_sent,
        SLOW: _slow(missed[SLOW], failed, sent, signal_set),
    }


def _of_offer(count: str, ratio: str, sent: float | None, signal_set: SignalSet) -> float | None:
    """Return failed messages as a share of the offer: from counts, else from their ratio."""
    failures = number(signal_set, count)
    if failures == 0:
        return 0.0
    messages = number(signal_set, "messages_sent")
    if failures is not None and messages and sent is not None:
        return failures / messages * sent
    share = number(signal_set, ratio)
    if share is None or sent is None or share >= 1:
        return share
    return sent * share / (1 - share)


def _displaced(
    failed: float | None, lost: float | None, gap: float | None, signal_set: SignalSet
) -> float | None:
    """Return the share of the offer that was not sent because failures held its places."""
    verified = signal_set.value("verify_recv_on") is True
    if failed is None or gap is None or (verified and lost is None):
        return None
    holding = failed + (lost or 0.0 if verified else 0.0)
    if holding == 0 or gap == 0:
        return 0.0
    offered, limit, beside = (
        number(signal_set, name)
        for name in ("offered_rate", "in_flight_limit", "unsent_beside_failures_ratio")
    )
    if offered is None or not limit:
        return None
    return min(gap, max(holding * HELD_S * offered / limit, beside or 0.0))


def _slow(
    missed: Tri, failed: float | None, sent: float | None, signal_set: SignalSet
) -> float | None:
    """Return the share of the offer that was sent, but slowly."""
    if missed is Tri.NO:
        return 0.0
    share = number(signal_set, "sends_slow_share")
    if share is None or sent is None:
        return None
    # A send that fails because of a timeout was slow before.
    return max(0.0, share * sent - (failed or 0.0))


def _families(missed: Mapping[str, Tri], shares: Mapping[str, float | None]) -> tuple[Tri, Tri]:
    """Tell whether failures account for most of the symptom, and whether capacity does."""
    errors = kleene_or([missed[FAILED_SENDS], missed[FAILED_RECEIVES]])
    other = kleene_or([missed[NOT_SENT], missed[SLOW]])
    if errors is Tri.YES and other is Tri.YES:
        most = _most(shares)
        return most, ~most
    # Only one of them is seen: it dominates, as far as is known.
    if errors is Tri.YES:
        return Tri.YES, Tri.NO if other is Tri.NO else Tri.UNKNOWN
    return errors, kleene_and([~errors, other])


def _receives(missed: Mapping[str, Tri], signal_set: SignalSet) -> Tri:
    """Tell whether more receives failed than sends."""
    if Tri.NO in (missed[FAILED_SENDS], missed[FAILED_RECEIVES]):
        return missed[FAILED_RECEIVES]
    received, failed = number(signal_set, "recv_errors"), number(signal_set, "send_errors")
    return Tri.of(None if received is None or failed is None else received > failed)


def _missing(
    success: Mapping[str, Any], failures: Tri, capacity: Tri, signal_set: SignalSet
) -> tuple[str, ...]:
    """Return the signals that keep it open what accounts for most of the symptom."""
    if Tri.UNKNOWN not in (failures, capacity):
        return ()
    asked = [str(leaf["signal"]) for leaf in _leaves(success)]
    if failures is Tri.UNKNOWN:
        asked += ["messages_sent", "in_flight_limit", "sends_slow_share"]
    return tuple(name for name in dict.fromkeys(asked) if signal_set.value(name) is None)


def _most(shares: Mapping[str, float | None]) -> Tri:
    """Tell whether failures are at least half of what the users felt.

    An unknown share is looked at as nothing and as all of the offer: where both give the same
    answer, that is the answer.
    """

    def answer(unknown_failures: float, unknown_rest: float) -> bool:
        failures = sum(_or(shares[kind], unknown_failures) for kind in FAILURES)
        rest = sum(_or(shares[kind], unknown_rest) for kind in (NOT_SENT, SLOW))
        return failures > 0 and failures >= _HALF * (failures + rest)

    least, most = answer(0.0, 1.0), answer(1.0, 0.0)
    return Tri.of(least if least == most else None)


def _or(share: float | None, unknown: float) -> float:
    return unknown if share is None else share


def _by_node(signal_set: SignalSet) -> dict[str, dict[str, float | None]]:
    """Return what the servers say of each node's own users; None where nothing tells it."""
    names = (
        "sendack_errors",
        "sendack_error_ratio",
        "send_server_latency_mean",
        "connections_lost",
        "node_unreachable_seconds",
    )
    return {
        node: {name: number(signal_set, name, node) for name in names} for node in signal_set.nodes
    }

"""When things went wrong: the earliest sign among the signals that know a moment."""

from __future__ import annotations

from wktriage.core.times import parse_time
from wktriage.judging.signals.context import Context

SIGNS = (
    "send_errors",
    "recv_errors",
    "sim_restarts",
    "active_users_changes",
    "node_unreachable",
    "node_frozen",
    "node_paused",
    "node_exited",
    "node_killed",
    "node_oom_killed",
    "node_restarted",
    "connections_lost",
    "peers_reporting_failures",
    "raft_leader_lost_logged",
    "send_failed_logged",
    "incomplete_deliveries_logged",
    "session_errors_logged",
    "intervals_below_offer_ratio",
)
"""Signals that tell of trouble whenever they have a since."""


def compute(ctx: Context) -> None:
    """State onset_seen; its since and citations are those of the earliest sign."""
    signs = [s for s in ctx.signals if s.name in SIGNS]
    dated = [(t, s.name, s) for s in signs if s.value and (t := parse_time(s.since)) is not None]
    if not dated:
        known = [c for s in signs if s.value is not None for c in s.citations[:1]]
        ctx.put(
            "onset_seen",
            False if known else None,
            known,
            why="nothing that could date it is recorded",
        )
        return
    time, _, first = min(dated, key=lambda d: (d[0], d[1], d[2].node or ""))
    bound = parse_time(first.since_not_before)
    if bound is None and ctx.window is not None and ctx.window[0] <= time:
        bound = ctx.window[0]
    ctx.put("onset_seen", True, first.citations, since=time, not_before=bound)

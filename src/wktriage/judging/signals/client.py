"""The load generator: configuration, limits, CPU, users."""

from __future__ import annotations

import itertools
import re

from wktriage.bundle.readers.jsonl import number
from wktriage.bundle.readers.status import Sample
from wktriage.bundle.readers.usage import SIM
from wktriage.core.durations import parse_duration, parse_rate
from wktriage.core.errors import UsageError
from wktriage.core.model import Citation
from wktriage.judging.signals.context import Context
from wktriage.judging.signals.cpu import cpu_mean, limit_of, throttled
from wktriage.request.workload import INTEGERS, KEYS, STATUS_NAMES, check

LOW_LATENCY_S = 0.02
"""Server-side latency of an unloaded three-node cluster, with room (measured: 0.010-0.012 s). A
limit that cannot carry the offer even at this latency binds whatever the servers do."""

ATTEMPTED = 0.952
"""Share of the offered rate from which on the offer counts as attempted."""

_KINDS = (
    (
        "readiness",
        re.compile(
            r"target api addr|connection refused|readyz|healthz|readiness|"
            r"capabilit|bench api|returned status"
        ),
    ),
    ("connect", re.compile(r"connack|connection manager|target unavailable|dial tcp|i/o timeout")),
    ("prepare", re.compile(r"prepare")),
    ("plan", re.compile(r"invalid dev-sim config|plan|profile")),
    ("session", re.compile(r"session operation failed|sendack|recvack|recv")),
)


def compute(ctx: Context) -> None:
    """State the client's signals."""
    _last_error(ctx)
    _config(ctx)
    _limits(ctx)
    _cpu(ctx)
    _users(ctx)


def _last_error(ctx: Context) -> None:
    answered = [s for s in ctx.samples if s.state is not None]
    if not answered:
        for name in ("last_error_seen", "last_error_kind"):
            ctx.put(name, None, why="the simulator never answered")
        return
    running = next((s.time for s in answered if s.state == "running"), None)
    relevant = [s for s in answered if running is not None and s.time >= running] or [answered[-1]]
    failing = [s for s in relevant if s.last_error]
    if not failing:
        cites = [ctx.cite_status(s, "last_error") for s in (relevant[0], relevant[-1])]
        ctx.put("last_error_seen", False, cites)
        ctx.put("last_error_kind", "none", cites)
        return
    first, last = failing[0], failing[-1]
    before = [s.time for s in answered if s.time < first.time]
    cites = [ctx.cite_status(first, "last_error"), ctx.cite_status(last, "last_error")]
    ctx.put(
        "last_error_seen", True, cites, since=first.time, not_before=before[-1] if before else None
    )
    text = last.last_error.lower()
    kind = next((k for k, pattern in _KINDS if pattern.search(text)), "other")
    ctx.put("last_error_kind", kind, cites[1:])


def _config(ctx: Context) -> None:
    logs = ctx.logs[SIM]
    rejected = logs.matching("config validation failed")
    answered = any(s.state is not None for s in ctx.samples)
    if rejected:
        ctx.put(
            "sim_config_rejected",
            True,
            [ctx.cite_line(t.file, t.line, t.excerpt) for t in rejected[:2]],
        )
    elif answered:
        sample = next(s for s in ctx.samples if s.state is not None)
        ctx.put("sim_config_rejected", False, [ctx.cite_status(sample, "state")])
    elif refused := _refused(ctx):
        ctx.put("sim_config_rejected", True, refused)
    else:
        ctx.put(
            "sim_config_rejected", None, why="the simulator never answered, and no log says why"
        )
    asked = ctx.bundle.read_json("config/workload.json")
    source = "config/workload.json"
    if asked is None and ctx.bundle.env:
        asked, source = ctx.bundle.workload, "env.txt"
    if not asked or not ctx.config:
        ctx.put(
            "workload_mismatch",
            None,
            why="the workload asked for, or the one that ran, is not recorded",
        )
    else:
        sample = next(s for s in ctx.samples if s.config)
        different = [
            (theirs, ours)
            for theirs, ours in STATUS_NAMES.items()
            if asked.get(ours) is not None
            and theirs in ctx.config
            and not _equal(asked[ours], ctx.config[theirs])
        ]
        cites = [
            ctx.cite_row("status.jsonl", sample.row, f"/status/config/{theirs}")
            for theirs, _ in different[:4]
        ]
        ctx.put(
            "workload_mismatch",
            len(different),
            [
                *cites,
                ctx.bundle.cite(source),
                ctx.cite_row("status.jsonl", sample.row, "/status/config/total_users"),
            ],
        )
    verify = ctx.config.get("verify_recv", ctx.bundle.workload.get("verify_recv"))
    # Anything but the two known modes acts as "none" in the simulator.
    ctx.put(
        "verify_recv_on",
        verify in ("sampled", "full") if isinstance(verify, str) else None,
        _config_cites(ctx, "verify_recv"),
        why="it is not recorded",
    )
    warmup = parse_duration(ctx.config.get("warmup", ctx.bundle.workload.get("warmup")))
    cites = _config_cites(ctx, "warmup")
    ctx.put("warmup_seconds", warmup, cites, why="it is not recorded")
    # The simulator raises the warm-up rate to one send a channel: any warm-up above 0 touches all
    # once, if it is given the time.
    ctx.put(
        "warmup_touches_all",
        warmup >= 1 if warmup is not None else None,
        cites,
        why="the warm-up is not recorded",
    )


def _refused(ctx: Context) -> list[Citation]:
    """Return where a workload stands that the simulator's own rules refuse; nothing for others.

    A simulator that refuses its workload exits before it answers anybody, again and again.
    """
    workload = ctx.bundle.workload
    counts = (workload.get(key) for key in INTEGERS)
    if not ctx.samples or any(workload.get(key) is None for key in KEYS):
        return []
    if any(isinstance(count, bool) or not isinstance(count, int) for count in counts):
        return []
    try:
        check(workload)
    except UsageError:
        source = next(
            (f for f in ("config/workload.json", "env.txt") if ctx.bundle.exists(f)), None
        )
        return [] if source is None else [ctx.bundle.cite(source)]
    return []


def _equal(asked: object, effective: object) -> bool:
    for parse in (parse_rate, parse_duration):
        left, right = parse(asked), parse(effective)
        if left is not None and right is not None:
            return left == right
    return str(asked).removesuffix("/s") == str(effective).removesuffix("/s")


def _config_cites(ctx: Context, *fields: str) -> list[Citation]:
    sample = next((s for s in ctx.samples if s.config), None)
    if sample is not None:
        return [
            ctx.cite_row("status.jsonl", sample.row, f"/status/config/{f}")
            for f in fields
            if f in sample.config
        ]
    for file in ("config/workload.json", "env.txt"):
        if ctx.bundle.exists(file):
            return [ctx.bundle.cite(file)]
    return []


def in_flight_limit(ctx: Context) -> tuple[float | None, float | None]:
    """Return (concurrency of a stream, most messages in flight over the streams).

    A stream keeps at most ``concurrency`` sends in flight and one a sender; 0 and 1 both mean one
    after the other. Senders are bounded by the channels: an upper bound, as groups share them.
    """
    raw = number(ctx.config.get("concurrency", ctx.bundle.workload.get("concurrency")))
    if raw is None:
        return None, None
    each = max(1.0, raw)
    total = 0.0
    for kind in ("person", "group"):
        channels = number(
            ctx.config.get(f"{kind}_channels", ctx.bundle.workload.get(f"{kind}_channels"))
        )
        if channels is None:
            return each, None
        total += min(each, channels)
    return each, total or None


def _limits(ctx: Context) -> None:
    each, total = in_flight_limit(ctx)
    cites = _config_cites(ctx, "concurrency", "person_channels", "group_channels")
    ctx.put("concurrency", each, cites[:1], why="it is not recorded")
    ctx.put("in_flight_limit", total, cites, why="the workload is not recorded")
    rate = ctx.number("attempted_rate")
    offered = ctx.number("offered_rate")
    latency = ctx.number("send_server_latency_mean")
    basis = [
        *cites[:1],
        *ctx.cites("attempted_rate")[:2],
        *ctx.cites("send_server_latency_mean")[:2],
    ]
    cycle = total / rate if total is not None and rate else None
    ctx.put(
        "send_cycle_time", cycle, basis, why="the rate or the limit is unknown, or nothing was sent"
    )
    why = "the limit, the rate or the latency in the servers is unknown"
    ctx.put(
        "in_flight_used_ratio",
        latency / cycle if latency is not None and cycle else None,
        basis,
        why=why,
    )
    attempted = ctx.number("attempted_rate_ratio")
    ctx.put(
        "cycle_share_outside_servers",
        max(0.0, 1 - latency / cycle)
        if latency is not None and cycle and attempted is not None and attempted < ATTEMPTED
        else None,
        basis,
        why=why if attempted is None else "the offer was attempted: the cycle is not the limit",
    )
    if total is None or offered is None or attempted is None:
        ctx.put("in_flight_limit_binds", None, why="the limit or the rates are unknown")
    else:
        binds = attempted < ATTEMPTED and offered * LOW_LATENCY_S > total
        ctx.put("in_flight_limit_binds", binds, basis)


def _cpu(ctx: Context) -> None:
    cores, cites = cpu_mean(ctx, SIM)
    ctx.put("sim_cpu_cores", cores, cites, why="no CPU samples of the simulator in the window")
    limit, limit_cites = limit_of(ctx, SIM)
    ctx.put(
        "sim_cpu_of_limit",
        cores / limit if cores is not None and limit else None,
        [*cites, *limit_cites],
        why="the CPU or its limit is not recorded",
    )
    ratio, cites = throttled(ctx, SIM)
    ctx.put("sim_throttled_ratio", ratio, cites, why="throttling is not recorded")
    usage = ctx.usage.get(SIM)
    inside = usage.within(*ctx.span) if usage and ctx.span else []
    with_memory = [s for s in inside if s.memory is not None]
    top = max(with_memory, key=lambda s: s.memory or 0.0, default=None)
    ctx.put(
        "sim_memory_of_limit",
        (top.memory or 0.0) / top.memory_limit if top is not None and top.memory_limit else None,
        ctx.cite_usage(SIM, [top]) if top is not None else [],
        why="the simulator's memory or its limit is not recorded",
    )
    recorded = [s for s in (usage.samples if usage else []) if s.oom_killed is not None]
    killed = [s for s in recorded if s.oom_killed]
    ctx.put(
        "sim_oom_killed",
        bool(killed) if recorded else None,
        ctx.cite_usage(SIM, killed or recorded),
        why="container states are not recorded",
    )


def _users(ctx: Context) -> None:
    names = (
        "active_users",
        "active_users_changes",
        "active_users_missing_ratio",
    )
    inside: list[Sample] = []
    if ctx.window is not None:
        inside = [
            s
            for s in ctx.samples
            if s.state is not None and ctx.window[0] <= s.time <= ctx.window[1]
        ]
    _reconnected(ctx, inside)
    counted = [(s, s.active_users) for s in inside if s.active_users is not None]
    if not counted:
        for name in names:
            ctx.put(name, None, why=_no_users(inside))
        return
    inside = [s for s, _ in counted]
    cites = [ctx.cite_status(s, "active_users") for s in (inside[0], inside[-1])]
    ctx.put("active_users", inside[-1].active_users, cites)
    changed = [
        (a, b)
        for a, b in itertools.pairwise(inside)
        if a.active_users != b.active_users and a.run_id == b.run_id
    ]
    ctx.put(
        "active_users_changes",
        len(changed),
        [ctx.cite_status(s, "active_users") for pair in changed[:2] for s in pair] or cites,
        since=changed[0][1].time if changed else None,
        not_before=changed[0][0].time if changed else None,
    )
    users = number(ctx.config.get("total_users", ctx.bundle.workload.get("users")))
    lowest, fewest = min(counted, key=lambda entry: entry[1])
    ctx.put(
        "active_users_missing_ratio",
        max(0.0, 1 - fewest / users) if users else None,
        [ctx.cite_status(lowest, "active_users"), *_config_cites(ctx, "total_users")],
        why="the number of users is not recorded",
    )


def _no_users(inside: list[Sample]) -> str:
    return "the simulator did not tell its users" if inside else "no status in the window"


def _reconnected(ctx: Context, inside: list[Sample]) -> None:
    counted = [(s, s.reconnected) for s in inside if s.reconnected is not None]
    if not counted:
        ctx.put("reconnected_users", None, why=_no_users(inside))
        return
    (first, before), (last, after) = counted[0], counted[-1]
    ctx.put(
        "reconnected_users",
        max(0.0, after - before),
        [ctx.cite_status(s, "reconnected_users") for s in (first, last)],
    )

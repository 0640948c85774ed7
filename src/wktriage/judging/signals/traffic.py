"""What the simulator offered, sent and failed, by its ten-second counter steps."""

from __future__ import annotations

from wktriage.bundle.readers.status import Sample
from wktriage.core.durations import parse_rate
from wktriage.core.model import Citation
from wktriage.judging.signals.context import Context
from wktriage.judging.signals.counter_steps import PUBLISHED_S, STALL_S, Step, steps

SHORT = 0.9
"""A step with less than this share of the offered rate is short (upstream's gate: 0.90-0.95)."""

MET = 0.952
"""Share of the offered rate from which on it counts as met: the scenarios' own criterion."""

NO_STEPS = "no two counter publications in the window"


def before_window(ctx: Context) -> tuple[Sample, Sample] | None:
    """Return the first running sample and the one that begins the window, of one run.

    The window begins with the first published counters, so that what failed between warm-up and
    that publication lies before it: the errors of a cold start.
    """
    if ctx.window is None:
        return None
    answered = [s for s in ctx.samples if s.state is not None]
    opening = [s for s in answered if s.time <= ctx.window[0] + 0.001]
    if not opening:
        return None
    last = opening[-1]
    first = next((s for s in answered if s.state == "running" and s.run_id == last.run_id), None)
    return (first, last) if first is not None and first.time <= last.time else None


def offered_rate(ctx: Context) -> float | None:
    """Return the offered messages per second, from the simulator's own configuration first."""
    offered = 0.0
    for kind in ("person", "group"):
        channels = ctx.config.get(f"{kind}_channels", ctx.bundle.workload.get(f"{kind}_channels"))
        rate = parse_rate(
            ctx.config.get(f"{kind}_rate_per_channel", ctx.bundle.workload.get("rate"))
        )
        if isinstance(channels, bool) or not isinstance(channels, int | float):
            return None
        if channels <= 0:
            continue
        if rate is None:
            return None
        offered += rate * channels
    return offered if offered > 0 else None


def compute(ctx: Context) -> None:
    """State rates, errors and when they began."""
    in_window = steps(ctx.samples, ctx.window)
    _workload_ran(ctx)
    offered = offered_rate(ctx)
    cites = [
        ctx.cite_row("status.jsonl", s.row, f"/status/config/{field}")
        for s in ctx.samples
        if s.config
        for field in (
            "person_rate_per_channel",
            "person_channels",
            "group_rate_per_channel",
            "group_channels",
        )
        if field in s.config
    ][:4]
    if not cites and ctx.bundle.exists("config/workload.json"):
        cites = [ctx.bundle.cite("config/workload.json")]
    elif not cites and ctx.bundle.exists("env.txt"):
        cites = [ctx.bundle.cite("env.txt")]
    ctx.put("offered_rate", offered, cites, why="the workload is not recorded")
    _rates(ctx, in_window, offered)
    _errors(ctx, in_window)
    _ahead(ctx)
    _timing(ctx, in_window)
    _run_failed(ctx)


def _workload_ran(ctx: Context) -> None:
    answered = [s for s in ctx.samples if s.state is not None]
    sent = next((s for s in answered if s.state == "running" and s.sent > 0), None)
    if sent is not None:
        ctx.put("workload_ran", True, [ctx.cite_status(sent, "messages_sent")])
    elif ctx.samples:
        last = answered[-1] if answered else ctx.samples[-1]
        ctx.put("workload_ran", False, [ctx.cite_status(last, "messages_sent")])
    else:
        ctx.put("workload_ran", None, why="status.jsonl holds no sample")


def _rates(ctx: Context, in_window: list[Step], offered: float | None) -> None:
    names = ("sent_rate", "attempted_rate", "messages_sent", "counter_intervals")
    derived = (
        "achieved_rate_ratio",
        "attempted_rate_ratio",
        "worst_achieved_rate_ratio",
        "intervals_below_offer_ratio",
        "unsent_beside_failures_ratio",
    )
    seconds = sum(s.seconds for s in in_window)
    if not in_window or seconds <= 0:
        for name in (*names[:3], *derived, "sent_rate_trend", "tail_meets_offer"):
            ctx.put(name, None, why=NO_STEPS)
        cites = [ctx.cite_status(ctx.samples[-1], "messages_sent")] if ctx.samples else []
        ctx.put("counter_intervals", 0 if cites else None, cites, why=NO_STEPS)
        ctx.put("publication_coverage", 0 if cites else None, cites, why=NO_STEPS)
        return
    ends = [ctx.cite_status(s, "messages_sent") for s in (in_window[0].first, in_window[-1].last)]
    errors = [ctx.cite_status(s, "send_errors") for s in (in_window[0].first, in_window[-1].last)]
    sent = sum(s.sent for s in in_window)
    attempted = sent + sum(s.send_errors for s in in_window)
    ctx.put("counter_intervals", len(in_window), ends)
    ctx.put("messages_sent", sent, ends)
    ctx.put("sent_rate", sent / seconds, ends)
    ctx.put("attempted_rate", attempted / seconds, ends + errors)
    if offered is None:
        for name in derived:
            ctx.put(name, None, why="the offered rate is not recorded")
    else:
        basis = [*ctx.cites("offered_rate")[:2], *ends]
        ctx.put("achieved_rate_ratio", _share_of(offered, sent, seconds), basis)
        ctx.put("attempted_rate_ratio", _share_of(offered, attempted, seconds), basis)
        worst = min(in_window, key=lambda s: s.sent / s.seconds)
        ctx.put(
            "worst_achieved_rate_ratio",
            _share_of(offered, worst.sent, worst.seconds),
            [ctx.cite_status(s, "messages_sent") for s in (worst.first, worst.last)],
            since=worst.last.time,
            not_before=worst.first.time,
        )
        short = [s for s in in_window if s.sent < SHORT * offered * s.seconds]
        ctx.put(
            "intervals_below_offer_ratio",
            sum(s.seconds for s in short) / seconds,
            [ctx.cite_status(s, "messages_sent") for s in (short[0].first, short[0].last)]
            if short
            else ends,
            since=short[0].last.time if short else None,
            not_before=short[0].first.time if short else None,
        )
        beside = sum(_unsent_beside_failures(s, offered) for s in in_window)
        failed = [
            ctx.cite_status(in_window[-1].last, name) for name in ("send_errors", "recv_errors")
        ]
        ctx.put(
            "unsent_beside_failures_ratio", beside / (offered * seconds), [*ends, *failed, *basis]
        )
    _publications(ctx, in_window)
    _ending(ctx, in_window, offered)
    third = len(in_window) // 3
    head, tail = in_window[:third], in_window[len(in_window) - third :]
    before = sum(s.sent for s in head) / sum(s.seconds for s in head) if head else 0.0
    ctx.put(
        "sent_rate_trend",
        sum(s.sent for s in tail) / sum(s.seconds for s in tail) / before if before else None,
        ends,
        why="there are fewer than three counter intervals, or nothing was sent in the first third",
    )


def _publications(ctx: Context, in_window: list[Step]) -> None:
    """State the share of the window that publications cover which follow each other in time.

    The simulator publishes every ten seconds however often it is asked: what counts is that none
    of them was missed. One more may lie at the edge of the window.
    """
    window = ctx.window
    if window is None:
        ctx.put("publication_coverage", None, why="no measured window")
        return
    seen = sum(s.seconds for s in in_window if s.seconds <= STALL_S) + PUBLISHED_S
    cites = [ctx.cite_status(s, "messages_sent") for s in (in_window[0].first, in_window[-1].last)]
    ctx.put("publication_coverage", min(1.0, seen / max(window[1] - window[0], 1.0)), cites)


def _ending(ctx: Context, in_window: list[Step], offered: float | None) -> None:
    """State whether the last third of the window met the offer without a failure."""
    third = len(in_window) // 3
    tail = in_window[len(in_window) - third :]
    if not third or offered is None:
        ctx.put("tail_meets_offer", None, why="there are fewer than three counter intervals")
        return
    share = _share_of(offered, sum(s.sent for s in tail), sum(s.seconds for s in tail))
    clean = not any(s.send_errors or s.recv_errors for s in tail)
    cites = [ctx.cite_status(s, "messages_sent") for s in (tail[0].first, tail[-1].last)]
    ctx.put("tail_meets_offer", clean and share >= MET, cites)


def _share_of(offered: float, messages: float, seconds: float) -> float:
    """Return the share (0 to 1) of the offered rate that so many messages are.

    A window holds a few more publications of the counters than seconds would have: never above 1.
    """
    return min(1.0, messages / (offered * seconds))


def _unsent_beside_failures(step: Step, offered: float) -> float:
    """Return how many messages of a step's offer (1/s) failures kept from being sent, at least.

    Where so many of the messages that were tried failed, at least so many of those that were not
    tried waited for a failed one: it holds its place for longer than one that succeeds.
    """
    tried = step.sent + step.send_errors
    failed = step.send_errors + step.recv_errors
    unsent = max(0.0, offered * step.seconds - tried)
    return unsent * min(1.0, failed / tried) if tried > 0 else 0.0


def _errors(ctx: Context, in_window: list[Step]) -> None:
    names = (
        "send_errors",
        "recv_errors",
        "send_error_ratio",
        "recv_error_ratio",
    )
    if not in_window:
        for name in names:
            ctx.put(name, None, why=NO_STEPS)
        return
    sent = sum(s.sent for s in in_window)
    totals = {
        "send_errors": sum(s.send_errors for s in in_window),
        "recv_errors": sum(s.recv_errors for s in in_window),
    }
    for name, total in totals.items():
        failing = [s for s in in_window if getattr(s, name) > 0]
        ends = (
            (failing[0].first, failing[0].last, in_window[-1].last)
            if failing
            else (
                in_window[0].first,
                in_window[-1].last,
            )
        )
        cites = [ctx.cite_status(s, name) for s in ends]
        since = not_before = None
        if failing:
            not_before, since = failing[0].first.time, failing[0].last.time
            refined, more = _refine(ctx, name, not_before, since)
            since, cites = refined, cites + more
        ctx.put(name, total, cites, since=since, not_before=not_before)
        ratio = total / (sent + total) if sent + total else None
        ctx.put(
            name.replace("errors", "error_ratio"),
            ratio,
            [*cites[:3], *(ctx.cite_status(s, "messages_sent") for s in ends[::2])],
            since=since,
            not_before=not_before,
            why="nothing was sent and nothing failed",
        )


def _refine(ctx: Context, name: str, start: float, end: float) -> tuple[float, list[Citation]]:
    """Return an earlier moment than the counter step's end, if the logs show one inside it."""
    needles = ("send_failed",) if name == "send_errors" else ("plan_incomplete",)
    best: tuple[float, str, int, str] | None = None
    for node in ctx.nodes:
        for template in ctx.logs[node].matching(*needles):
            time = template.first_in_window
            if time is not None and start <= time <= end and (best is None or time < best[0]):
                best = (time, template.file, template.window_line, template.window_excerpt)
    if best is None:
        return end, []
    return best[0], [ctx.cite_line(best[1], best[2], best[3])]


def _ahead(ctx: Context) -> None:
    edge = before_window(ctx)
    if edge is None:
        ctx.put("errors_before_window", None, why="the beginning of the run is not recorded")
        return
    first, last = edge
    failed = last.send_errors + last.recv_errors
    cites = [ctx.cite_status(last, f) for f in ("send_errors", "recv_errors")]
    ctx.put(
        "errors_before_window",
        failed,
        cites,
        since=last.time if failed else None,
        not_before=first.time if failed else None,
    )


def _timing(ctx: Context, in_window: list[Step]) -> None:
    names = ("errors_early_share", "error_free_tail", "error_intervals_ratio")
    if not in_window or ctx.window is None:
        for name in names:
            ctx.put(name, None, why=NO_STEPS)
        return
    start, end = in_window[0].first.time, in_window[-1].last.time
    failing = [s for s in in_window if s.send_errors + s.recv_errors > 0]
    cites = [
        ctx.cite_status(s, "send_errors")
        for s in (
            (failing[0].first, failing[0].last, failing[-1].last)
            if failing
            else (in_window[0].first, in_window[-1].last)
        )
    ]
    total = sum(s.send_errors + s.recv_errors for s in failing)
    third = start + (end - start) / 3
    early = sum(
        s.send_errors + s.recv_errors for s in failing if (s.first.time + s.last.time) / 2 <= third
    )
    ctx.put(
        "errors_early_share", early / total if total else None, cites, why="there were no errors"
    )
    ctx.put("error_free_tail", end - failing[-1].last.time if failing else end - start, cites)
    ctx.put(
        "error_intervals_ratio",
        sum(s.seconds for s in failing) / sum(s.seconds for s in in_window),
        cites,
    )


def _run_failed(ctx: Context) -> None:
    """Any error, the offer missed by ten percent, or no workload at all: the run failed."""
    ran = ctx.value("workload_ran")
    if ran is False:
        ctx.put("run_failed", True, ctx.cites("workload_ran"))
        return
    names = ("send_errors", "recv_errors", "errors_before_window")
    failed = [n for n in names if ctx.number(n)]
    errors = [ctx.number(n) for n in names[:2]]
    ratio = ctx.number("achieved_rate_ratio")
    if failed:
        ctx.put("run_failed", True, ctx.cites(failed[0]))
    elif ratio is not None and ratio < SHORT:
        ctx.put("run_failed", True, ctx.cites("achieved_rate_ratio"))
    elif None in errors or ratio is None:
        ctx.put("run_failed", None, why="the errors or the rates are unknown")
    else:
        ctx.put("run_failed", False, ctx.cites("achieved_rate_ratio"))

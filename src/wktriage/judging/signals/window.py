"""Is there a window, is it whole, and did the simulator live through it?"""

from __future__ import annotations

import itertools

from wktriage.bundle.readers.jsonl import number
from wktriage.bundle.readers.status import Sample, damaged
from wktriage.core.model import Citation
from wktriage.judging.signals.context import Context, median
from wktriage.judging.wording import clean

NO_STATUS = "status.jsonl holds no sample"
NO_WINDOW = "no measured window"


def compute(ctx: Context) -> None:
    """State the signals on window, status coverage and simulator life."""
    _declared(ctx)
    answered = [s for s in ctx.samples if s.state is not None]
    _coverage(ctx)
    _life(ctx, answered)


def _profiled(ctx: Context) -> None:
    profile = (ctx.bundle.read_json("window.json") or {}).get("profile")
    if not isinstance(profile, dict):
        ctx.put("profiled_in_window_seconds", None, why="no window.json")
        return
    onset = profile.get("onset")
    seconds = number(onset.get("seconds")) if isinstance(onset, dict) else 0.0
    pointer = "/profile/onset/seconds" if onset else "/profile/start"
    value = seconds if onset else profile.get("start")
    cites = [ctx.bundle.cite("window.json", pointer=pointer, value=value)]
    ctx.put("profiled_in_window_seconds", seconds, cites, why="its length is not recorded")


def _declared(ctx: Context) -> None:
    bundle = ctx.bundle
    document = bundle.read_json("window.json")
    window = ctx.window
    if window is None:
        ctx.put("window_seconds", None, why=NO_WINDOW)
    elif document is not None and ctx.bundle.exists("window.json"):
        cites = [
            bundle.cite("window.json", pointer=f"/{k}", value=document[k])
            for k in ("start", "end")
            if isinstance(document.get(k), str)
        ] or [bundle.cite("window.json")]
        ctx.put("window_seconds", window[1] - window[0], cites)
    else:
        ctx.put("window_seconds", window[1] - window[0], _some(ctx))
    valid = (document or {}).get("valid")
    known = isinstance(valid, bool)
    ctx.put(
        "collector_window_valid",
        valid if known else None,
        [bundle.cite("window.json", pointer="/valid", value=valid)] if known else [],
        why="no window.json",
    )
    manifest = bundle.manifest
    complete = (manifest or {}).get("complete")
    ctx.put(
        "collection_interrupted",
        not complete if isinstance(complete, bool) else None,
        [bundle.cite("manifest.json", pointer="/complete", value=complete)]
        if isinstance(complete, bool)
        else [],
        why="no manifest",
    )
    reason = (manifest or {}).get("interrupted")
    # What follows the first reason is what that led to.
    first = clean(str(reason or "none").partition("; ")[0], 200)
    ctx.put(
        "interruption",
        first if manifest is not None else None,
        [bundle.cite("manifest.json", pointer="/interrupted", value=reason)] if manifest else [],
        why="no manifest",
    )
    _profiled(ctx)
    jitter = (document or {}).get("cadence")
    p99 = None
    if isinstance(jitter, dict) and isinstance(jitter.get("jitter_ms"), dict):
        p99 = number(jitter["jitter_ms"].get("p99"))
    ctx.put(
        "collector_jitter_p99_ms",
        p99,
        [bundle.cite("window.json", pointer="/cadence/jitter_ms/p99", value=p99)]
        if p99 is not None
        else [],
        why="the cadence is not recorded",
    )


def _some(ctx: Context) -> list[Citation]:
    """Cite the first and last status sample of the window (of all without a window)."""
    if not ctx.samples:
        return []
    start, end = ctx.window or (ctx.samples[0].time, ctx.samples[-1].time)
    inside = [s for s in ctx.samples if start <= s.time <= end] or ctx.samples
    return [ctx.cite_status(s, "state") for s in (inside[0], inside[-1])]


def _coverage(ctx: Context) -> None:
    names = ("status_samples", "status_coverage", "status_longest_gap")
    if not ctx.samples:
        for name in names:
            ctx.put(name, None, why=NO_STATUS)
        ctx.put("status_unreadable_rows", None, why=NO_STATUS)
        return
    cites = _some(ctx)
    ctx.put("status_unreadable_rows", len(damaged(ctx.bundle)), cites)
    if ctx.span is None:
        for name in names:
            ctx.put(name, None, why="a single status sample")
        return
    start, end = ctx.span
    inside = [s for s in ctx.samples if start <= s.time <= end]
    good = [s for s in inside if s.state is not None]
    ctx.put("status_samples", len(good), cites)
    gaps = [b.time - a.time for a, b in zip(ctx.samples, ctx.samples[1:], strict=False)]
    document = ctx.bundle.read_json("window.json") or {}
    cadence = document.get("cadence")
    asked = number(cadence.get("interval_s")) if isinstance(cadence, dict) else None
    interval = asked or median([g for g in gaps if g > 0])
    due = int((end - start) / interval + 1e-6) + 1 if interval else 0
    ctx.put(
        "status_coverage",
        min(1.0, len(good) / due) if due else None,
        cites,
        why="a single status sample",
    )
    times = [start, *(s.time for s in good), end]
    ctx.put("status_longest_gap", max(b - a for a, b in itertools.pairwise(times)), cites)


def _life(ctx: Context, answered: list[Sample]) -> None:
    names = (
        "sim_restarts",
        "sim_ever_running",
        "sim_retries",
        "counters_moved",
    )
    if not answered:
        why = "the simulator never answered" if ctx.samples else NO_STATUS
        for name in names:
            ctx.put(name, None, why=why)
        return
    running = [s for s in answered if s.state == "running"]
    ends = [ctx.cite_status(answered[0], "state"), ctx.cite_status(answered[-1], "state")]
    ctx.put(
        "sim_ever_running",
        bool(running),
        [ctx.cite_status(running[0], "state")] if running else ends,
    )
    restarts: list[tuple[Sample, Sample]] = []
    retries: list[tuple[Sample, Sample]] = []
    begun = running[0].time if running else float("inf")
    for before, now in itertools.pairwise(answered):
        if before.time < begun:
            continue
        if before.run_id != now.run_id or now.total < before.total:
            restarts.append((before, now))
        elif before.state == "running" and now.state != "running":
            retries.append((before, now))
    _changes(ctx, "sim_restarts", restarts, "run_id", ends)
    _changes(ctx, "sim_retries", retries, "state", ends)
    if ctx.window is None:
        ctx.put("counters_moved", False, ends)
        return
    start, end = ctx.window
    inside = [s for s in answered if start <= s.time <= end]
    if not inside:
        ctx.put("counters_moved", None, why="no status in the window")
        return
    moved = any(b.total > a.total for a, b in itertools.pairwise(inside))
    ctx.put(
        "counters_moved",
        moved,
        [ctx.cite_status(s, "messages_sent") for s in (inside[0], inside[-1])],
    )


def _changes(
    ctx: Context,
    name: str,
    changes: list[tuple[Sample, Sample]],
    field: str,
    otherwise: list[Citation],
) -> None:
    if not changes:
        ctx.put(name, 0, otherwise)
        return
    before, now = changes[0]
    cites = [ctx.cite_status(s, field) for pair in changes[:3] for s in pair]
    ctx.put(name, len(changes), cites, since=now.time, not_before=before.time)

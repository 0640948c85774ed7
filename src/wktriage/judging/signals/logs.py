"""What the logs say, by message template."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from wktriage.bundle.readers.logs import NodeLogs, Template
from wktriage.bundle.readers.usage import SIM
from wktriage.core.model import Citation, Value
from wktriage.judging.signals.context import Context, PerNode

NO_LOG = "no log of this node is in the bundle"

LOGGED = {
    "send_failed_logged": ("gateway.send_failed",),
    "incomplete_deliveries_logged": ("delivery.plan_incomplete",),
    "session_errors_logged": ("gateway.session_error",),
    "presence_failed_logged": (
        "presence_touch",
        "presence_authority_rejected",
        "presence_owner_rejected",
        "presence_failed",
    ),
    "corrupt_state_logged": ("corrupt state",),
    "disk_full_logged": ("disk failure", "no space left on device"),
    "raft_leader_lost_logged": (
        "lost leader",
        "became candidate",
        "quorum is not active",
        "became leader",
        "is starting a new election",
    ),
    "raft_quorum_lost_logged": ("quorum is not active",),
}
"""Signals that count the lines in the window of templates that hold one of the texts."""

WRITE_READINESS = "component=cluster_write_ready"
"""In the template of a start that failed after 30 s without a writable cluster (lifecycle.go)."""


def compute(ctx: Context) -> None:
    """State the log signals."""
    for name, needles in LOGGED.items():
        _counted(ctx, name, partial(_matching, needles))
    _counted(
        ctx,
        "log_warns",
        lambda logs: [t for t in logs.templates.values() if t.level == "WARN"],
    )
    _counted(
        ctx,
        "log_errors",
        lambda logs: [
            t for t in logs.templates.values() if t.level not in ("", "WARN", "INFO", "DEBUG")
        ],
    )
    for node in (*ctx.nodes, None):
        warns = ctx.number("log_warns", node)
        seconds = ctx.window[1] - ctx.window[0] if ctx.window else None
        ctx.put(
            "log_warn_rate",
            warns / seconds if warns is not None and seconds else None,
            ctx.cites("log_warns", node),
            node=node,
            why=NO_LOG if warns is None else "no measured window",
        )
    _texts(ctx)
    _canceled(ctx)
    _starts(ctx)


def _matching(needles: tuple[str, ...], logs: NodeLogs) -> list[Template]:
    return logs.matching(*needles)


def _counted(ctx: Context, name: str, of: Callable[[NodeLogs], list[Template]]) -> None:
    """State a count per node with the first occurrence, and the sum."""
    total = 0
    known = False
    cites: list[Citation] = []
    first: float | None = None
    for node in ctx.nodes:
        logs = ctx.logs[node]
        if not logs.files:
            ctx.put(name, None, node=node, why=NO_LOG)
            continue
        known = True
        hits = [t for t in of(logs) if t.in_window]
        hits.sort(key=lambda t: (t.first_in_window or 0.0, t.key))
        here = [ctx.cite_line(t.file, t.window_line, t.window_excerpt) for t in hits[:3]]
        count = sum(t.in_window for t in hits)
        since = hits[0].first_in_window if hits else None
        ctx.put(name, count, here or [ctx.bundle.cite(logs.files[0])], node=node, since=since)
        total += count
        if since is not None and (first is None or since < first):
            first = since
        cites += here[:2]
    basis = cites or [ctx.bundle.cite(ctx.logs[n].files[0]) for n in ctx.nodes if ctx.logs[n].files]
    ctx.put(name, total if known else None, basis, since=first, why="no log is in the bundle")


def _texts(ctx: Context) -> None:
    everything: dict[str, int] = {}
    failures: dict[str, int] = {}
    cites: list[Citation] = []
    for node in ctx.nodes:
        logs = ctx.logs[node]
        if not logs.files:
            ctx.put("log_top_template", None, node=node, why=NO_LOG)
            ctx.put("send_failed_class", None, node=node, why=NO_LOG)
            continue
        severe = [t for t in logs.templates.values() if t.in_window and t.level not in ("", "INFO")]
        severe.sort(key=lambda t: (-t.in_window, t.key))
        here = [ctx.cite_line(t.file, t.window_line, t.window_excerpt) for t in severe[:1]]
        basis = here or [ctx.bundle.cite(logs.files[0])]
        ctx.put("log_top_template", severe[0].key if severe else "none", basis, node=node)
        classes: dict[str, int] = {}
        for template in severe:
            everything[template.key] = everything.get(template.key, 0) + template.in_window
            if "gateway.send_failed" in template.key:
                _, _, kind = template.key.partition("errorClass=")
                kind = kind.split(" ")[0] or "unknown"
                classes[kind] = classes.get(kind, 0) + template.in_window
                failures[kind] = failures.get(kind, 0) + template.in_window
        ctx.put("send_failed_class", _top(classes), basis, node=node)
        cites += basis
    ctx.put(
        "log_top_template",
        _top(everything) if cites else None,
        cites,
        why="no log is in the bundle",
    )
    ctx.put(
        "send_failed_class", _top(failures) if cites else None, cites, why="no log is in the bundle"
    )


def _top(counts: dict[str, int]) -> str:
    return min(counts, key=lambda k: (-counts[k], k)) if counts else "none"


def _canceled(ctx: Context) -> None:
    for name, stage in (
        ("appends_canceled_before_store", "stage=store"),
        ("appends_canceled_awaiting_quorum", "stage=quorum"),
    ):
        _whole_log(ctx, name, f"append waiter canceled {stage}")
    _whole_log(ctx, "node_panics", "panic")


def _whole_log(ctx: Context, name: str, key: str) -> None:
    """Count lines without a time (standard library log, panics) over the whole compose log."""
    per_node: PerNode = {}
    for node in ctx.nodes:
        logs = ctx.logs[node]
        if not logs.files:
            continue
        hit = logs.templates.get(key)
        per_node[node] = (
            hit.count if hit else 0,
            [ctx.cite_line(hit.file, hit.line, hit.excerpt)]
            if hit
            else [ctx.bundle.cite(logs.files[-1])],
        )
    ctx.gather(name, per_node=per_node, default_why=NO_LOG)


def _starts(ctx: Context) -> None:
    for node in ctx.nodes:
        logs = ctx.logs[node]
        failed = logs.matching("lifecycle_start_failed", "unknown config env")
        # Write readiness is the cluster's: a node that gave up on it waited for the others.
        waited = [t for t in failed if WRITE_READINESS in t.key]
        failed = [t for t in failed if t not in waited]
        started = logs.matching("internal.app.started")
        panic = logs.templates.get("panic")
        if failed or (panic is not None and not started):
            bad = [*failed, *([panic] if panic else [])][:2]
            ctx.put(
                "node_start_failed",
                True,
                [ctx.cite_line(t.file, t.line, t.excerpt) for t in bad],
                node=node,
            )
        elif started or waited:
            first = (started or waited)[0]
            ctx.put(
                "node_start_failed",
                False,
                [ctx.cite_line(first.file, first.line, first.excerpt)],
                node=node,
            )
        else:
            ctx.put("node_start_failed", None, node=node, why="no start-up line in its logs")


def templates(ctx: Context) -> list[dict[str, Value]]:
    """Return every WARN and ERROR template by node: counts, first occurrence, place."""
    rows: list[dict[str, Value]] = []
    for node in (*ctx.nodes, SIM):
        for template in ctx.logs[node].templates.values():
            if template.level in ("INFO", "DEBUG"):
                continue
            rows.append(
                {
                    "node": node,
                    "template": template.key,
                    "level": template.level,
                    "count": template.count,
                    "in_window": template.in_window,
                    "first": template.first,
                    "file": template.file,
                    "line": template.line,
                    "excerpt": template.excerpt,
                }
            )
    rows.sort(key=lambda t: (-int(t["count"] or 0), str(t["node"]), str(t["template"])))
    return rows

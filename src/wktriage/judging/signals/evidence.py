"""Shared ways to state what was seen of a node, with its bounds in time."""

from __future__ import annotations

from dataclasses import dataclass

from wktriage.bundle.readers.health import Probe
from wktriage.bundle.readers.usage import UsageSample
from wktriage.core.model import Citation
from wktriage.judging.signals.context import Context

GONE_STATES = ("exited", "dead", "missing", "removing")


@dataclass(frozen=True)
class Evidence:
    """One piece of evidence, with its bounds in time (epoch seconds)."""

    cites: list[Citation]
    since: float | None = None
    not_before: float | None = None


def total_of(ctx: Context, name: str, each: str) -> None:
    """State for how many nodes the bool ``each`` holds."""
    values = [ctx.value(each, n) for n in ctx.nodes]
    cites = [c for n in ctx.nodes if ctx.value(each, n) for c in ctx.cites(each, n)[:2]] or [
        c for n in ctx.nodes for c in ctx.cites(each, n)[:1]
    ]
    known = [v for v in values if v is not None]
    ctx.put(
        name, sum(bool(v) for v in known) if known else None, cites, why="unknown for every node"
    )


def state_event(
    ctx: Context,
    name: str,
    node: str,
    evidence: list[Evidence],
    known: list[Citation],
    why: str,
) -> None:
    """State a bool that holds when there is evidence, and not when it was looked for in vain."""
    if evidence:
        evidence.sort(key=lambda f: f.since if f.since is not None else float("inf"))
        ctx.put(
            name,
            True,
            [c for f in evidence for c in f.cites[:2]],
            node=node,
            since=evidence[0].since,
            not_before=evidence[0].not_before,
        )
    else:
        ctx.put(name, False if known else None, known, node=node, why=why)


def probes_of(ctx: Context, node: str, kind: str) -> list[Probe]:
    """Return the probes of a kind (healthz, readyz, goroutines) in the window."""
    if ctx.window is None:
        return []
    return [
        p
        for p in ctx.health.get(node, [])
        if p.kind == kind and ctx.window[0] <= p.time <= ctx.window[1]
    ]


def cite_probe(ctx: Context, probe: Probe) -> Citation:
    """Cite whether a probe was answered."""
    return ctx.bundle.cite("health.jsonl", line=probe.line, pointer="/ok", value=probe.ok)


def cite_states(ctx: Context, node: str, samples: list[UsageSample]) -> list[Citation]:
    """Cite the container states of samples."""
    if not samples:
        return []
    file = ctx.usage[node].file
    return [ctx.bundle.cite(file, line=s.line, pointer="/state", value=s.state) for s in samples]


def in_window(ctx: Context, time: float | None) -> bool:
    """Tell whether a moment lies in the measured window."""
    return ctx.window is not None and time is not None and ctx.window[0] <= time <= ctx.window[1]

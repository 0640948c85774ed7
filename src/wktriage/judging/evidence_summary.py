"""One line on each kind of evidence that a report names."""

from __future__ import annotations

from collections.abc import Sequence

from wktriage.bundle.bundle import Bundle
from wktriage.core.model import SignalSet
from wktriage.judging.wording import clean, counted, show

_REFUSALS = 4


def evidence_lines(bundle: Bundle, signal_set: SignalSet) -> dict[str, str]:
    """Return one line on each kind of evidence, by its field in the report."""
    lines = {"status": _status(bundle, signal_set)}
    for kind in ("compose", "app", "error", "warn"):
        names = [*bundle.nodes, "wk-sim"] if kind == "compose" else list(bundle.nodes)
        lines[f"{kind}_logs"] = _files(bundle, [f"logs/{kind}/{n}.log" for n in names])
    keys = [bundle.metrics_key(n) for n in bundle.nodes]
    scrapes = [f"metrics/{k}{w}.prom" for k in keys for w in ("-before", "")]
    series = sum(f.startswith("metrics/series/") for f in bundle.files)
    lines["metrics"] = _files(bundle, scrapes)
    if series:
        lines["metrics"] += f", {counted(series, 'scrape')} between"
    lines["pprof"] = _files(
        bundle,
        [f"pprof/{k}-{w}" for k in keys for w in ("cpu.pb.gz", "heap.pb.gz", "goroutine.txt")],
    )
    resources = [f for f in ("docker-stats.jsonl", "resources.jsonl") if bundle.size(f)]
    lines["docker_stats"] = _files(bundle, resources) if resources else "none"
    return lines


def _status(bundle: Bundle, signal_set: SignalSet) -> str:
    if not bundle.exists("status.jsonl"):
        return "none"
    samples, coverage = signal_set.value("status_samples"), signal_set.value("status_coverage")
    unreadable = signal_set.value("status_unreadable_rows")
    jitter = signal_set.value("collector_jitter_p99_ms")
    cost = signal_set.value("collector_cpu_ratio")
    parts = [
        f"{counted(samples, 'sample')} in the window"
        if isinstance(samples, int | float)
        else "no sample in a known window",
        f"{show(coverage, 'share')} of those due" if coverage is not None else "",
        counted(unreadable, "unreadable row") if isinstance(unreadable, int) and unreadable else "",
        f"at most {show(jitter, 'ms')} late in 99 % of them" if jitter is not None else "",
        f"collecting took {show(cost, 'share')} of a core" if cost is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def _files(bundle: Bundle, names: Sequence[str]) -> str:
    there = [f for f in names if bundle.exists(f)]
    size = sum(bundle.size(f) for f in there)
    text = f"{len(there)} of {counted(len(names), 'file')}, {show(size, 'bytes')}"
    refused = [f"{f}: {clean(e, 80)}" for f in names if (e := bundle.error(f)) is not None]
    return text + (f"; not fetched: {'; '.join(refused[:_REFUSALS])}" if refused else "")

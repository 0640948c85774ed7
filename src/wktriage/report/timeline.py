"""The run over time: panels on one shared axis, node lanes, and the moments that matter.

Times on the axis are seconds since the window began (or the first sample, without a window).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from wktriage.bundle.bundle import Bundle
from wktriage.bundle.readers import health, status, usage
from wktriage.report import lanes, panels
from wktriage.report.lanes import Span
from wktriage.report.panels import Panel, Series

LEAD_S, TAIL_S = 10, 5
"""How much of the time before and after the window the axis shows."""


@dataclass
class Timeline:
    """All that the page draws over time. ``window`` is (start, end) in epoch seconds or None."""

    start: float
    end: float
    window: tuple[float, float] | None
    panels: list[Panel] = field(default_factory=list)
    lanes: dict[str, list[Span]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def zero(self) -> float:
        """Where the axis counts from (epoch s): the window's start, else the first sample."""
        return self.window[0] if self.window else self.start


def build(bundle: Bundle, offered: float | None) -> Timeline:
    """Read everything that has a time out of a bundle. ``offered`` is the offered rate in msg/s."""
    samples = status.samples(bundle)
    run = _axis([s.time for s in samples], bundle.window)
    probes = health.read(bundle)
    used = usage.read(bundle, bundle.nodes)
    peers = lanes.busy(used)
    bands = panels.bands(bundle)
    for panel in panels.of_bundle(bundle, samples, offered, used, probes):
        shown = [
            Series(s.name, panels.thin([p for p in s.points if run.start <= p[0] <= run.end]))
            for s in panel.series
        ]
        shown = [s for s in shown if any(v is not None for _, v in s.points)]
        if shown:
            run.panels.append(replace(panel, series=shown, band=bands.get(panel.key)))
        else:
            run.missing.append(panel.title)
    for node in bundle.nodes:
        run.lanes[node] = lanes.of_node(
            bundle, node, probes.get(node, []), used, peers, run.start, run.end
        )
    return run


def _axis(times: Sequence[float], window: tuple[float, float] | None) -> Timeline:
    """Return an empty timeline over the window, or over all samples where there is no window."""
    start, end = (times[0], times[-1]) if times else (0.0, 1.0)
    if window:
        start, end = window[0] - LEAD_S, window[1] + TAIL_S
    return Timeline(start, max(end, start + 1), window)

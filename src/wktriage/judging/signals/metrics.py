"""Scrapes of every node before, during and after the window, and deltas over it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from wktriage.bundle.readers import prom
from wktriage.bundle.readers.prom import Histogram, Point, Scrape
from wktriage.core.model import Citation

if TYPE_CHECKING:
    from wktriage.bundle.bundle import Bundle

P = "wukongim_"

SERIES_FAMILIES = (
    "process_cpu_seconds_total",
    "process_start_time_seconds",
    P + "channelv2_append_duration_seconds",
    P + "delivery_push_rpc_total",
    P + "delivery_recipient_worker_queue_depth",
    P + "gateway_async_send_queue_depth",
    P + "gateway_connection_closes_total",
    P + "gateway_connections_active",
    P + "gateway_frame_handle_duration_seconds",
    P + "gateway_sendacks_total",
    P + "storage_commit_queue_depth",
)
"""Families read from every scrape of the series: few, for an hour holds 360 scrapes a node."""

FAMILIES = (
    *SERIES_FAMILIES,
    "go_gc_duration_seconds",
    "go_goroutines",
    "go_memstats_alloc_bytes_total",
    "go_memstats_heap_inuse_bytes",
    "go_memstats_heap_released_bytes",
    "go_memstats_mcache_inuse_bytes",
    "go_memstats_mcache_sys_bytes",
    "go_memstats_sys_bytes",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    P + "ants_pool_capacity",
    P + "channelappend_effect_duration_seconds",
    P + "channelappend_effect_pool_saturated",
    P + "channelappend_effect_pool_submit_total",
    P + "channelappend_effect_total",
    P + "channelappend_post_commit_handoff_capacity",
    P + "channelappend_post_commit_handoff_depth",
    P + "channelappend_router_duration_seconds",
    P + "channelappend_writer_admission_capacity",
    P + "channelappend_writer_admission_depth",
    P + "channelv2_activation_rejected_total",
    P + "channelv2_active_runtimes",
    P + "channelv2_append_stage_duration_seconds",
    P + "channelv2_append_wait_stage_duration_seconds",
    P + "channelv2_meta_created_total",
    P + "channelv2_need_meta_pull_total",
    P + "channelv2_pending_meta_current",
    P + "channelv2_pull_hint_total",
    P + "channelv2_reactor_mailbox_depth",
    P + "channelv2_replication_stage_duration_seconds",
    P + "channelv2_worker_task_duration_seconds",
    P + "controller_nodes_dead",
    P + "controller_nodes_suspect",
    P + "controller_raft_step_queue_capacity",
    P + "controller_raft_step_queue_depth",
    P + "delivery_ack_bindings",
    P + "delivery_errors_total",
    P + "delivery_push_rpc_duration_seconds",
    P + "delivery_recipient_authority_resolve_total",
    P + "delivery_recipient_worker_capacity",
    P + "delivery_recipient_worker_inflight",
    P + "delivery_recipient_worker_process_duration_seconds",
    P + "delivery_recipient_worker_process_total",
    P + "delivery_recipient_worker_queue_capacity",
    P + "gateway_async_send_dispatch_wait_duration_seconds",
    P + "gateway_async_send_queue_capacity",
    P + "gateway_auth_total",
    P + "gateway_connections_total",
    P + "gateway_messages_delivered_total",
    P + "gateway_messages_received_total",
    P + "message_append_errors_total",
    P + "presence_endpoint_lookup_total",
    P + "runtime_pool_admission_total",
    P + "runtime_pool_inflight",
    P + "runtime_pool_queue_capacity",
    P + "runtime_pool_queue_depth",
    P + "runtime_pool_task_duration_seconds",
    P + "runtime_pool_wait_duration_seconds",
    P + "runtime_pool_workers",
    P + "slot_apply_duration_seconds",
    P + "slot_apply_gap",
    P + "slot_leader_changes_total",
    P + "slot_leader_elections_total",
    P + "slot_proposal_admission_total",
    P + "storage_commit_batch_duration_seconds",
    P + "storage_commit_request_duration_seconds",
    P + "storage_disk_usage_bytes",
    P + "storage_pebble_compaction_estimated_debt_bytes",
    P + "storage_pebble_disk_usage_bytes",
    P + "storage_pebble_read_amplification",
    P + "transport_connections_pool_active",
    P + "transport_rpc_duration_seconds",
    P + "transport_rpc_total",
)
"""Families read from the scrapes before and after. The channelv2_ names, never the channel_
copies: one legacy family of that name is exported and never fed."""

_NEEDLES = {
    P + "gateway_frame_handle_duration_seconds": b'frame_type="SEND"',
    P + "runtime_pool_wait_duration_seconds": b'result="ok"',
    P + "runtime_pool_admission_total": b"result=",
}
SERIES_MAX = 120
"""Scrapes of a node's series that are read: beyond (20 minutes at 10 s) evenly spaced ones."""

_SERIES = re.compile(r"^metrics/series/([^/]+)/(\d{10,16})\.prom(?:\.gz)?$")

Labels = Mapping[str, str | Sequence[str]]
Where = Callable[[Mapping[str, str]], bool]


class Metrics:
    """Lazily parsed scrapes by node. Times are epoch seconds."""

    def __init__(self, bundle: Bundle) -> None:
        """Take the bundle; scrapes are parsed when asked for."""
        self.bundle = bundle
        self._series_files: dict[str, list[tuple[float, str]]] = {}
        self._failed: dict[str, list[str]] = {}
        self._known: dict[str, Point] = {}
        self._foreign: dict[str, list[str]] = {}
        window = bundle.window
        nodes = frozenset(bundle.nodes)
        by_key = {bundle.metrics_key(n): n for n in bundle.nodes}
        for rel in bundle.files:
            if rel.startswith("metrics/series/") and rel.endswith(".err"):
                self._failed.setdefault(rel.split("/")[2], []).append(rel)
                continue
            named = _SERIES.match(rel)
            node = by_key.get(named.group(1), named.group(1)) if named else None
            if named is None or node not in nodes:
                continue
            time = int(named.group(2)) / 1000
            if window is None or window[0] - 1 <= time <= window[1] + 1:
                self._series_files.setdefault(str(node), []).append((time, rel))
        self.before = cache(self._before)
        self.after = cache(self._after)
        self.series = cache(self._series)

    @classmethod
    def of(cls, bundle: Bundle) -> Metrics:
        """Return the scrapes of an opened bundle, parsed once however often they are asked for."""
        return bundle.once("metrics", lambda: cls(bundle))

    def file(self, node: str, *, before: bool = False) -> str:
        """Return the name of a node's scrape file."""
        return f"metrics/{self.bundle.metrics_key(node)}{'-before' if before else ''}.prom"

    def _load(self, rel: str, families: Sequence[str]) -> Scrape | None:
        data = self.bundle.read_bytes(rel, prom.SCRAPE_CAP)
        if not data:
            return None
        before = len(self._known)
        scrape = prom.parse(data, families, rel, _NEEDLES, self._known)
        grown = prom.SERIES_BYTES * (len(self._known) - before)
        if not self.bundle.budget.keep(rel, prom.POINT_BYTES * scrape.size + grown):
            return None
        return scrape if scrape.last_family else None

    def _before(self, node: str) -> Scrape | None:
        return self._load(self.file(node, before=True), FAMILIES)

    def _after(self, node: str) -> Scrape | None:
        return self._own(node, self._load(self.file(node), FAMILIES))

    def _own(self, node: str, scrape: Scrape | None) -> Scrape | None:
        """Return a scrape of a node, None when another node answered at its address."""
        first = self.before(node)
        if scrape is None or first is None or _identity(scrape) in (None, _identity(first)):
            return scrape
        self._foreign.setdefault(node, []).append(scrape.file)
        return None

    def foreign(self, node: str) -> list[str]:
        """Return the scrapes that another node answered at the node's address."""
        self.series(node)
        self.after(node)
        return sorted(self._foreign.get(node, []))

    def _series(self, node: str) -> list[tuple[float, Scrape]]:
        files = sorted(self._series_files.get(node, []))
        step = -(-len(files) // SERIES_MAX) or 1
        chosen = files[::step]
        if files and chosen[-1] != files[-1]:
            chosen.append(files[-1])
        loaded = ((t, self._own(node, self._load(rel, SERIES_FAMILIES))) for t, rel in chosen)
        return [(time, scrape) for time, scrape in loaded if scrape is not None]

    def failed_scrapes(self, node: str) -> list[str]:
        """Return the .err files of the node's scrapes."""
        key = self.bundle.metrics_key(node)
        ends = (f"metrics/{key}.prom.err", f"metrics/{key}-before.prom.err")
        failed = [rel for rel in ends if self.bundle.exists(rel)]
        return failed + self._failed.get(key, [])

    def ends(self, node: str, family: str) -> tuple[Scrape | None, Scrape] | str:
        """Return the scrapes that bound the window for a family, or why there are none.

        The first is None when the process started inside the window: all it counted is in it.
        """
        series = [s for _, s in self.series(node)] if family in SERIES_FAMILIES else []
        after = self.after(node) or (series[-1] if series else None)
        before = self.before(node) or (series[0] if series else None)
        if after is None and self.foreign(node):
            return f"another node answered at the address of {node}"
        if after is None:
            reason = self.bundle.error(self.file(node))
            return f"no scrape of {node} at the end" + (f": {reason}" if reason else "")
        if not after.known(family):
            return f"{after.file} does not hold {family}"
        started = _start_time(after)
        window = self.bundle.window
        if before is None:
            if started is not None and window is not None and started >= window[0] - 1:
                return None, after
            return f"no scrape of {node} at the window's start"
        if before.file == after.file:
            return f"a single scrape of {node}"
        was = _start_time(before)
        if started is not None and was is not None and started > was + 1:
            return None, after
        if not before.known(family):
            return f"{before.file} does not hold {family}"
        return before, after

    def start_times(self, node: str) -> list[float]:
        """Return the process start times seen, in scrape order, without repeats."""
        scrapes = [self.before(node), *(s for _, s in self.series(node)), self.after(node)]
        times = [t for s in scrapes if s is not None and (t := _start_time(s)) is not None]
        return [t for i, t in enumerate(times) if i == 0 or abs(t - times[i - 1]) > 1]

    def histogram(self, node: str, family: str, labels: Labels) -> Histogram | str:
        """Return a histogram's observations in the window, or why they are unknown."""
        ends = self.ends(node, family)
        if isinstance(ends, str):
            return ends
        result = prom.histogram(*ends, family, labels)
        return f"{ends[1].file}: {family} is damaged" if result is None else result

    def histograms_by(self, node: str, family: str, label: str) -> dict[str, Histogram]:
        """Return a histogram's observations in the window by the value of a label, where known."""
        ends = self.ends(node, family)
        if isinstance(ends, str):
            return {}
        before, after = (_split(scrape, family, label) for scrape in ends)
        parts = {
            value: prom.histogram(
                None if ends[0] is None else before.get(value, Scrape("", {family: []})),
                part,
                family,
                {},
            )
            for value, part in after.items()
        }
        return {value: part for value, part in parts.items() if part is not None}

    def increase(
        self, node: str, family: str, where: Where | None = None
    ) -> tuple[float, list[Point]] | str:
        """Return a counter's growth in the window and the points that grew, or why unknown."""
        ends = self.ends(node, family)
        if isinstance(ends, str):
            return ends
        result = prom.increase(*ends, family, where)
        return f"{ends[1].file}: {family} is damaged" if result is None else result

    def scrapes(self, node: str, family: str) -> list[Scrape]:
        """Return every scrape that can speak of a family, in time order."""
        middle = [s for _, s in self.series(node)] if family in SERIES_FAMILIES else []
        return [
            s
            for s in (self.before(node), *middle, self.after(node))
            if s is not None and s.known(family)
        ]

    def steps(self, node: str, family: str) -> list[tuple[float, float, Scrape, Scrape]]:
        """Return (from, to, scrape, next scrape) of neighbouring scrapes of the series."""
        series = [(t, s) for t, s in self.series(node) if s.known(family)]
        return [(a[0], b[0], a[1], b[1]) for a, b in itertools.pairwise(series)]

    def cite(self, scrape: Scrape, point: Point) -> Citation:
        """Cite a series of a scrape."""
        return self.bundle.cite(scrape.file, series=point.series, value=point.value)

    def cite_counter(self, node: str, family: str, points: Sequence[Point]) -> list[Citation]:
        """Cite grown counters: the later value and the earlier one (or that there was none)."""
        ends = self.ends(node, family)
        if isinstance(ends, str):
            return []
        before, after = ends
        citations: list[Citation] = []
        for point in points[:2] or after.families.get(family, [])[:1]:
            citations.append(self.cite(after, point))
            old = _same_series(before, family, point)
            if before is not None and old is not None:
                citations.append(self.cite(before, old))
        if not citations:
            citations.append(self.bundle.cite(after.file))
        return citations

    def cite_histogram(self, node: str, family: str, labels: Labels) -> list[Citation]:
        """Cite the count (and sum) of the largest matching series at both ends."""
        ends = self.ends(node, family)
        if isinstance(ends, str):
            return []
        before, after = ends
        points = after.points(family, **labels)
        counts = sorted(
            (p for p in points if p.name.endswith("_count")), key=lambda p: (-p.value, p.series)
        )
        if not counts:
            return [self.bundle.cite(after.file)]
        total = next(
            (p for p in points if p.name.endswith("_sum") and p.labels == counts[0].labels), None
        )
        citations: list[Citation] = []
        for point in (counts[0], total):
            if point is None:
                continue
            citations.append(self.cite(after, point))
            old = _same_series(before, family, point)
            if before is not None and old is not None:
                citations.append(self.cite(before, old))
        return citations


def _split(scrape: Scrape | None, family: str, label: str) -> dict[str, Scrape]:
    """Return a scrape of the points of each value of a label."""
    parts: dict[str, Scrape] = {}
    for point in scrape.families.get(family, ()) if scrape is not None else ():
        value = point.labels.get(label, "")
        parts.setdefault(value, Scrape("", {family: []})).families[family].append(point)
    return parts


def _same_series(scrape: Scrape | None, family: str, point: Point) -> Point | None:
    if scrape is None:
        return None
    return next((p for p in scrape.families.get(family, ()) if p.series == point.series), None)


def _identity(scrape: Scrape) -> str | None:
    """Return the id of the node that answered a scrape, None when it does not tell."""
    point = scrape.first(P + "gateway_connections_active")
    return point.labels.get("node_id") if point is not None else None


def _start_time(scrape: Scrape) -> float | None:
    point = scrape.first("process_start_time_seconds")
    return point.value if point is not None and point.value > 0 else None

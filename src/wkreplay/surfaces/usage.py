"""What a process or a host had used at a moment between two recorded rows."""

from __future__ import annotations

from wkreplay.files import Row, parse_size
from wkreplay.timeline import Timeline

CUMULATIVE = {
    "cpu_seconds", "throttled_seconds", "throttled_periods", "periods",
    "net_rx_bytes", "net_tx_bytes", "blk_read_bytes", "blk_write_bytes",
    "cpu_total_ticks", "cpu_idle_ticks", "cpu_iowait_ticks", "cpu_steal_ticks",
}  # fmt: skip
"""Counters of resources.jsonl and host.jsonl that grow between two rows."""


def between(timeline: Timeline | None, moment: int) -> Row | None:
    """Return the newest row, its cumulative counters moved on towards the next row.

    A caller that samples as often as the recording did would, by jitter or a slot that the
    recording missed, see one row twice and skip the next: a standstill that never was.
    """
    if timeline is None or (event := timeline.at(moment)) is None:
        return None
    following = timeline.after(moment)
    if following is None:
        return event.row
    share = (moment - event.at) / (following.at - event.at)
    row = dict(event.row)
    for key in CUMULATIVE & row.keys() & following.row.keys():
        old, new = row[key], following.row[key]
        numbers = all(type(v) in (int, float) for v in (old, new))
        if numbers and new > old:  # less is a restart: it starts with the next row
            row[key] = type(old)(old + share * (new - old))
    return row


def docker_usage(name: str, stats: dict[str, Timeline], moment: int) -> Row | None:
    """Return the usage that the percentages of `docker stats` tell; None where they do not.

    CPU seconds are the sum of the percentages over time: each holds for the time since the row
    before it.
    """
    timeline = stats[name]
    events = timeline.until(moment)
    if not events:
        # It lists what runs: who is never there while others are has no container.
        others = any(other.until(moment) for other in stats.values())
        if timeline.events or not others:
            return None
        return {"name": name, "kind": "replay", "state": "missing"}
    cpu, last = 0.0, events[0].at
    for event in [*events[1:], timeline.after(moment) or events[-1]]:
        try:
            share = float(str(event.row.get("CPUPerc")).strip().rstrip("%")) / 100
        except ValueError:
            return None
        # The row that is due next says what has been used since the last one.
        until = event.at if last < event.at <= moment else moment
        cpu += share * (until - last) / 1e9
        last = until
    row = events[-1].row

    def pair(key: str) -> tuple[int | None, int | None]:
        left, _, right = str(row.get(key)).partition("/")
        return parse_size(left), parse_size(right)

    (memory, limit), net, block = pair("MemUsage"), pair("NetIO"), pair("BlockIO")
    pids = str(row.get("PIDs"))
    return {
        "name": name,
        "kind": "replay",
        "cpu_seconds": round(cpu, 6),
        "memory_bytes": memory,
        "memory_limit_bytes": limit,
        "net_rx_bytes": net[0],
        "net_tx_bytes": net[1],
        "blk_read_bytes": block[0],
        "blk_write_bytes": block[1],
        "pids": int(pids) if pids.isdigit() else None,
    }

#!/usr/bin/env python3
"""Serve a recorded incident again, in real time, over the HTTP surface of the real processes.

One file, standard library only (Python 3.9 or newer): it is copied to a host, or into a container,
and run there. It answers with what was recorded at the moment that is due, and with ``not
recorded`` (501; 404 for an unknown path) for anything else. It never makes a value up: the times
alone are moved, by one constant shift, from the recording's clock to now.
"""

# ruff: noqa: UP017 - datetime.UTC came with Python 3.11
from __future__ import annotations

import argparse
import bisect
import contextlib
import gzip
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

# The simulator's connect phase is skipped: a replay begins this long before it was `running`.
LEAD_S = 5.0
# A scrape recorded at t stands for the node from t - EARLY_S on. Without it a window that begins a
# moment earlier than the recorded one would end on the scrape before the last.
EARLY_S = 2.0
# How long a scrape that answered says that its node lives, where nothing else tells (a scrape
# interval of 10 s and a half).
STALE_S = 15.0
# Recorded answer times below this are the network's, not the node's.
SLOW_MS = 50.0
MAX_ARCHIVE_BYTES = 2 << 30
MARKER = ".wktriage-replay"
LOG_KINDS = ("compose", "app", "error", "warn", "debug")

UP, UNKNOWN, REFUSED, RESET, CLOSED, HANG = "up", "unknown", "refused", "reset", "closed", "hang"

Row = dict[str, Any]


class ReplayError(Exception):
    """The recording or the request cannot be used; the message says why."""


# ---------------------------------------------------------------------------------------- times


def parse_time(text: str) -> int:
    """Return the nanoseconds since the epoch of an ISO 8601 UTC time ("Z" or no zone).

    Raises ValueError for anything else.
    """
    match = re.fullmatch(
        r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?(?:Z|\+00:00)?", text
    )
    if not match:
        raise ValueError(f"not a UTC time: {text[:40]!r}")
    whole = datetime.strptime(f"{match[1]} {match[2]}+0000", "%Y-%m-%d %H:%M:%S%z")
    seconds = (whole - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(seconds=1)
    return seconds * 10**9 + int((match[3] or "").ljust(9, "0"))


def format_time(nanoseconds: int, digits: int, separator: str = "T", point: str = ".") -> str:
    """Return the time with that many fractional digits and without a zone."""
    seconds, rest = divmod(nanoseconds, 10**9)
    whole = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)
    text = whole.strftime(f"%Y-%m-%d{separator}%H:%M:%S")
    return f"{text}{point}{rest:09d}"[: len(text) + 1 + digits] if digits else text


def shift_time(text: str, shift_ms: int) -> str:
    """Move one ISO time by shift_ms and keep its form; what is no UTC time stays as it is."""
    try:
        moved = parse_time(text) + shift_ms * 10**6
    except ValueError:
        return text
    match = re.search(r"[.,](\d+)", text)
    digits, point = (len(match[1]), match[0][0]) if match else (0, ".")
    zone = re.search(r"(Z|\+00:00)$", text)
    return format_time(moved, digits, text[10], point) + (zone[1] if zone else "")


# Where a log line says when: console format, JSON format, Go's log.Print, an engine's prefix.
_LOG_TIME = re.compile(
    rb'^(?:\{[^{}]{0,200}?"time"\s*:\s*")?'
    rb"(\d{4}([-/])\d\d[-/]\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,9})?Z?)"
)


def log_line_time(line: bytes) -> tuple[int, int, int] | None:
    """Return (nanoseconds, start, end) of the time a log line carries, or None."""
    match = _LOG_TIME.match(line[:512])
    if not match:
        return None
    try:
        return parse_time(match[1].decode().replace("/", "-")), match.start(1), match.end(1)
    except ValueError:
        return None


def shift_log_line(line: bytes, shift_ms: int) -> bytes:
    """Move every leading time of a log line (an engine's prefix may come before the node's own)."""
    found = log_line_time(line)
    if found is None:
        return line
    _, start, end = found
    old = line[start:end].decode()
    new = shift_time(old.replace("/", "-"), shift_ms)
    if "/" in old:
        new = new.replace("-", "/")
    rest = line[end:]
    if old.endswith("Z") and rest.startswith(b" "):
        rest = b" " + shift_log_line(rest[1:], shift_ms)
    return line[:start] + new.encode() + rest


_EPOCH_GAUGE = re.compile(
    rb"^(process_start_time_seconds|go_memstats_last_gc_time_seconds"
    rb"|[a-zA-Z_:][\w:]*_(?:timestamp|created|start_time)(?:_seconds)?)"
    rb"(\{[^\n]*\})? (\d[\d.e+]*)$",
    re.MULTILINE,
)


def shift_metrics(text: bytes, shift_ms: int) -> bytes:
    """Move the gauges that hold a moment (Unix seconds); everything else stays byte for byte."""

    def move(match: re.Match[bytes]) -> bytes:
        value = Decimal(match[3].decode())
        if not 10**9 < value < 4 * 10**9:
            return match[0]
        moved = (value + Decimal(shift_ms) / 1000).normalize()
        digits = "".join(str(digit) for digit in moved.as_tuple().digits)
        text = f"{digits[0]}.{digits[1:]}e+09" if len(digits) > 1 else f"{digits}e+09"
        return match[1] + (match[2] or b"") + b" " + text.encode()

    return _EPOCH_GAUGE.sub(move, text)


# ------------------------------------------------------------------------------------ recording


class Event(NamedTuple):
    """Something recorded at a moment (nanoseconds)."""

    at: int
    row: Row


class Timeline:
    """Recorded rows in the order of their times."""

    def __init__(self, events: list[Event]) -> None:
        self.events = sorted(events, key=lambda event: event.at)
        self._times = [event.at for event in self.events]

    def at(self, moment: int) -> Event | None:
        """Return the newest event at or before the moment."""
        index = bisect.bisect_right(self._times, moment)
        return self.events[index - 1] if index else None

    def until(self, moment: int) -> list[Event]:
        """Return all events at or before the moment."""
        return self.events[: bisect.bisect_right(self._times, moment)]

    def after(self, moment: int) -> Event | None:
        """Return the first event after the moment."""
        index = bisect.bisect_right(self._times, moment)
        return self.events[index] if index < len(self.events) else None


# What HTTP clients (Python's, Go's, curl, the harness's own collector) say of a failed request.
_ERRORS = {
    HANG: ("timed out", "timeout", "deadline", "no answer within"),
    RESET: ("reset", "errno 104", "broken pipe"),
    CLOSED: ("closed connection", "empty reply", "eof", "incomplete"),
    # No stand-in can be unreachable; a refusal is the nearest thing that fails at once.
    REFUSED: ("refused", "errno 111", "errno 61", "unreachable", "no route", "no such host"),
}


def classify_error(text: str | None) -> str:
    """Return how a caller experienced a failed request: refused, reset, closed or hang."""
    low = (text or "").lower()
    return next(
        (state for state, parts in _ERRORS.items() if any(p in low for p in parts)), UNKNOWN
    )


def read_rows(path: Path) -> list[Row]:
    """Return the JSON objects of a JSON Lines file; a torn or odd line is skipped."""
    rows: list[Row] = []
    if not path.is_file():
        return rows
    with path.open("rb") as lines:
        for line in lines:
            with contextlib.suppress(ValueError):
                row = json.loads(line.decode("utf-8", "replace"))
                if isinstance(row, dict):
                    rows.append(row)
    return rows


def read_object(path: Path) -> Row:
    """Return the JSON object in a file, or an empty one when it is missing or unreadable."""
    with contextlib.suppress(OSError, ValueError):
        value = json.loads(path.read_text("utf-8", "replace"))
        if isinstance(value, dict):
            return value
    return {}


def _events(rows: list[Row], key: str = "sample_time") -> list[Event]:
    events = []
    for row in rows:
        with contextlib.suppress(ValueError):
            events.append(Event(parse_time(str(row.get(key))), row))
    return events


def read_env(path: Path) -> dict[str, str]:
    """Return the NAME=value lines of an env.txt; empty when it is missing."""
    if not path.is_file():
        return {}
    lines = path.read_text("utf-8", "replace").splitlines()
    return {
        k.strip(): v.strip() for k, _, v in (line.partition("=") for line in lines) if k.strip()
    }


_SIZES = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
_SIZES.update({"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4})


def parse_size(text: str) -> int | None:
    """Return the bytes of a size as `docker stats` prints it ("6.605MiB", "3.75kB")."""
    match = re.fullmatch(r"\s*([\d.]+)\s*([kKMGT]?i?B)\s*", text)
    if not match or match[2] not in _SIZES:
        return None
    try:
        return int(float(match[1]) * _SIZES[match[2]])
    except ValueError:
        return None


class Recording:
    """A bundle directory, read for replaying. Plain bundles (no manifest) have less in them."""

    def __init__(self, root: Path) -> None:
        """Read the bundle. Raises ReplayError when there is no status timeline to replay."""
        self.root = root
        self.window_file = read_object(root / "window.json")
        self.topology = read_object(root / "topology.json")
        self.status = Timeline(_events(read_rows(root / "status.jsonl")))
        if not self.status.events:
            raise ReplayError(f"nothing to replay: {root.name} has no readable status.jsonl")
        self.plain = not (root / "manifest.json").is_file()
        self.sim_name = str((self.topology.get("sim") or {}).get("name") or "wk-sim")
        self.node_names = self._node_names()
        health = read_rows(root / "health.jsonl")
        self.health_end = max((event.at for event in _events(health)), default=0)
        self.window = self._window()
        self.begin = self._begin()
        self.end = max(self.status.events[-1].at, self.health_end, self.window[1])
        self.health: dict[tuple[str, str], Timeline] = {}
        for node in self.node_names:
            for probe in ("healthz", "readyz", "goroutines"):
                rows = [r for r in health if r.get("node") == node and r.get("probe") == probe]
                self.health[node, probe] = Timeline(_events(rows))
        self.cluster = self._by_name(read_rows(root / "cluster.jsonl"), "node")
        self.resources = self._by_name(read_rows(root / "resources.jsonl"), "name")
        self.docker_stats = self._docker_stats()
        self.host = self._by_name(read_rows(root / "host.jsonl"), "host")
        self.events = Timeline(_events(read_rows(root / "events.jsonl"), "time"))
        self.metrics = {node: self._metrics(node) for node in self.node_names}
        self.reach = {node: self._reach(node) for node in self.node_names}

    # -- what it holds

    def _node_names(self) -> list[str]:
        nodes = self.topology.get("nodes")
        if isinstance(nodes, list) and nodes:
            return [str(node.get("name")) for node in nodes if isinstance(node, dict)]
        found = set()
        for pattern in ("metrics/node*", "logs/*/wk-node*.log", "pprof/node*"):
            for path in self.root.glob(pattern):
                match = re.match(r"(?:wk-)?node(\d+)", path.name)
                if match:
                    found.add(int(match[1]))
        return [f"wk-node{number}" for number in sorted(found)]

    def node_number(self, node: str) -> str:
        """Return the number under which files of a node are kept ("2" of "wk-node2")."""
        for entry in self.topology.get("nodes") or []:
            if isinstance(entry, dict) and entry.get("name") == node and entry.get("id"):
                return str(entry["id"])
        return re.sub(r"\D", "", node)

    def _window(self) -> tuple[int, int]:
        """Return the measured window. Plain: from the first counted message, as long as asked."""
        with contextlib.suppress(ValueError):
            return (
                parse_time(str(self.window_file.get("start"))),
                parse_time(str(self.window_file.get("end"))),
            )
        last = self.status.events[-1].at
        moved = [
            e.at for e in self.status.events if (e.row.get("status") or {}).get("messages_sent")
        ]
        env = read_env(self.root / "env.txt")
        try:
            seconds = float(self.window_file.get("asked_seconds") or env.get("DURATION", ""))
        except (TypeError, ValueError):
            seconds = (last - moved[0]) / 1e9 if moved else 0.0
        if moved:
            return moved[0], min(moved[0] + int(seconds * 1e9), last)
        return max(self.status.events[0].at, last - int(seconds * 1e9)), last

    def _begin(self) -> int:
        """Return where to begin: shortly before the simulator was running, else at the start."""
        first = self.status.events[0].at
        for event in self.status.events:
            status = event.row.get("status") or {}
            if status.get("state") == "running":
                with contextlib.suppress(ValueError):
                    running = parse_time(str(status.get("last_transition_at")))
                    return max(first, min(running, event.at) - int(LEAD_S * 1e9))
                return max(first, event.at - int(LEAD_S * 1e9))
        return first

    @staticmethod
    def _by_name(rows: list[Row], key: str) -> dict[str, Timeline]:
        names = {str(row.get(key)) for row in rows}
        return {n: Timeline(_events([r for r in rows if str(r.get(key)) == n])) for n in names}

    def _docker_stats(self) -> dict[str, Timeline]:
        """Return the rows of `docker stats` by the service's name ("wk-wk-node2-1": wk-node2)."""
        rows = read_rows(self.root / "docker-stats.jsonl")
        found: dict[str, Timeline] = {}
        for name in [*self.node_names, self.sim_name]:
            pattern = re.compile(rf"(?:^|[-_]){re.escape(name)}(?:[-_]\d+)?$")
            mine = [row for row in rows if pattern.search(str(row.get("Name")))]
            found[name] = Timeline(_events(mine))
        return found

    def _metrics(self, node: str) -> Timeline:
        number = self.node_number(node)
        events = []

        def add(at: int, path: Path) -> None:
            if path.is_file():
                events.append(Event(at, {"path": path}))
            error = path.with_name(path.name + ".err")
            if error.is_file():
                text = error.read_text("utf-8", "replace")[:200]
                events.append(Event(at, {"error": text}))

        add(self.window[0], self.root / "metrics" / f"node{number}-before.prom")
        add(self.window[1], self.root / "metrics" / f"node{number}.prom")
        series = self.root / "metrics" / "series" / f"node{number}"
        taken = {re.match(r"\d+", path.name) for path in series.glob("*.prom.gz*")}
        for stamp in {match[0] for match in taken if match}:
            add(int(stamp) * 10**6, series / f"{stamp}.prom.gz")
        return Timeline(events)

    def _reach(self, node: str) -> Timeline:
        """Return how the node answered over time: rows {"state": up|unknown|refused|...}."""
        probes = self.health[node, "healthz"].events
        if probes:
            return Timeline([Event(e.at, {"state": self._probe_state(e.row)}) for e in probes])
        # Plain: only the scrapes tell. What lies between two of them was not recorded, unless
        # `docker stats` shows when the container stood still.
        scrapes = self.metrics[node].events
        if not scrapes:
            return Timeline([Event(0, {"state": UNKNOWN})])
        states = [Event(0, {"state": self._scrape_state(scrapes[0])})]
        for index in range(1, len(scrapes)):
            before, scrape = scrapes[index - 1], scrapes[index]
            was, state = self._scrape_state(before), self._scrape_state(scrape)
            at = scrape.at
            if state == HANG:
                at = max(self._frozen_since(node, scrape.at) or at, before.at + 1)
            stale = before.at + int(STALE_S * 1e9)
            if was == UP and stale < at:
                states.append(Event(stale, {"state": UNKNOWN}))
            states.append(Event(at, {"state": state}))
        return Timeline(states)

    @staticmethod
    def _probe_state(row: Row) -> str:
        if row.get("http_status") or row.get("ok"):
            return UP
        state = classify_error(row.get("error"))
        # It did not answer, for a reason in words that are not known here.
        return CLOSED if state == UNKNOWN else state

    @staticmethod
    def _scrape_state(event: Event) -> str:
        return UP if "path" in event.row else classify_error(event.row["error"])

    def _frozen_since(self, node: str, moment: int) -> int | None:
        """Return since when the container used no CPU at all, without a break until the moment."""
        since = None
        for event in reversed(self.docker_stats[node].until(moment)):
            if str(event.row.get("CPUPerc")).strip() != "0.00%":
                break
            since = event.at
        return since

    def describe(self) -> Row:
        """Return what a caller needs to know to run this recording again."""
        return {
            "nodes": self.node_names,
            "sim": self.sim_name,
            "plain": self.plain,
            "begin": format_time(self.begin, 3) + "Z",
            "end": format_time(self.end, 3) + "Z",
            "window_start": format_time(self.window[0], 3) + "Z",
            "window_end": format_time(self.window[1], 3) + "Z",
            "window_seconds": round((self.window[1] - self.window[0]) / 1e9, 3),
        }


# ----------------------------------------------------------------------------------- the answers


class Clock:
    """The recording's clock, moved to now by a whole number of milliseconds."""

    def __init__(self, recording: Recording, start_at: float) -> None:
        self.shift_ms = int(start_at * 1000) - recording.begin // 10**6

    def moment(self) -> int:
        """Return the recorded moment (nanoseconds) that is now."""
        return time.time_ns() - self.shift_ms * 10**6


class Answer(NamedTuple):
    """One HTTP answer, or (state) the way in which there is none."""

    code: int = 200
    body: bytes = b""
    kind: str = "application/json"
    delay_s: float = 0.0
    state: str = UP
    # It takes its time by itself: what befalls the process meanwhile befalls the request.
    long: bool = False


NOT_RECORDED = Answer(501, b"not recorded\n", "text/plain; charset=utf-8")
UNKNOWN_PATH = NOT_RECORDED._replace(code=404)


def _json(value: Any, delay_s: float = 0.0) -> Answer:
    return Answer(body=json.dumps(value, ensure_ascii=False).encode("utf-8"), delay_s=delay_s)


def _failed(error: Any) -> Answer:
    """Return the failure that an error text tells of; the harness notes a status as "HTTP 503"."""
    status = re.search(r"\bHTTP ([1-5]\d\d)\b", str(error))
    if status:
        return Answer(int(status[1]), kind="text/plain; charset=utf-8")
    state = classify_error(str(error))
    return NOT_RECORDED if state == UNKNOWN else Answer(state=state)


CUMULATIVE = {
    "cpu_seconds", "throttled_seconds", "throttled_periods", "periods",
    "net_rx_bytes", "net_tx_bytes", "blk_read_bytes", "blk_write_bytes",
    "cpu_total_ticks", "cpu_idle_ticks", "cpu_iowait_ticks", "cpu_steal_ticks",
}  # fmt: skip
"""Counters of resources.jsonl and host.jsonl that grow between two rows."""


class Surface:
    """What every stand-in process answers; nodes and the simulator add their own paths."""

    def __init__(self, name: str, recording: Recording, clock: Clock) -> None:
        self.name = name
        self.recording = recording
        self.clock = clock
        self._logs: dict[str, tuple[list[int], list[bytes]]] = {}
        self._lock = threading.Lock()

    def reachable(self, moment: int) -> str:
        """Return how this process takes a connection at that moment."""
        raise NotImplementedError

    def mute(self, since: int, moment: int) -> bool:
        """Say whether a request taken at ``since`` has no answer yet."""
        return self.reachable(moment) == HANG

    def own(self, path: str, query: str, moment: int) -> Answer:
        """Return the answer of a path that the real process has too."""
        raise NotImplementedError

    def answer(self, path: str, query: str, moment: int) -> Answer:
        """Return the answer that is due at that moment."""
        state = self.reachable(moment)
        if state not in (UP, UNKNOWN):
            return Answer(state=state)
        return self.own(path, query, moment)

    # -- paths of the harness: what it reads from engines, files and /proc on a real stack

    def harness(self, what: str, moment: int) -> Answer:
        """Return what the harness does not ask the process itself for."""
        if what == "resource":
            return self._resource(moment)
        if what == "host":
            return self._host(moment)
        if what == "events":
            return self._events(moment)
        if what.startswith("logs/"):
            return self._log(what[len("logs/") :], moment)
        if what.startswith("bundle/"):
            return self._bundle_file(what[len("bundle/") :])
        return UNKNOWN_PATH

    def _shifted(self, row: Row, *keys: str) -> Row:
        moved = {
            k: shift_time(row[k], self.clock.shift_ms) for k in keys if isinstance(row.get(k), str)
        }
        return {**row, **moved}

    @staticmethod
    def _between(timeline: Timeline | None, moment: int) -> Row | None:
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

    def _resource(self, moment: int) -> Answer:
        timeline = self.recording.resources.get(self.name)
        if timeline is not None:
            found = self._between(timeline, moment)
            if found is None:
                return NOT_RECORDED
            row = self._shifted(found, "started_at")
            row.pop("sample_time", None)
            return _json(row)
        return self._docker_stats(moment)

    def _docker_stats(self, moment: int) -> Answer:
        """Answer from the percentages of `docker stats`: CPU seconds are their sum over time.

        A percentage holds for the time since the row before it.
        """
        timeline = self.recording.docker_stats[self.name]
        events = timeline.until(moment)
        if not events:
            # It lists what runs: who is never there while others are has no container.
            others = any(t.until(moment) for t in self.recording.docker_stats.values())
            if timeline.events or not others:
                return NOT_RECORDED
            return _json({"name": self.name, "kind": "replay", "state": "missing"})
        cpu, last = 0.0, events[0].at
        for event in [*events[1:], timeline.after(moment) or events[-1]]:
            try:
                share = float(str(event.row.get("CPUPerc")).strip().rstrip("%")) / 100
            except ValueError:
                return NOT_RECORDED
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
        return _json(
            {
                "name": self.name,
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
        )

    def _host_name(self) -> str | None:
        hosts = self.recording.host
        if len(hosts) == 1:
            return next(iter(hosts))
        topology = self.recording.topology
        for entry in [*(topology.get("nodes") or []), topology.get("sim") or {}]:
            if isinstance(entry, dict) and entry.get("name") == self.name:
                return str(entry.get("host"))
        return None

    def _host(self, moment: int) -> Answer:
        timeline = self.recording.host.get(self._host_name() or "")
        row = self._between(timeline, moment)
        if row is None:
            return NOT_RECORDED
        return _json(
            {k: v for k, v in row.items() if k not in ("sample_time", "collector_cpu_seconds")}
        )

    def _events(self, moment: int) -> Answer:
        if not (self.recording.root / "events.jsonl").is_file():
            return NOT_RECORDED
        rows = [self._shifted(e.row, "time") for e in self.recording.events.until(moment)]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        return Answer(body=text.encode("utf-8"), kind="application/x-ndjson")

    def _bundle_file(self, name: str) -> Answer:
        if not re.fullmatch(
            r"(?:[\w-]+\.(?:txt|yml|json)|config/[\w-]+\.(?:json|toml|yaml))", name
        ):
            return UNKNOWN_PATH
        path = self.recording.root / name
        if not path.is_file():
            return UNKNOWN_PATH
        return Answer(body=path.read_bytes(), kind="text/plain; charset=utf-8")

    def log_until(self, kind: str, moment: int) -> list[bytes] | None:
        """Return the lines of a log that were there at that moment, times moved; None: no log."""
        with self._lock:
            if kind not in self._logs:
                path = self.recording.root / "logs" / kind / f"{self.name}.log"
                if not path.is_file():
                    return None
                times, lines, latest = [], [], 0
                with path.open("rb") as file:
                    for line in file:
                        found = log_line_time(line)
                        # Streams of one process interleave slightly out of order: keep the file's
                        # order, a line without a time comes with the one before it.
                        latest = max(latest, found[0]) if found else latest
                        times.append(latest)
                        lines.append(shift_log_line(line, self.clock.shift_ms))
                self._logs[kind] = (times, lines)
        times, lines = self._logs[kind]
        return lines[: bisect.bisect_right(times, moment)]

    def _log(self, kind: str, moment: int) -> Answer:
        if kind not in LOG_KINDS:
            return UNKNOWN_PATH
        lines = self.log_until(kind, moment)
        if lines is None:
            return NOT_RECORDED
        return Answer(body=b"".join(lines), kind="text/plain; charset=utf-8")


class SimSurface(Surface):
    """The simulator: /healthz and /status.

    One that is starved of CPU answers some requests late and others not at all. A request then
    fares as the recorded one nearest to it: if it hung until the next row, and took that one's
    time on top, far more would fail than did.
    """

    def _event(self, moment: int) -> Event:
        timeline = self.recording.status
        event = timeline.at(moment) or timeline.events[0]
        following = timeline.after(moment)
        if self._state(event) == HANG and following and 2 * moment > event.at + following.at:
            return following
        return event

    @staticmethod
    def _state(event: Event) -> str:
        return UP if "status" in event.row else classify_error(event.row.get("error"))

    def reachable(self, moment: int) -> str:
        """See Surface."""
        return self._state(self._event(moment))

    def mute(self, since: int, moment: int) -> bool:
        """See Surface."""
        return self.reachable(since) == HANG

    def own(self, path: str, query: str, moment: int) -> Answer:
        """See Surface."""
        if path == "/healthz":
            return _json({"status": "ok"})
        if path != "/status":
            return UNKNOWN_PATH
        event = self._event(moment)
        status = event.row.get("status")
        if not isinstance(status, dict):
            return NOT_RECORDED
        return _json(self._shifted(status, "last_transition_at"), _slow(event.row))


class ControlSurface(Surface):
    """What engine, files and /proc tell of the processes: it answers when they do not."""

    def __init__(self, processes: list[Surface], recording: Recording, clock: Clock) -> None:
        super().__init__("control", recording, clock)
        self.processes = {process.name: process for process in processes}

    def reachable(self, moment: int) -> str:
        """See Surface."""
        return UP

    def own(self, path: str, query: str, moment: int) -> Answer:
        """See Surface: /_replay/<process>/<what>."""
        match = re.fullmatch(r"/_replay/([\w-]+)/(.+)", path)
        process = self.processes.get(match[1]) if match else None
        return process.harness(match[2], moment) if match and process else UNKNOWN_PATH


def _slow(row: Row) -> float:
    took = row.get("took_ms")
    return min(took, 60000.0) / 1000 if isinstance(took, (int, float)) and took >= SLOW_MS else 0.0


class NodeSurface(Surface):
    """A node: health, metrics, debug and pprof."""

    def reachable(self, moment: int) -> str:
        """See Surface."""
        timeline = self.recording.reach[self.name]
        event = timeline.at(moment) or (timeline.events[0] if timeline.events else None)
        return str(event.row["state"]) if event else UNKNOWN

    def own(self, path: str, query: str, moment: int) -> Answer:
        """See Surface."""
        if path in ("/healthz", "/readyz"):
            return self._probe(path[1:], moment)
        if path == "/metrics":
            return self._metrics(moment)
        if path == "/debug/cluster":
            return self._cluster(moment)
        if path == "/debug/goroutines/summary":
            return self._goroutines(moment)
        if path.startswith("/debug/pprof/"):
            return self._pprof(path[len("/debug/pprof/") :], query)
        return UNKNOWN_PATH

    def _own_failure(self, event: Event) -> bool:
        """Say whether a failed request was this path's own trouble, not that of the whole node."""
        return self.reachable(event.at) in (UP, UNKNOWN)

    def _probe(self, probe: str, moment: int) -> Answer:
        timeline = self.recording.health[self.name, probe]
        if not timeline.events:
            # Plain: a node whose /metrics answered was alive then, and the simulator does not
            # get to `running` before every node is ready.
            if self.reachable(moment) == UP:
                return _json({"status": "ok"} if probe == "healthz" else {"ready": True})
            return NOT_RECORDED
        event = timeline.at(moment) or timeline.events[0]
        row = event.row
        if row.get("http_status"):
            default = {"status": "ok"} if probe == "healthz" else {"ready": bool(row.get("ok"))}
            body = row.get("body")
            text = body if isinstance(body, str) else json.dumps(default)
            return Answer(int(row["http_status"]), text.encode("utf-8"), delay_s=_slow(row))
        if self._own_failure(event):
            return _failed(row.get("error"))
        return NOT_RECORDED

    def _metrics(self, moment: int) -> Answer:
        timeline = self.recording.metrics[self.name]
        event = timeline.at(moment + int(EARLY_S * 1e9))
        if event is None:
            return NOT_RECORDED
        if "error" in event.row:
            return _failed(event.row["error"]) if self._own_failure(event) else NOT_RECORDED
        raw = event.row["path"].read_bytes()
        text = gzip.decompress(raw) if event.row["path"].suffix == ".gz" else raw
        moved = shift_metrics(text, self.clock.shift_ms)
        return Answer(body=moved, kind="text/plain; version=0.0.4; charset=utf-8")

    def _cluster(self, moment: int) -> Answer:
        timeline = self.recording.cluster.get(self.name)
        event = timeline.at(moment) if timeline else None
        if event is None:
            return NOT_RECORDED
        if "cluster" in event.row:
            return _json(event.row["cluster"])
        return _failed(event.row.get("error")) if self._own_failure(event) else NOT_RECORDED

    def _goroutines(self, moment: int) -> Answer:
        timeline = self.recording.health[self.name, "goroutines"]
        event = timeline.at(moment) or (timeline.events[0] if timeline.events else None)
        # The last one has its own file, taken after the window.
        number = self.recording.node_number(self.name)
        final = self.recording.root / "pprof" / f"node{number}-goroutine-summary.json"
        if moment > self.recording.window[1] and final.is_file():
            return _json(self._shifted(read_object(final), "process_started_at", "generated_at"))
        if event is None:
            return NOT_RECORDED
        with contextlib.suppress(ValueError, TypeError):
            summary = json.loads(event.row.get("body") or "")
            if isinstance(summary, dict):
                return _json(self._shifted(summary, "process_started_at", "generated_at"))
        return _failed(event.row.get("error")) if self._own_failure(event) else NOT_RECORDED

    def _pprof(self, what: str, query: str) -> Answer:
        suffixes = {"profile": "cpu.pb.gz", "heap": "heap.pb.gz", "goroutine": "goroutine.txt"}
        if what not in suffixes:
            return UNKNOWN_PATH
        number = self.recording.node_number(self.name)
        path = self.recording.root / "pprof" / f"node{number}-{suffixes[what]}"
        error = path.with_name(path.name + ".err")
        if path.is_file():
            seconds = re.search(r"(?:^|&)seconds=(\d{1,3})(?:&|$)", query)
            delay = float(seconds[1]) if what == "profile" and seconds else 0.0
            kind = (
                "text/plain; charset=utf-8" if path.suffix == ".txt" else "application/octet-stream"
            )
            return Answer(body=path.read_bytes(), kind=kind, delay_s=delay, long=True)
        if error.is_file():
            return _failed(error.read_text("utf-8", "replace")[:200])
        return NOT_RECORDED


# ------------------------------------------------------------------------------------- the sockets


class Listener(threading.Thread):
    """One stand-in process: a port that is open, closed or mute as it was in the recording."""

    def __init__(self, surface: Surface, incident: str, port: Port) -> None:
        super().__init__(name=f"replay-{surface.name}", daemon=True)
        self.surface = surface
        self.incident = incident
        self.stopping = threading.Event()
        self._port = port
        self._sock = port.bind()
        self._open = False

    def run(self) -> None:
        """Take connections until stopped."""
        while not self.stopping.is_set():
            state = self.surface.reachable(self.surface.clock.moment())
            self._set_open(state != REFUSED)
            readable, _, _ = select.select([self._sock] if self._open else [], [], [], 0.05)
            if not self._open:
                self.stopping.wait(0.05)
            if readable:
                with contextlib.suppress(OSError):
                    connection, peer = self._sock.accept()
                    threading.Thread(
                        target=self._serve, args=(connection, peer), daemon=True
                    ).start()
        self._sock.close()
        self._port.release()

    def _set_open(self, wanted: bool) -> None:
        """Listen, or hold the port without listening: callers are refused, nobody can take it."""
        if wanted == self._open:
            return
        if wanted:
            self._sock.listen(128)
        else:
            self._sock.close()
            self._sock = self._port.bind()
        self._open = wanted

    def _serve(self, connection: socket.socket, peer: Any) -> None:
        with contextlib.suppress(OSError):
            Handler(connection, peer, self)
        with contextlib.suppress(OSError):
            connection.close()

    def wait_while_mute(self, connection: socket.socket, since: int) -> bool:
        """Hold a request like a frozen process does; False when caller or replay is gone."""
        while not self.stopping.is_set():
            if not self.surface.mute(since, self.surface.clock.moment()):
                return True
            readable, _, _ = select.select([connection], [], [], 0.1)
            if readable and not connection.recv(4096):
                return False
        return False


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server_version = "wktriage-replay"
    timeout = 30

    def __init__(self, connection: socket.socket, peer: Any, listener: Listener) -> None:
        self.listener = listener
        super().__init__(connection, peer, listener)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer with what was recorded, or fail as it failed."""
        self.close_connection = True
        surface = self.listener.surface
        path, _, query = self.path.partition("?")
        since = surface.clock.moment()
        answer = surface.answer(path, query, since)
        if answer.state == HANG and surface.reachable(since) == HANG:
            if not self.listener.wait_while_mute(self.connection, since):
                return
            answer = surface.answer(path, query, surface.clock.moment())
        if answer.delay_s:
            self.listener.stopping.wait(answer.delay_s)
        if answer.long:
            since = surface.clock.moment()
            state = surface.reachable(since)
            if state == HANG and not self.listener.wait_while_mute(self.connection, since):
                return
            if state in (RESET, CLOSED, REFUSED):
                answer = Answer(state=state)
        if answer.state == HANG:
            # This path alone hung: hold it until the caller gives up.
            self.listener.stopping.wait(60)
        elif answer.state in (RESET, REFUSED):
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
        elif answer.state == UP:
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        surface = self.listener.surface
        self.send_response(answer.code)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        self.send_header("X-Replay-Of", self.listener.incident)
        if surface.clock.moment() > surface.recording.end:
            self.send_header("X-Replay", "recording ended")
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent: the stand-in's output is the recorded log, nothing else."""


def parse_address(text: str) -> tuple[str, int]:
    """Return (address, port) of ADDRESS:PORT. Raises ReplayError for anything else."""
    match = re.fullmatch(r"([\w.-]+):(\d{1,5})", text)
    if not match or int(match[2]) > 65535:
        raise ReplayError(f"{text!r}: expected ADDRESS:PORT")
    return match[1], int(match[2])


class Port:
    """A TCP port that is ours while the stand-in lives, also when nothing listens on it.

    Two sockets that both ask for SO_REUSEADDR (without it the port of a stand-in that closed
    connections could not be bound again) may share a port until one listens. The UDP port of the
    same number keeps other replays away: it is taken or free, and goes with the process.
    """

    def __init__(self, address: tuple[str, int], *, or_another: bool = False) -> None:
        """Claim the port (0: any). Raises ReplayError when taken, unless another one will do."""
        host, wanted = address
        # A port that is free for TCP can be taken for UDP: try more than once.
        for number in [wanted, *([0] * 20 if or_another or wanted == 0 else [])]:
            try:
                with self._bind(socket.SOCK_STREAM, (host, number)) as sock:
                    self.address = (host, int(sock.getsockname()[1]))
                    self._claim = self._bind(socket.SOCK_DGRAM, self.address)
                return
            except OSError as caught:
                error = caught
        raise ReplayError(
            f"cannot listen on {host}:{wanted}: {error.strerror}; stop what uses "
            "the port or choose another one"
        ) from error

    @staticmethod
    def _bind(kind: int, address: tuple[str, int]) -> socket.socket:
        sock = socket.socket(socket.AF_INET, kind)
        try:
            if kind == socket.SOCK_STREAM:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
        except OSError:
            sock.close()
            raise
        return sock

    def bind(self) -> socket.socket:
        """Return a TCP socket bound to the port, not listening yet."""
        return self._bind(socket.SOCK_STREAM, self.address)

    def release(self) -> None:
        """Give the port back."""
        self._claim.close()


class LogWriter(threading.Thread):
    """Writes the recorded logs where the real process would: files, and standard output."""

    def __init__(self, surface: Surface, directory: Path | None, stdout: BinaryIO | None) -> None:
        super().__init__(name=f"logs-{surface.name}", daemon=True)
        self.surface = surface
        self.targets: dict[str, BinaryIO] = {}
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            for kind in LOG_KINDS[1:]:
                self.targets[kind] = (directory / f"{kind}.log").open("ab")
        if stdout is not None:
            self.targets["compose"] = stdout
        self.stopping = threading.Event()

    def run(self) -> None:
        """Write each line when it is due. A process that is frozen or dead wrote none then."""
        written = dict.fromkeys(self.targets, 0)
        while True:
            for kind, file in self.targets.items():
                lines = self.surface.log_until(kind, self.surface.clock.moment()) or []
                if len(lines) > written[kind]:
                    file.write(b"".join(lines[written[kind] :]))
                    file.flush()
                    written[kind] = len(lines)
            if self.stopping.wait(0.5):
                return


# ------------------------------------------------------------------------------------ the command


def unpack(archive: Path, target: Path) -> Path:
    """Unpack an incident (one top directory, plain files only) and return the bundle directory.

    Raises ReplayError for anything else in it: links, devices, absolute or climbing names, more
    than 2 GiB.
    """
    total = 0
    tops = set()
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                parts = Path(member.name).parts
                if member.name.startswith("/") or ".." in parts or not parts:
                    raise ReplayError(f"{archive.name}: unsafe name {member.name[:80]!r}")
                if not (member.isfile() or member.isdir()):
                    raise ReplayError(f"{archive.name}: {member.name[:80]!r} is not a plain file")
                total += member.size
                if total > MAX_ARCHIVE_BYTES:
                    raise ReplayError(
                        f"{archive.name}: unpacks to more than {MAX_ARCHIVE_BYTES} bytes"
                    )
                tops.add(parts[0])
                path = target.joinpath(*parts)
                if member.isdir():
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                source = tar.extractfile(member)
                if source is not None:
                    with source, path.open("wb") as out:
                        while chunk := source.read(1 << 20):
                            out.write(chunk)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ReplayError(f"cannot unpack {archive}: {error}") from error
    if len(tops) != 1:
        raise ReplayError(f"{archive.name}: expected one top directory, found {len(tops)}")
    return target / tops.pop()


def _daemonize(pidfile: Path) -> None:
    """Leave the caller's session; return in the grandchild only.

    The caller's process prints the pidfile and ends when the grandchild has written it, or fails
    when that took more than ten seconds.
    """
    log = pidfile.with_suffix(".log")
    if os.fork():
        for _ in range(200):
            if pidfile.exists():
                os.write(1, pidfile.read_bytes())
                os._exit(0)
            time.sleep(0.05)
        os.write(2, f"replay: did not start, see {log}\n".encode())
        os._exit(2)
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDONLY)
    out = os.open(str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)


def serve(args: argparse.Namespace) -> None:
    """Serve the asked processes until SIGTERM or SIGINT; with ``--hold`` from `begin` on.

    The pidfile says which ports it holds and, once it serves, the shift of its clock.
    """
    recording = Recording(Path(args.bundle))
    pidfile = Path(args.pidfile) if args.pidfile else None
    if pidfile and _running(pidfile):
        raise ReplayError(f"a replay is running already ({pidfile}); stop it first")
    if (args.daemon or args.hold) and pidfile is None:
        raise ReplayError("--daemon and --hold need --pidfile")
    held: dict[str, Port] = {}
    for text in args.listen:
        match = re.fullmatch(r"([\w-]+)=(.+)", text)
        if not match:
            raise ReplayError(f"--listen {text!r}: expected NAME=ADDRESS:PORT")
        name = match[1]
        if name not in (*recording.node_names, recording.sim_name):
            known = ", ".join([*recording.node_names, recording.sim_name])
            raise ReplayError(f"not recorded: {name}; incident {args.incident} holds {known}")
        held[name] = Port(parse_address(match[2]), or_another=args.any_port)
    if args.control:
        held["control"] = Port(parse_address(args.control), or_another=args.any_port)
    done = threading.Event()
    if pidfile:
        pidfile.unlink(missing_ok=True)
        _begin_file(pidfile).unlink(missing_ok=True)
    if args.daemon and pidfile:
        _daemonize(pidfile)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    said: Row = {"pid": os.getpid(), "ports": {n: p.address[1] for n, p in held.items()}}
    if pidfile and args.hold:
        _write(pidfile, said)
        while not _begin_file(pidfile).exists() and not done.wait(0.05):
            pass
        args.start_at = read_object(_begin_file(pidfile)).get("start_at")
    if not done.is_set():
        clock = Clock(recording, args.start_at if args.start_at is not None else time.time())
        threads = _processes(args, recording, clock, held)
        for thread in threads:
            thread.start()
        if pidfile:
            _write(pidfile, {**said, "shift_ms": clock.shift_ms})
        done.wait()
        for thread in threads:
            thread.stopping.set()
        for thread in threads:
            thread.join(2)
    if pidfile:
        pidfile.unlink()


def _processes(
    args: argparse.Namespace, recording: Recording, clock: Clock, held: dict[str, Port]
) -> list[Listener | LogWriter]:
    """Return the threads of all stand-ins."""
    threads: list[Listener | LogWriter] = []
    surfaces: list[Surface] = []
    for name, port in held.items():
        surface: Surface
        if name == "control":
            surface = ControlSurface(surfaces, recording, clock)
        elif name == recording.sim_name:
            surface = SimSurface(name, recording, clock)
        else:
            surface = NodeSurface(name, recording, clock)
        threads.append(Listener(surface, args.incident, port))
        if name == "control":
            continue
        surfaces.append(surface)
        if args.log_dir or args.log_stdout:
            directory = Path(args.log_dir) if args.log_dir and name != recording.sim_name else None
            stdout = sys.stdout.buffer if args.log_stdout else None
            threads.append(LogWriter(surface, directory, stdout))
    return threads


def _write(path: Path, content: Row) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(content))
    temporary.replace(path)


def _begin_file(pidfile: Path) -> Path:
    return pidfile.with_suffix(".begin")


def begin(args: argparse.Namespace) -> None:
    """Let a held replay serve, its clock beginning at the given time."""
    pidfile = Path(args.pidfile)
    deadline = time.monotonic() + 10
    while _running(pidfile) and time.monotonic() < deadline:
        if not _begin_file(pidfile).exists():
            _write(_begin_file(pidfile), {"start_at": args.start_at})
        if "shift_ms" in read_object(pidfile):
            return
        time.sleep(0.02)
    raise ReplayError(f"no replay is held by {pidfile}; create the stack first")


def _running(pidfile: Path) -> int | None:
    """Return the pid of a living replay that this file names; never that of another program."""
    pid = read_object(pidfile).get("pid")
    if not isinstance(pid, int) or pid <= 1:
        return None
    with contextlib.suppress(OSError):
        shown = subprocess.run(
            ["ps", "-ww", "-o", "args=", "-p", str(pid)], stdout=subprocess.PIPE, check=False
        ).stdout.decode("utf-8", "replace")
        return pid if "server.py" in shown and str(pidfile) in shown else None
    return None


def stop(args: argparse.Namespace) -> None:
    """Stop the replay that the pidfile names; nothing to stop is fine."""
    pidfile = Path(args.pidfile)
    pid = _running(pidfile)
    if pid is None:
        pidfile.unlink(missing_ok=True)
        print("not running")  # noqa: T201
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and _running(pidfile):
            time.sleep(0.05)
        if not _running(pidfile):
            break
    pidfile.unlink(missing_ok=True)
    print("stopped")  # noqa: T201


def remove(args: argparse.Namespace) -> None:
    """Stop what runs from a directory of ours and remove it; none there is fine."""
    place = Path(args.dir)
    if not place.exists() and not place.is_symlink():
        print("nothing there")  # noqa: T201
        return
    if place.is_symlink() or not (place / MARKER).is_file() or (place / MARKER).is_symlink():
        raise ReplayError(f"{place} lacks the marker {MARKER}: remove it, or name another place")
    stop(argparse.Namespace(pidfile=place / "replay.pid"))
    shutil.rmtree(place)
    print("removed")  # noqa: T201


def create(args: argparse.Namespace) -> None:
    """Make a fresh directory of ours, with this program in it."""
    remove(args)
    place = Path(args.dir)
    place.mkdir(parents=True)
    (place / MARKER).write_text("recorded incident, served by the WuKongIM triage harness\n")
    shutil.copyfile(__file__, place / "server.py")
    print("created")  # noqa: T201


def info(args: argparse.Namespace) -> None:
    """Print, as JSON, what the recording holds."""
    print(json.dumps(Recording(Path(args.bundle)).describe()))  # noqa: T201


def unpack_command(args: argparse.Namespace) -> None:
    """Unpack an archive; the bundle directory is the (new) target itself."""
    target = Path(args.target)
    if target.exists():
        raise ReplayError(f"{target} exists: name a directory that does not")
    temporary = target.with_name(target.name + ".new")
    shutil.rmtree(temporary, ignore_errors=True)
    unpack(Path(args.archive), temporary).rename(target)
    temporary.rmdir()


def main(argv: list[str] | None = None) -> int:
    """Run one command; 2 and one line on stderr when it cannot be done."""
    parser = argparse.ArgumentParser(description="Serve a recorded incident again.")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("serve", help="serve stand-in processes")
    command.add_argument("--bundle", required=True, help="unpacked bundle directory")
    command.add_argument("--incident", required=True, help="its name, said in every answer")
    command.add_argument("--listen", action="append", required=True, metavar="NAME=ADDRESS:PORT")
    command.add_argument("--control", metavar="ADDRESS:PORT", help="serve /_replay/NAME/... here")
    command.add_argument(
        "--start-at", type=float, help="epoch seconds at which it begins; default now"
    )
    command.add_argument("--pidfile")
    command.add_argument("--daemon", action="store_true")
    command.add_argument("--log-dir", help="write app.log, error.log, ... here as they come")
    command.add_argument(
        "--log-stdout", action="store_true", help="write the console log to stdout"
    )
    command.add_argument(
        "--any-port", action="store_true", help="take a free port where the named one is taken"
    )
    command.add_argument(
        "--hold", action="store_true", help="hold the ports, serve when `begin` says so"
    )
    command.set_defaults(run=serve)
    command = commands.add_parser("begin", help="let a held replay serve")
    command.add_argument("--pidfile", required=True)
    command.add_argument("--start-at", type=float, required=True, help="epoch seconds")
    command.set_defaults(run=begin)
    command = commands.add_parser("stop", help="stop a replay")
    command.add_argument("--pidfile", required=True)
    command.set_defaults(run=stop)
    for name, run in (("create", create), ("remove", remove)):
        command = commands.add_parser(name, help=f"{name} the directory of a replay")
        command.add_argument("--dir", required=True)
        command.set_defaults(run=run)
    command = commands.add_parser("info", help="say what a recording holds")
    command.add_argument("--bundle", required=True)
    command.set_defaults(run=info)
    command = commands.add_parser("unpack", help="unpack an incident")
    command.add_argument("archive")
    command.add_argument("target")
    command.set_defaults(run=unpack_command)
    args = parser.parse_args(argv)
    try:
        args.run(args)
    except ReplayError as error:
        print(f"replay: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


def _exit() -> NoReturn:
    sys.exit(main())


if __name__ == "__main__":
    _exit()

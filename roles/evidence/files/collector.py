#!/usr/bin/env python3
"""Collects a run's evidence on one host, detached from whoever started it.

    collector.py start SPEC.json              begin; returns when the detached process runs
    collector.py poll OUTDIR [--since N]      one small JSON on where it stands
    collector.py stop OUTDIR [--reason TEXT]  finish early with what there is
    collector.py pack OUTDIR TARFILE          the evidence as one tar.gz, when done or dead

Only the standard library, Python 3.8 or newer: a host needs nothing else. One file, because it is
copied to hosts as it is.

Each target has threads of its own, so that one that hangs costs its own samples and nobody else's.
Every sampler keeps an absolute cadence (start + n * interval on the monotonic clock); slots that
could not be served are skipped and counted, never made up for. Times in the files come from the
monotonic clock on top of one wall clock reading, so a stepped wall clock can't tear the timeline.
Nothing of what is read is believed: sizes, times and lines are bounded.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import http.client
import json
import os
import platform
import re
import signal
import socket
import sys
import tarfile
import threading
import time
import traceback
from datetime import datetime, timezone
from urllib.parse import quote, urlsplit

SCHEMA_VERSION = 1
STATUS_TIMEOUT = 2.0
# A little under two slots, so that a node that hangs is asked every second slot, not every third.
HEALTHZ_TIMEOUT = 1.95
# /readyz writes a probe to every slot and may take 5 s with the default 10 slots.
SLOW_PROBE_TIMEOUT = 6.0
METRICS_TIMEOUT = 5.0
PPROF_TIMEOUT = 8.0
# For a node that did not answer its last health checks: enough to learn that it still doesn't.
SILENT_NODE_TIMEOUT = 2.0
LOGS_TIMEOUT = 60.0
SLOW_INTERVAL = 10.0
DOCKER_STATS_INTERVAL = 2.0
SMALL_BODY = 256 * 1024
MAX_BODY_FIELD = 2000
MAX_LOG_LINE = 64 * 1024
EVENT_ACTIONS = (
    "create", "destroy", "die", "kill", "oom", "pause", "restart", "start", "stop", "unpause",
    "update",
)  # fmt: skip
COUNTERS = ("messages_sent", "send_errors", "recv_errors")
NOT_RECORDED = "not recorded"
DEFAULT_LIMITS = {"log_bytes": 64 * 1024 * 1024, "file_bytes": 64 * 1024 * 1024}
LOG_KINDS = ("app", "error", "warn", "debug")


# --- time -----------------------------------------------------------------------------------


def iso(epoch):
    """Return epoch seconds as ISO 8601 UTC with milliseconds."""
    ms = int(round(epoch * 1000))
    base = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000))
    return "%s.%03dZ" % (base, ms % 1000)


def parse_iso(text):
    """Return the epoch seconds of an ISO 8601 UTC time, or None."""
    match = re.match(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]00:?00)?$", str(text))
    if not match:
        return None
    try:
        day = datetime.strptime(match.group(1) + " " + match.group(2), "%Y-%m-%d %H:%M:%S")
    except ValueError:
        return None
    return day.replace(tzinfo=timezone.utc).timestamp() + float(match.group(3) or 0)


class Clock:
    """Wall time that only moves forward: one wall reading plus the monotonic clock."""

    def __init__(self):
        self._base = time.time() - time.monotonic()

    def wall(self, mono=None):
        """Return the epoch seconds of a monotonic moment (default: now)."""
        return self._base + (time.monotonic() if mono is None else mono)

    def iso(self, mono=None):
        """Return the ISO form of a monotonic moment (default: now)."""
        return iso(self.wall(mono))


class Cadence:
    """The slots start + n * interval; late ones are skipped and counted."""

    def __init__(self, start, interval, over):
        self.start = start
        self.interval = interval
        self.missed = 0
        self._over = over

    def slots(self):
        """Yield (n, due, lateness) until over is set; due is on the monotonic clock."""
        number = 0
        while not self._over.is_set():
            due = self.start + number * self.interval
            delay = due - time.monotonic()
            if delay > 0 and self._over.wait(delay):
                return
            yield number, due, time.monotonic() - due
            following = int((time.monotonic() - self.start) // self.interval) + 1
            following = max(number + 1, following)
            self.missed += following - number - 1
            number = following


# --- fetching -------------------------------------------------------------------------------


class Unanswered(Exception):
    """A request without a usable answer; ``timeout`` tells waiting in vain from refusal."""

    def __init__(self, text, timeout=False):
        Exception.__init__(self, text)
        self.timeout = timeout


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        http.client.HTTPConnection.__init__(self, "localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Http:
    """One keep-alive connection to one server. Use from one thread only.

    ``base`` is http://host:port[/prefix], or unix:/path/of/socket.
    """

    def __init__(self, base):
        self._base = base
        self._conn = None
        self._prefix = ""
        if not base.startswith("unix:"):
            parts = urlsplit(base)
            if parts.scheme != "http" or not parts.hostname:
                raise ValueError("not an http address: %s" % base[:200])
            self._prefix = parts.path.rstrip("/")

    def close(self):
        """Close the connection, if any."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _connect(self, timeout):
        if self._base.startswith("unix:"):
            return _UnixConnection(self._base[5:], timeout)
        parts = urlsplit(self._base)
        return http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=timeout)

    def get(self, path, timeout, limit=SMALL_BODY, sink=None, large=False):
        """GET ``path``; return (status, body, cut). Raises Unanswered.

        ``timeout`` bounds the whole exchange in seconds, ``limit`` the body in bytes; ``cut`` says
        that the body was longer. ``sink`` gets the pieces instead (body is b"" then). ``large``
        asks with HTTP/1.0: no chunking, which is several times cheaper to read for big bodies.
        """
        deadline = time.monotonic() + timeout
        for attempt in (0, 1):
            reused = self._conn is not None and not large
            try:
                return self._exchange(path, deadline, limit, sink, large)
            except socket.timeout:
                self.close()
                raise Unanswered("no answer within %.1f s" % timeout, timeout=True) from None
            except (OSError, http.client.HTTPException, ValueError) as exc:
                self.close()
                # A kept connection may have been closed by the server meanwhile: ask once more.
                if reused and attempt == 0 and time.monotonic() < deadline:
                    continue
                raise Unanswered(describe(exc)) from None
        raise Unanswered("unreachable")

    def _exchange(self, path, deadline, limit, sink, large):
        if large:
            self.close()
        if self._conn is None:
            self._conn = self._connect(max(0.05, deadline - time.monotonic()))
            if large:
                self._conn._http_vsn = 10
                self._conn._http_vsn_str = "HTTP/1.0"
            self._conn.connect()
        conn = self._conn
        sock = conn.sock
        sock.settimeout(max(0.05, deadline - time.monotonic()))
        conn.request("GET", self._prefix + path, headers={"Accept-Encoding": "identity"})
        sock.settimeout(max(0.05, deadline - time.monotonic()))
        response = conn.getresponse()
        pieces, size, cut = [], 0, False
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise socket.timeout()
            sock.settimeout(left)
            piece = response.read1(65536)
            if not piece:
                break
            size += len(piece)
            if size > limit:
                cut = True
                piece = piece[: len(piece) - (size - limit)]
            (sink or pieces.append)(piece)
            if cut:
                break
        closing = cut or large or response.will_close
        # read1() leaves a response open that was read to its end: the next request on this
        # connection would be sent and its answer refused.
        response.close()
        if closing:
            self.close()
        return response.status, b"".join(pieces), cut


def refusal(code):
    """Return the words for an answer other than 200; stand-ins of a replay say 501."""
    return NOT_RECORDED if code == 501 else "HTTP %d" % code


def describe(exc):
    """Return a short one-line text for an exception."""
    text = str(exc) or exc.__class__.__name__
    return " ".join(text.split())[:300]


# --- writing --------------------------------------------------------------------------------


def write_atomic(path, data):
    """Write bytes so that a reader sees the old or the new file, never half of one."""
    part = path + ".part"
    with open(part, "wb") as handle:
        handle.write(data)
    os.replace(part, path)


def dump(document):
    """Return compact JSON on one line."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=True)


class Tally:
    """What one collector did: answers, failures, files."""

    def __init__(self, name):
        self.name = name
        self.ok = self.failed = self.timeouts = self.missed = 0
        self.error = None
        self.files = []
        self.verdict = None
        self.began = self.ended = None
        self._lock = threading.Lock()

    def note(self, ok, error=None, timeout=False, began=None):
        """Count one attempt."""
        now = time.monotonic()
        with self._lock:
            self.began = min(x for x in (self.began, began, now) if x is not None)
            self.ended = now
            if ok:
                self.ok += 1
            else:
                self.failed += 1
                self.timeouts += bool(timeout)
                self.error = self.error or error

    def add_file(self, path):
        """Remember a file that belongs to this collector."""
        with self._lock:
            if path not in self.files:
                self.files.append(path)

    def settle(self, verdict, error=None):
        """Fix the status (skipped, not_applicable, ...)."""
        self.verdict = verdict
        self.error = error or self.error

    def as_dict(self, host):
        """Return the row for collectors.json."""
        if self.verdict:
            status = self.verdict
        elif not self.ok and not self.failed:
            status = "skipped"
        elif not self.failed:
            status = "ok"
        elif self.ok:
            status = "partial"
        elif self.error == NOT_RECORDED:
            status = "skipped"
        else:
            status = "timeout" if self.timeouts == self.failed else "failed"
        duration = 0.0 if self.began is None else self.ended - self.began
        return {
            "name": self.name,
            "host": host,
            "status": status,
            "duration_s": round(duration, 3),
            "files": sorted(self.files),
            "missed_slots": self.missed,
            "error": self.error,
        }


class Rows:
    """A JSON-lines file; every row is on disk before the next sample is taken."""

    def __init__(self, path):
        self._path = path
        self._handle = None
        self._lock = threading.Lock()

    def add(self, row):
        """Append one row."""
        self.add_text(dump(row))

    def add_text(self, text):
        """Append one row that is JSON text already."""
        with self._lock:
            if self._handle is None:
                self._handle = open(self._path, "a", encoding="ascii", errors="replace")
            self._handle.write(text + "\n")
            self._handle.flush()

    def close(self):
        """Close the file; a later row opens it again."""
        with self._lock:
            if self._handle is not None:
                self._handle.close()
                self._handle = None


class LogSink:
    """A log file bounded in bytes (head and tail are kept) and in line length."""

    def __init__(self, path, limit):
        self._half = max(1, limit // 2)
        self._handle = open(path, "wb")
        self._head = 0
        self._tail = collections.deque()
        self._tail_bytes = 0
        self._left_out = 0
        self._rest = b""
        self._cut_line = 0

    def feed(self, data):
        """Take the next bytes of the log."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if self._cut_line:
                self._cut_line += len(line)
                line = b" ...[line cut: %d more bytes]" % self._cut_line
                self._cut_line = 0
            elif len(line) > MAX_LOG_LINE:
                over = len(line) - MAX_LOG_LINE
                line = line[:MAX_LOG_LINE] + b" ...[line cut: %d more bytes]" % over
            self._put(line + b"\n")
        if self._cut_line:
            self._cut_line += len(self._rest)
            self._rest = b""
        elif len(self._rest) > MAX_LOG_LINE:
            self._put(self._rest[:MAX_LOG_LINE])
            self._cut_line = len(self._rest) - MAX_LOG_LINE
            self._rest = b""

    def _put(self, piece):
        if self._head + len(piece) <= self._half and not self._tail:
            self._handle.write(piece)
            self._head += len(piece)
            return
        self._tail.append(piece)
        self._tail_bytes += len(piece)
        while self._tail_bytes > self._half:
            gone = self._tail.popleft()
            self._tail_bytes -= len(gone)
            self._left_out += len(gone)

    def close(self):
        """Write what is left; return the number of bytes left out."""
        if self._cut_line:
            self._put(b" ...[line cut: %d more bytes]\n" % self._cut_line)
        elif self._rest:
            self._put(self._rest + b"\n")
        if self._left_out:
            self._handle.write(b"...[%d bytes left out by the collector]\n" % self._left_out)
        for piece in self._tail:
            self._handle.write(piece)
        self._handle.close()
        return self._left_out


# --- what Linux tells -----------------------------------------------------------------------


class Proc:
    """/proc and cgroups; everything is None where they are absent (or hidden for a test)."""

    def __init__(self, hidden):
        self.root = None if hidden or not os.path.isdir("/proc/self") else "/proc"
        self.cgroups = None if hidden or not os.path.isdir("/sys/fs/cgroup") else "/sys/fs/cgroup"
        try:
            self.ticks = os.sysconf("SC_CLK_TCK")
            self.page = os.sysconf("SC_PAGE_SIZE")
        except (ValueError, OSError):
            self.ticks, self.page = 100, 4096

    def read(self, name):
        """Return the text of /proc/<name>, or None."""
        if self.root is None:
            return None
        try:
            with open(os.path.join(self.root, name), "rb") as handle:
                return handle.read(SMALL_BODY).decode("utf-8", "replace")
        except OSError:
            return None

    def cpu_ticks(self):
        """Return (total, idle, iowait, steal) cumulative ticks of the host, or four Nones."""
        text = self.read("stat")
        if not text or not text.startswith("cpu "):
            return None, None, None, None
        # user nice system idle iowait irq softirq steal; guest time is inside user already.
        fields = [int(x) for x in text.split("\n", 1)[0].split()[1:9]]
        fields += [0] * (8 - len(fields))
        return sum(fields), fields[3], fields[4], fields[7]

    def boot_time(self):
        """Return the epoch seconds of the host's boot, or None."""
        match = re.search(r"^btime (\d+)", self.read("stat") or "", re.M)
        return int(match.group(1)) if match else None

    def memory(self):
        """Return (available, total) bytes, or Nones."""
        text = self.read("meminfo") or ""
        found = dict(re.findall(r"^(MemTotal|MemAvailable):\s+(\d+) kB", text, re.M))
        return tuple(
            int(found[k]) * 1024 if k in found else None for k in ("MemAvailable", "MemTotal")
        )

    def pressure(self, what):
        """Return the ``some avg10`` of /proc/pressure/<what> in percent, or None."""
        match = re.search(r"^some avg10=([\d.]+)", self.read("pressure/" + what) or "", re.M)
        return float(match.group(1)) if match else None

    def process(self, pid):
        """Return a dict of a process's counters, or None when there is no such process."""
        text = self.read("%d/stat" % pid)
        if not text or ")" not in text:
            return None
        fields = text[text.rindex(")") + 2 :].split()
        info = {
            "letter": fields[0],
            "cpu_seconds": (int(fields[11]) + int(fields[12])) / self.ticks,
            "threads": int(fields[17]),
            "start_ticks": int(fields[19]),
            "memory_bytes": int(fields[21]) * self.page,
        }
        io_text = self.read("%d/io" % pid) or ""
        for key in ("read_bytes", "write_bytes"):
            match = re.search(r"^%s: (\d+)" % key, io_text, re.M)
            info[key] = int(match.group(1)) if match else None
        return info

    def cgroup(self, pid):
        """Return (periods, throttled_periods, throttled_seconds, limit_cores, limited)."""
        unknown = (None, None, None, None, None)
        text = self.read("%d/cgroup" % pid)
        if not text or self.cgroups is None:
            return unknown
        for line in text.splitlines():
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if number == "0" and not controllers:
                found = self._cgroup_v2(self.cgroups + path)
            elif "cpu" in controllers.split(","):
                found = self._cgroup_v1(os.path.join(self.cgroups, controllers) + path)
            else:
                continue
            if found:
                return found
        return unknown

    @staticmethod
    def _cgroup_file(path, name):
        try:
            with open(os.path.join(path, name), "rb") as handle:
                return handle.read(4096).decode("utf-8", "replace")
        except OSError:
            return None

    def _cgroup_v2(self, path):
        stat = self._cgroup_file(path, "cpu.stat")
        if not stat:
            return None
        found = dict(re.findall(r"^(\w+) (\d+)$", stat, re.M))
        if "nr_periods" not in found:
            return None
        quota = (self._cgroup_file(path, "cpu.max") or "").split()
        cores, limited = None, None
        if len(quota) == 2:
            limited = quota[0] != "max"
            cores = int(quota[0]) / int(quota[1]) if limited else None
        return (
            int(found["nr_periods"]), int(found["nr_throttled"]),
            int(found["throttled_usec"]) / 1e6, cores, limited,
        )  # fmt: skip

    def _cgroup_v1(self, path):
        stat = self._cgroup_file(path, "cpu.stat")
        if not stat:
            return None
        found = dict(re.findall(r"^(\w+) (\d+)$", stat, re.M))
        quota = self._cgroup_file(path, "cpu.cfs_quota_us")
        period = self._cgroup_file(path, "cpu.cfs_period_us")
        cores, limited = None, None
        if quota and period:
            limited = int(quota) > 0
            cores = int(quota) / int(period) if limited else None
        return (
            int(found["nr_periods"]), int(found["nr_throttled"]),
            int(found["throttled_time"]) / 1e9, cores, limited,
        )  # fmt: skip

    def facts(self):
        """Return what identifies the host: kernel, CPU model, boot id, Python."""
        model = re.search(r"^model name\s*:\s*(.+)$", self.read("cpuinfo") or "", re.M)
        return {
            "kernel": "%s %s" % (platform.system(), platform.release()),
            "machine": platform.machine(),
            "cpu_model": model.group(1).strip() if model else None,
            "ncpu": os.cpu_count(),
            "boot_id": (self.read("sys/kernel/random/boot_id") or "").strip() or None,
            "mem_total_bytes": self.memory()[1],
            "python": platform.python_version(),
        }


# --- what the container engine tells --------------------------------------------------------

EMPTY_RESOURCES = {
    "state": None, "cpu_seconds": None, "throttled_seconds": None, "throttled_periods": None,
    "periods": None, "cpu_limit_cores": None, "cpu_limited": None, "memory_bytes": None,
    "memory_limit_bytes": None, "net_rx_bytes": None, "net_tx_bytes": None,
    "blk_read_bytes": None, "blk_write_bytes": None, "pids": None, "started_at": None,
    "restart_count": None, "oom_killed": None, "exit_code": None,
}  # fmt: skip


def stats_usage(stats):
    """Return the resources columns that a /containers/<id>/stats document holds."""
    cpu = stats.get("cpu_stats") or {}
    throttling = cpu.get("throttling_data") or {}
    memory = stats.get("memory_stats") or {}
    detail = memory.get("stats") or {}
    usage = memory.get("usage")
    if usage is not None:
        # As `docker stats` does: page cache that can be dropped is not use.
        usage -= detail.get("total_inactive_file", detail.get("inactive_file", 0)) or 0
    networks = stats.get("networks")
    blocks = (stats.get("blkio_stats") or {}).get("io_service_bytes_recursive")

    def total(rows, key, want):
        if rows is None:
            return None
        return sum(r.get("value", 0) for r in rows if str(r.get(key, "")).lower() == want)

    def summed(key):
        return None if networks is None else sum(n.get(key, 0) for n in networks.values())

    nanos = (cpu.get("cpu_usage") or {}).get("total_usage")
    throttled = throttling.get("throttled_time")
    return {
        "cpu_seconds": None if nanos is None else nanos / 1e9,
        "throttled_seconds": None if throttled is None else throttled / 1e9,
        "throttled_periods": throttling.get("throttled_periods"),
        "periods": throttling.get("periods"),
        "memory_bytes": usage,
        "memory_limit_bytes": memory.get("limit"),
        "net_rx_bytes": summed("rx_bytes"),
        "net_tx_bytes": summed("tx_bytes"),
        "blk_read_bytes": total(blocks, "op", "read"),
        "blk_write_bytes": total(blocks, "op", "write"),
        "pids": (stats.get("pids_stats") or {}).get("current"),
    }


def inspect_facts(document):
    """Return the resources columns that a /containers/<id>/json document holds."""
    state = document.get("State") or {}
    config = document.get("HostConfig") or {}
    nano, quota = config.get("NanoCpus") or 0, config.get("CpuQuota") or 0
    cores = None
    if nano > 0:
        cores = nano / 1e9
    elif quota > 0:
        cores = quota / float(config.get("CpuPeriod") or 100000)
    started = parse_iso(re.sub(r"(\.\d{3})\d*Z$", r"\1Z", str(state.get("StartedAt"))))
    return {
        "state": state.get("Status"),
        "cpu_limit_cores": cores,
        "cpu_limited": cores is not None,
        "started_at": iso(started) if started and started > 0 else None,
        "restart_count": document.get("RestartCount"),
        "oom_killed": state.get("OOMKilled"),
        "exit_code": state.get("ExitCode") if not state.get("Running") else None,
    }


def _human(size, base, units, digits):
    value, unit = float(size), 0
    while value >= base and unit < len(units) - 1:
        value /= base
        unit += 1
    return ("%%.%dg%%s" % digits) % (value, units[unit])


def human_decimal(size):
    """Return bytes as docker stats writes network and block totals (powers of 1000)."""
    return _human(size, 1000.0, ("B", "kB", "MB", "GB", "TB", "PB"), 3)


def human_binary(size):
    """Return bytes as docker stats writes memory (powers of 1024)."""
    return _human(size, 1024.0, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"), 4)


def docker_stats_row(stats, before, usage):
    """Return a row as `docker stats --format json` prints it, from two stats documents."""
    cpu, old = stats.get("cpu_stats") or {}, before.get("cpu_stats") or {}
    used = (cpu.get("cpu_usage") or {}).get("total_usage", 0) - (old.get("cpu_usage") or {}).get(
        "total_usage", 0
    )
    system = cpu.get("system_cpu_usage", 0) - old.get("system_cpu_usage", 0)
    percent = used / system * cpu.get("online_cpus", 1) * 100 if system > 0 and used >= 0 else 0.0
    memory, limit = usage["memory_bytes"] or 0, usage["memory_limit_bytes"] or 0
    identity = str(stats.get("id", ""))[:12]
    return {
        "BlockIO": "%s / %s" % (human_decimal(usage["blk_read_bytes"] or 0),
                                human_decimal(usage["blk_write_bytes"] or 0)),
        "CPUPerc": "%.2f%%" % percent,
        "Container": identity,
        "ID": identity,
        "MemPerc": "%.2f%%" % (memory / limit * 100 if limit else 0.0),
        "MemUsage": "%s / %s" % (human_binary(memory), human_binary(limit)),
        "Name": str(stats.get("name", "")).lstrip("/"),
        "NetIO": "%s / %s" % (human_decimal(usage["net_rx_bytes"] or 0),
                              human_decimal(usage["net_tx_bytes"] or 0)),
        "PIDs": str(usage["pids"] or 0),
    }  # fmt: skip


class Demultiplexer:
    """Takes the frames off a container's log stream (8-byte headers unless it has a TTY)."""

    def __init__(self, sink):
        self._sink = sink
        self._buffer = b""
        self._left = 0
        self._plain = None

    def feed(self, data):
        """Pass the payload of the next bytes on to the sink."""
        if self._plain is None:
            self._buffer += data
            if len(self._buffer) < 8:
                return
            data, self._buffer = self._buffer, b""
            self._plain = data[0] not in (0, 1, 2) or data[1:4] != b"\0\0\0"
        if self._plain:
            self._sink(data)
            return
        self._buffer += data
        while self._buffer:
            if self._left:
                piece = self._buffer[: self._left]
                self._sink(piece)
                self._left -= len(piece)
                self._buffer = self._buffer[len(piece) :]
            elif len(self._buffer) >= 8:
                self._left = int.from_bytes(self._buffer[4:8], "big")
                self._buffer = self._buffer[8:]
            else:
                return


# --- logs -----------------------------------------------------------------------------------

_LEVEL = re.compile(rb'\t(DEBUG|INFO|WARN|ERROR|DPANIC|PANIC|FATAL)\t|"level"\s*:\s*"([A-Za-z]+)"')
_STAMP = re.compile(rb"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?")


def line_level(line):
    """Return b"error", b"warn" or another level of a log line; without one, by its words."""
    match = _LEVEL.search(line[:400])
    if match:
        level = (match.group(1) or match.group(2)).lower()
        if level in (b"dpanic", b"panic", b"fatal"):
            return b"error"
        return b"warn" if level == b"warning" else level
    if re.search(rb"\berror\b|\bpanic:|\bfatal\b", line[:2000], re.I):
        return b"error"
    return b"warn" if re.search(rb"\bwarn(ing)?\b", line[:2000], re.I) else b""


def line_epoch(line, local):
    """Return the epoch seconds of a log line's own time stamp, or None.

    Stamps without a zone are local time of the process that wrote them: UTC in a container.
    """
    match = _STAMP.search(line[:200])
    if not match:
        return None
    try:
        moment = datetime.strptime(
            (match.group(1) + b" " + match.group(2)).decode(), "%Y-%m-%d %H:%M:%S"
        )
    except ValueError:
        return None
    zone = (match.group(3) or b"").decode()
    if zone and zone != "Z":
        moment = datetime.strptime(
            moment.strftime("%Y-%m-%d %H:%M:%S") + zone.replace(":", ""), "%Y-%m-%d %H:%M:%S%z"
        )
        return moment.timestamp()
    if local and not zone:
        return moment.timestamp()
    return moment.replace(tzinfo=timezone.utc).timestamp()


def log_sources(directory, kind, since):
    """Return the paths of <kind>.log and its rotated predecessors touched after ``since``.

    Rotated ones are named <kind>-<time>.log[.gz]; oldest first, the live file last.
    """
    pattern = re.compile(r"^%s-\d{4}-\d\d-\d\dT[\d.-]+\.log(\.gz)?$" % re.escape(kind))
    rotated = []
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if not pattern.match(name) or os.path.islink(path) or not os.path.isfile(path):
            continue
        if since is None or os.path.getmtime(path) >= since:
            rotated.append(path)
    live = os.path.join(directory, kind + ".log")
    # A link could point anywhere on the host.
    return rotated + ([live] if os.path.isfile(live) and not os.path.islink(live) else [])


def copy_log(paths, sink, since, local, deadline):
    """Feed log files to a sink, leaving out what is older than ``since`` (epoch or None)."""
    passed = since is None
    for path in paths:
        opener = gzip.open if path.endswith(".gz") else open
        with opener(path, "rb") as handle:
            while not passed:
                line = handle.readline(MAX_LOG_LINE)
                if not line:
                    break
                stamp = line_epoch(line, local)
                if stamp is not None and stamp >= since:
                    sink.feed(line)
                    passed = True
            while passed:
                block = handle.read(1 << 18)
                if not block:
                    break
                sink.feed(block)
                if time.monotonic() > deadline:
                    raise Unanswered("reading took too long", timeout=True)


def split_level(source, target, level, limit):
    """Write the lines of one level of a log file into another file."""
    sink = LogSink(target, limit)
    try:
        with open(source, "rb") as handle:
            for line in handle:
                if line_level(line) == level:
                    sink.feed(line)
    finally:
        sink.close()


# --- the run --------------------------------------------------------------------------------


class Window:
    """The phases of a run and the window, as the simulator's status rows drive them."""

    def __init__(self):
        self.phases = []
        self.running_since = None
        self.moved_at = None
        self.run_id = None
        self.start = self.end = None
        self.invalid = None
        self.remark = None
        self.interrupted = None
        self.restarted = None

    def begin(self, name, stamp):
        """End the current phase and begin another."""
        if self.phases and self.phases[-1]["end"] is None:
            self.phases[-1]["end"] = stamp
        self.phases.append({"name": name, "start": stamp, "end": None})

    @property
    def phase(self):
        """Return the name of the current phase."""
        return self.phases[-1]["name"] if self.phases else "starting"


class Collector:
    """One host's collector: samplers, phases and files."""

    def __init__(self, spec):
        self.spec = spec
        self.host = spec["host"]
        self.lead = bool(spec.get("lead"))
        self.nodes = spec.get("nodes") or []
        self.sim = spec.get("sim") if self.lead else None
        self.seconds = float(spec["window"]["seconds"])
        self.interval = float(spec.get("interval", 1.0))
        self.limits = dict(DEFAULT_LIMITS, **(spec.get("limits") or {}))
        self.profile_seconds = float(spec.get("profile_seconds", 10))
        self.out = spec["out_dir"]
        self.evidence = os.path.join(self.out, "evidence")
        self.clock = Clock()
        self.mono0 = time.monotonic()
        self.proc = Proc(spec.get("hide_proc") or os.environ.get("WKTRIAGE_HIDE_PROC") == "1")
        self.since = parse_iso(spec.get("stack_started_at"))
        self.sampling_over = threading.Event()
        self.over = threading.Event()
        self.cond = threading.Condition()
        self.window = Window()
        self.tallies = {}
        self.rows = {}
        self.notes = []
        self.latest = None
        self.latest_at = None
        self.base = None
        self.lateness = []
        self.answered = self.unanswered = 0
        self.rate = None
        self.last_move = None
        self.connections = {}
        self.silent = {}
        self.container_states = {}
        self.dirty = set()
        self.fence = {"start": None, "end": None, "fenced": False, "fence_reason": None}
        self.stop_reason = None
        self.done = False
        self.clients = []

    # files and tallies

    def path(self, *parts):
        """Return a path inside the evidence directory, its folder made."""
        full = os.path.join(self.evidence, *parts)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        return full

    def client(self, base):
        """Return a connection of its own for one sampler, closed when collecting is over."""
        made = Http(base)
        self.clients.append(made)
        return made

    def tally(self, name):
        """Return the tally of a collector."""
        return self.tallies.setdefault(name, Tally(name))

    def row(self, collector, name, row):
        """Append a row to evidence/<name> on behalf of a collector."""
        if name not in self.rows:
            with self.cond:
                self.rows.setdefault(name, Rows(self.path(name)))
        self.rows[name].add(row)
        self.tally(collector).add_file(name)

    def note(self, text):
        """Remember a line for whoever watches."""
        entry = {"n": len(self.notes) + 1, "time": self.clock.iso(), "text": text[:300]}
        self.notes.append(entry)
        sys.stderr.write("%s %s\n" % (entry["time"], entry["text"]))
        sys.stderr.flush()

    def enter(self, phase, mono=None):
        """Begin a phase."""
        self.window.begin(phase, self.clock.iso(mono))
        self.note("phase " + phase)

    def in_window(self):
        """Say whether the measured window has begun (failures before it are normal)."""
        return self.window.start is not None

    # samplers

    def spawn(self, name, target, *args):
        """Run a sampler in a thread; its death is recorded, and costs only itself."""

        def body():
            try:
                target(*args)
            except Exception as exc:
                self.tally(name).note(False, "collector error: " + describe(exc))
                traceback.print_exc()

        thread = threading.Thread(target=body, name=name, daemon=True)
        thread.start()
        return thread

    def sample(self, name, interval, offset, take):
        """Call take(seq, due, lateness) at every slot until sampling is over."""
        cadence = Cadence(self.mono0 + offset, interval, self.sampling_over)
        tally = self.tally(name)
        missed = 0
        for number, due, lateness in cadence.slots():
            try:
                take(number, due, lateness)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
                tally.note(False, describe(exc))
            tally.missed += cadence.missed - missed
            missed = cadence.missed

    def start_samplers(self):
        """Start every sampler; offsets spread the work over the second (and ten seconds)."""
        spec, count = self.spec, max(1, len(self.nodes))
        self.spawn("status", self.sample, "status", self.interval, 0.0, self.status_sampler())
        for index, node in enumerate(self.nodes):
            share = index / float(count)
            slow = SLOW_INTERVAL * share
            self.spawn(
                "health",
                self.sample,
                "health",
                self.interval,
                0.1 + 0.1 * share,
                self.health_sampler(node, "healthz", "/healthz", HEALTHZ_TIMEOUT),
            )
            self.spawn(
                "health",
                self.sample,
                "health",
                SLOW_INTERVAL,
                slow + 0.4,
                self.health_sampler(node, "readyz", "/readyz", SLOW_PROBE_TIMEOUT),
            )
            self.spawn(
                "health",
                self.sample,
                "health",
                SLOW_INTERVAL,
                slow + 1.4,
                self.health_sampler(
                    node, "goroutines", "/debug/goroutines/summary", SLOW_PROBE_TIMEOUT
                ),
            )
            self.spawn(
                "cluster",
                self.sample,
                "cluster",
                SLOW_INTERVAL,
                slow + 2.4,
                self.cluster_sampler(node),
            )
            self.spawn("metrics-series", self.sample, "metrics-series",
                       float(spec.get("series_interval", 10)), slow + 3.45,
                       self.series_sampler(node))  # fmt: skip
        self.start_resources()
        self.start_host()

    def status_sampler(self):
        """Return the sampler of the simulator's /status."""
        parts = urlsplit(self.spec["status_url"])
        client = self.client("http://" + parts.netloc)
        path = parts.path or "/"
        tally = self.tally("status")

        def take(number, due, lateness):
            began = time.monotonic()
            row = {"sample_time": self.clock.iso(began), "seq": number, "due": self.clock.iso(due)}
            status, error, timeout = None, None, False
            try:
                code, body, cut = client.get(path, STATUS_TIMEOUT)
                if code != 200:
                    error = "HTTP %d" % code
                elif cut:
                    error = "answer larger than %d bytes" % SMALL_BODY
                else:
                    status = json.loads(body.decode("utf-8", "replace"))
                    if not isinstance(status, dict):
                        status, error = None, "answer is no JSON object"
            except Unanswered as exc:
                error, timeout = str(exc), exc.timeout
            except (ValueError, RecursionError) as exc:
                error = "answer is no JSON: " + describe(exc)
            row["took_ms"] = round((time.monotonic() - began) * 1000, 1)
            if status is None:
                row["error"] = error
            else:
                row["status"] = status
            if self.lead:
                self.row("status", "status.jsonl", row)
            if status is not None or self.in_window():
                tally.note(status is not None, error, timeout, began)
            self.on_status(status, due, began, lateness)

        return take

    def on_status(self, status, due, began, lateness):
        """Move the phases on by one status sample."""
        with self.cond:
            window = self.window
            if status is not None:
                self.latest, self.latest_at = status, began
                self._follow(status, due, began)
            if window.start is not None and due >= window.start:
                end = window.start + self.seconds if window.end is None else window.end
                if due < end - 1e-6:
                    self.lateness.append(lateness)
                    self.answered += status is not None
                    self.unanswered += status is None
            self.cond.notify_all()

    def _follow(self, status, due, began):
        counters = [number(status.get(k)) for k in COUNTERS]
        run_id = status.get("run_id")
        sent = counters[0]
        if self.last_move is None or self.last_move[2] != run_id or sent < self.last_move[0]:
            self.last_move, self.rate = (sent, began, run_id), None
        elif sent > self.last_move[0]:
            self.rate = (sent - self.last_move[0]) / max(0.001, began - self.last_move[1])
            self.last_move = (sent, began, run_id)
        window = self.window
        if window.start is None:
            if status.get("state") != "running":
                self.base, window.running_since = None, None
            elif self.base is None or self.base[0] != run_id:
                self.base = (run_id, counters, time.monotonic())
                since = parse_iso(re.sub(r"(\.\d{3})\d*Z$", r"\1Z",
                                         str(status.get("last_transition_at"))))  # fmt: skip
                window.running_since = iso(since) if since else self.clock.iso(began)
            elif any(now > then for now, then in zip(counters, self.base[1])):
                self._open(due, began, run_id, counters)
        elif window.restarted is None and window.end is None:
            if run_id != window.run_id:
                window.restarted = "its run id changed"
            elif any(now < then for now, then in zip(counters, self.base[1])):
                window.restarted = "its counters fell"
            if window.restarted:
                window.restarted += " at " + self.clock.iso(began)
            self.base = (run_id, counters, began)

    def _open(self, due, began, run_id, counters):
        self.window.start = due
        self.window.run_id = run_id
        self.window.moved_at = None if began is None else self.clock.iso(began)
        self.base = (run_id, counters, began)

    def health_sampler(self, node, probe, path, timeout):
        """Return the sampler of one health probe of one node."""
        client = self.client(node["api_url"])
        tally = self.tally("health")

        def take(_number, _due, _lateness):
            began = time.monotonic()
            row = {"sample_time": self.clock.iso(began), "node": node["name"], "probe": probe,
                   "ok": False, "http_status": None, "took_ms": None, "error": None,
                   "body": None}  # fmt: skip
            try:
                code, body, _cut = client.get(path, timeout)
                row["http_status"] = code
                row["ok"] = code == 200
                text = body.decode("utf-8", "replace")
                if probe == "goroutines" and code == 200:
                    text = goroutine_excerpt(text)
                row["body"] = text[:MAX_BODY_FIELD]
                if code != 200:
                    row["error"] = "HTTP %d" % code
            except Unanswered as exc:
                row["error"] = str(exc)
            except (ValueError, RecursionError) as exc:
                row["ok"], row["error"] = False, describe(exc)
            row["took_ms"] = round((time.monotonic() - began) * 1000, 1)
            if probe == "healthz":
                self.silent[node["name"]] = (
                    0 if row["http_status"] is not None else self.silent.get(node["name"], 0) + 1
                )
            self.row("health", "health.jsonl", row)
            # "It does not answer" is what this collector is there to find out: a good sample.
            tally.note(True, began=began)

        return take

    def cluster_sampler(self, node):
        """Return the sampler of a node's /debug/cluster."""
        client = self.client(node["api_url"])
        tally = self.tally("cluster")

        def take(_number, _due, _lateness):
            began = time.monotonic()
            row = {"sample_time": self.clock.iso(began), "node": node["name"]}
            error, timeout = None, False
            try:
                code, body, cut = client.get("/debug/cluster", SLOW_PROBE_TIMEOUT, 4 << 20)
                if code != 200 or cut:
                    error = refusal(code) if not cut else "answer too large"
                else:
                    row["cluster"] = json.loads(body.decode("utf-8", "replace"))
            except Unanswered as exc:
                error, timeout = str(exc), exc.timeout
            except (ValueError, RecursionError) as exc:
                error = "answer is no JSON: " + describe(exc)
            if error:
                row["error"] = error
            self.row("cluster", "cluster.jsonl", row)
            if not error or self.in_window():
                tally.note(not error, error, timeout, began)

        return take

    def series_sampler(self, node):
        """Return the sampler that stores a node's /metrics compressed."""
        client = self.client(node["api_url"])
        tally = self.tally("metrics-series")
        label = "node%d" % node["id"]

        def take(_number, _due, _lateness):
            began = time.monotonic()
            name = "metrics/series/%s/%d.prom" % (label, int(self.clock.wall(began) * 1000))
            try:
                body = self.fetch_metrics(client, METRICS_TIMEOUT)
            except Unanswered as exc:
                if self.in_window():
                    tally.note(False, str(exc), exc.timeout, began)
                    write_atomic(self.path(name + ".err"), (str(exc) + "\n").encode())
                    tally.add_file(name + ".err")
                return
            self.connections[label] = gateway_connections(body)
            # Level 1: a third of the cost of the default for a tenth more bytes, and zlib lets go
            # of the interpreter lock while it works.
            packed = gzip.compress(body, 1)
            write_atomic(self.path(name + ".gz"), packed)
            tally.add_file(name + ".gz")
            tally.note(True, began=began)

        return take

    def fetch_metrics(self, client, timeout):
        """Return the text of /metrics. Raises Unanswered."""
        code, body, cut = client.get("/metrics", timeout, self.limits["file_bytes"], large=True)
        if code != 200:
            raise Unanswered("HTTP %d" % code)
        if cut:
            raise Unanswered("answer larger than %d bytes" % self.limits["file_bytes"])
        return body

    # resources and host

    def targets(self):
        """Return (name, handle) of everything with a handle on this host."""
        found = [(n["name"], n.get("handle") or {}) for n in self.nodes]
        if self.sim:
            found.append((self.sim["name"], self.sim.get("handle") or {}))
        return found

    def start_resources(self):
        """Start the resource samplers that the handles ask for."""
        containers = [(n, h) for n, h in self.targets() if h.get("kind") == "container"]
        if containers:
            self.spawn("resources", self.sample, "resources", self.interval, 0.25,
                       self.state_sampler(containers))  # fmt: skip
            for index, (name, handle) in enumerate(containers):
                offset = 0.35 + 0.5 * index / len(containers)
                self.spawn("resources", self.sample, "resources", self.interval, offset,
                           self.container_sampler(name, handle))  # fmt: skip
            self.spawn("events", self.follow_events, containers)
        else:
            self.tally("docker-stats").settle("not_applicable")
        for index, (name, handle) in enumerate(self.targets()):
            offset = 0.35 + 0.5 * index / max(1, len(self.targets()))
            if handle.get("kind") == "process":
                take = self.process_sampler(name, handle)
            elif handle.get("kind") == "http":
                take = self.served_sampler(name, handle)
            else:
                continue
            self.spawn("resources", self.sample, "resources", self.interval, offset, take)
        if not containers and not any(h.get("events_url") for _n, h in self.targets()):
            self.tally("events").settle("not_applicable")

    def engine(self):
        """Return a client of the container engine."""
        return self.client("unix:" + (self.spec.get("docker_socket") or "/var/run/docker.sock"))

    def state_sampler(self, containers):
        """Return the sampler that lists the containers' states, one request for all."""
        client = self.engine()
        names = {h.get("name") or h.get("id"): n for n, h in containers}
        wanted = {"name": ["^/?%s$" % re.escape(n) for n in names]}
        path = "/containers/json?all=1&filters=" + quote(json.dumps(wanted))

        def take(_number, _due, _lateness):
            try:
                code, body, _cut = client.get(path, 4.0, 1 << 20)
                listed = json.loads(body.decode("utf-8", "replace")) if code == 200 else None
            except (Unanswered, ValueError):
                listed = None
            found = dict.fromkeys(names.values(), None if listed is None else "missing")
            for entry in listed or []:
                for name in entry.get("Names") or []:
                    if name.lstrip("/") in names:
                        found[names[name.lstrip("/")]] = entry.get("State")
            for name, state in found.items():
                if self.container_states.get(name) != state:
                    self.dirty.add(name)
            self.container_states.update(found)

        return take

    def container_sampler(self, name, handle):
        """Return the sampler of one container's usage."""
        client = self.engine()
        reference = quote(handle.get("name") or handle.get("id") or "", safe="")
        tally, table = self.tally("resources"), self.tally("docker-stats")
        memory = {"facts": {}, "asked": 0.0, "stats": None, "row": 0.0}

        def ask(path, timeout):
            code, body, cut = client.get(path, timeout, 1 << 20)
            if code != 200 or cut:
                raise Unanswered("engine: HTTP %d" % code)
            return json.loads(body.decode("utf-8", "replace"))

        def take(_number, _due, _lateness):
            began = time.monotonic()
            row = dict({"sample_time": self.clock.iso(began), "name": name, "kind": "container"},
                       **EMPTY_RESOURCES)  # fmt: skip
            error, timeout = None, False
            try:
                if name in self.dirty or began - memory["asked"] > SLOW_INTERVAL:
                    self.dirty.discard(name)
                    memory["facts"] = inspect_facts(ask("/containers/%s/json" % reference, 4.0))
                    memory["asked"] = began
                row.update(memory["facts"])
                row["state"] = self.container_states.get(name) or row["state"]
                if row["state"] in ("running", "paused"):
                    stats = ask("/containers/%s/stats?stream=0&one-shot=1" % reference, 4.0)
                    usage = stats_usage(stats)
                    row.update(usage)
                    if began - memory["row"] > DOCKER_STATS_INTERVAL - 0.1:
                        if memory["stats"]:
                            line = docker_stats_row(stats, memory["stats"], usage)
                            line["sample_time"] = row["sample_time"]
                            self.row("docker-stats", "docker-stats.jsonl", line)
                            table.note(True, began=began)
                        memory["stats"], memory["row"] = stats, began
            except Unanswered as exc:
                error, timeout = str(exc), exc.timeout
                row["state"] = self.container_states.get(name)
            except (ValueError, TypeError, AttributeError) as exc:
                error = describe(exc)
            self.row("resources", "resources.jsonl", row)
            if not error or self.in_window():
                tally.note(not error, error, timeout, began)

        return take

    def process_sampler(self, name, handle):
        """Return the sampler of one process's usage from /proc."""
        tally = self.tally("resources")
        memory = {"pid": handle.get("pid"), "start": None, "restarts": 0}

        def current():
            info = self.proc.process(memory["pid"]) if memory["pid"] else None
            if info is None and handle.get("pid_file"):
                try:
                    with open(handle["pid_file"], "r") as source:
                        memory["pid"] = int(source.read(32).split()[0])
                    info = self.proc.process(memory["pid"])
                except (OSError, ValueError, IndexError):
                    return None
            return info

        def take(_number, _due, _lateness):
            began = time.monotonic()
            row = dict({"sample_time": self.clock.iso(began), "name": name, "kind": "process"},
                       **EMPTY_RESOURCES)  # fmt: skip
            if self.proc.root is None:
                self.row("resources", "resources.jsonl", row)
                tally.note(False, "no /proc here", began=began)
                return
            info = current()
            if info is None or info["letter"] in "ZX":
                row["state"] = "exited"
            else:
                if memory["start"] not in (None, info["start_ticks"]):
                    memory["restarts"] += 1
                memory["start"] = info["start_ticks"]
                periods, throttled, seconds, cores, limited = self.proc.cgroup(memory["pid"])
                boot = self.proc.boot_time()
                row.update(
                    state="paused" if info["letter"] in "Tt" else "running",
                    cpu_seconds=info["cpu_seconds"], memory_bytes=info["memory_bytes"],
                    blk_read_bytes=info["read_bytes"], blk_write_bytes=info["write_bytes"],
                    pids=info["threads"], periods=periods, throttled_periods=throttled,
                    throttled_seconds=seconds, cpu_limit_cores=cores, cpu_limited=limited,
                    restart_count=memory["restarts"],
                    started_at=iso(boot + info["start_ticks"] / self.proc.ticks) if boot else None,
                )  # fmt: skip
            self.row("resources", "resources.jsonl", row)
            tally.note(True, began=began)

        return take

    def served_sampler(self, name, handle):
        """Return the sampler of resources that the target itself serves (replay)."""
        take_json = self.served_json(handle["resource_url"])
        tally = self.tally("resources")

        def take(_number, _due, _lateness):
            began = time.monotonic()
            row = dict({"sample_time": self.clock.iso(began)}, **EMPTY_RESOURCES)
            error = None
            try:
                row.update(take_json())
            except (Unanswered, ValueError) as exc:
                error = describe(exc)
            row.update(sample_time=self.clock.iso(began), name=name, kind="replay")
            self.row("resources", "resources.jsonl", row)
            if not error or self.in_window():
                tally.note(not error, error, began=began)

        return take

    def served_json(self, url):
        """Return a function that GETs a JSON object; it raises Unanswered or ValueError."""
        parts = urlsplit(url)
        client = self.client("http://" + parts.netloc)

        def take():
            code, body, _cut = client.get(parts.path or "/", 2.0)
            if code != 200:
                raise Unanswered(refusal(code))
            document = json.loads(body.decode("utf-8", "replace"))
            if not isinstance(document, dict):
                raise ValueError("answer is no JSON object")
            return document

        return take

    def start_host(self):
        """Start the host sampler: this host, or the recorded one that a replay serves."""
        urls = [h["host_url"] for _n, h in self.targets() if h.get("host_url")]
        replayed = any(h.get("kind") == "http" for _n, h in self.targets())
        disks = disk_paths(self.spec, self.nodes)
        tally = self.tally("host")
        served = self.served_json(urls[0]) if urls else None

        def take(_number, _due, _lateness):
            began = time.monotonic()
            row = {"sample_time": self.clock.iso(began), "host": self.host}
            error = None
            if replayed:
                row.update(dict.fromkeys(HOST_COLUMNS))
                row["disks"] = []
                try:
                    row.update(served() if served else {})
                except (Unanswered, ValueError) as exc:
                    error = describe(exc)
                row.update(sample_time=self.clock.iso(began), host=self.host)
            else:
                row.update(self.host_row(disks))
            row["collector_cpu_seconds"] = round(time.process_time(), 4)
            self.row("host", "host.jsonl", row)
            if not error or self.in_window():
                tally.note(not error, error, began=began)

        self.spawn("host", self.sample, "host", self.interval, 0.05, take)

    def host_row(self, disks):
        """Return the columns of host.jsonl that this machine answers for."""
        total, idle, iowait, steal = self.proc.cpu_ticks()
        available, memory = self.proc.memory()
        try:
            load = round(os.getloadavg()[0], 2)
        except OSError:
            load = None
        rows = []
        for path in disks:
            try:
                stat = os.statvfs(path)
                free, size = stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize
            except OSError:
                free = size = None
            rows.append({"path": path, "free_bytes": free, "total_bytes": size})
        return {
            "ncpu": os.cpu_count(), "cpu_total_ticks": total, "cpu_idle_ticks": idle,
            "cpu_iowait_ticks": iowait, "cpu_steal_ticks": steal, "load1": load,
            "mem_available_bytes": available, "mem_total_bytes": memory,
            "psi_cpu_some_avg10": self.proc.pressure("cpu"),
            "psi_io_some_avg10": self.proc.pressure("io"), "disks": rows,
        }  # fmt: skip

    def follow_events(self, containers):
        """Write the engine's events of the containers until collecting is over."""
        names = {h.get("name") or h.get("id"): n for n, h in containers}
        wanted = {"type": ["container"], "container": list(names), "event": list(EVENT_ACTIONS)}
        since = self.since or self.clock.wall()
        tally = self.tally("events")
        seen = set()
        while not self.over.is_set():
            path = "/events?since=%.3f&filters=%s" % (since, quote(json.dumps(wanted)))
            conn = None
            try:
                conn = _UnixConnection(self.spec.get("docker_socket") or "/var/run/docker.sock", 5)
                conn.request("GET", path)
                response = conn.getresponse()
                if response.status != 200:
                    raise OSError("engine: HTTP %d" % response.status)
                tally.note(True)
                conn.sock.settimeout(None)
                for line in self._event_lines(response):
                    moment = self._event(line, names, seen)
                    since = max(since, moment or since)
            except (OSError, http.client.HTTPException) as exc:
                tally.note(False, describe(exc))
            finally:
                if conn is not None:
                    conn.close()
            self.over.wait(2.0)

    def _event_lines(self, response):
        buffer = b""
        while not self.over.is_set():
            piece = response.read1(65536)
            if not piece:
                return
            buffer = (buffer + piece)[-(1 << 20) :]
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                yield line

    def _event(self, line, names, seen):
        try:
            event = json.loads(line.decode("utf-8", "replace"))
            actor = event["Actor"]["Attributes"]
            moment = event["timeNano"] / 1e9
            identity = (event["timeNano"], event["Action"], actor.get("name"))
        except (ValueError, KeyError, TypeError):
            return None
        if identity in seen:
            return moment
        seen.add(identity)
        kept = {k: str(v)[:200] for k, v in actor.items()
                if k in ("exitCode", "signal", "execDuration", "image", "name")}  # fmt: skip
        name = names.get(actor.get("name"), actor.get("name"))
        self.row("events", "events.jsonl",
                 {"time": iso(moment), "name": name, "action": event["Action"],
                  "attributes": kept})  # fmt: skip
        self.dirty.add(name)
        return moment

    # state for whoever polls

    def state(self):
        """Return the small document that poll prints."""
        now = time.monotonic()
        with self.cond:
            status, window = self.latest or {}, self.window
            left = None
            if window.start is not None and window.end is None:
                left = round(max(0.0, window.start + self.seconds - now), 1)
            users = status.get("active_users")
            if status.get("state") != "running" and self.connections:
                # The simulator says 0 until all are connected; the gateways know better.
                users = sum(v for v in self.connections.values() if v is not None)
            due = 0 if window.start is None else self.slots_due(now)
            return {
                "schema_version": SCHEMA_VERSION, "run_id": self.spec["run_id"],
                "host": self.host, "lead": self.lead, "pid": os.getpid(), "done": self.done,
                "phase": window.phase, "sim_state": text(status.get("state")),
                "users_connected": number(users, None),
                "users_total": number((status.get("config") or {}).get("total_users"), None),
                "messages_sent": number(status.get("messages_sent"), None),
                "rate": None if self.rate is None else round(self.rate, 1),
                "send_errors": number(status.get("send_errors"), None),
                "recv_errors": number(status.get("recv_errors"), None),
                "last_error": text(status.get("last_error")),
                "seconds_left": left, "window_seconds": self.seconds,
                "window_start": None if window.start is None else self.clock.iso(window.start),
                "window_end": None if window.end is None else self.clock.iso(window.end),
                "samples_taken": len(self.lateness), "samples_due": due,
                "valid": self.valid()[0] if self.done else None,
                "reason": self.valid()[1], "interrupted": window.interrupted,
                "sample_time": self.clock.iso(now), "elapsed_s": round(now - self.mono0, 1),
                "phases": window.phases, "notes": self.notes[-50:],
            }  # fmt: skip

    def slots_due(self, now):
        """Return how many status slots of the window were due until ``now``."""
        end = min(now, self.window.end or self.window.start + self.seconds)
        return max(0, int(round((end - self.window.start) / self.interval - 1e-6)))

    def publish(self):
        """Write state.json."""
        write_atomic(os.path.join(self.out, "state.json"), dump(self.state()).encode("ascii"))

    def publish_loop(self):
        """Write state.json every second until over."""
        for _slot in Cadence(self.mono0 + 0.7, 1.0, self.over).slots():
            try:
                self.publish()
                self.check_stop()
            except OSError:
                traceback.print_exc()

    def check_stop(self):
        """Take up a stop request left in the out directory."""
        path = os.path.join(self.out, "stop")
        if self.stop_reason is None and os.path.exists(path):
            with open(path, "rb") as handle:
                reason = handle.read(300).decode("utf-8", "replace").strip()
            self.stop(reason or "asked to stop")

    def stop(self, reason):
        """Ask for an early end."""
        with self.cond:
            if self.stop_reason is None:
                self.stop_reason = reason
                self.cond.notify_all()

    # phases

    def run(self):
        """Collect from beginning to end; files are complete whatever happens."""
        self.enter("starting", self.mono0)
        self.publish()
        publisher = threading.Thread(target=self.publish_loop, daemon=True)
        publisher.start()
        try:
            self.start_samplers()
            self.enter("waiting")
            self.wait_for_load()
            if self.in_window():
                self.measure()
            self.after()
        except Exception as exc:
            traceback.print_exc()
            self.window.invalid = self.window.invalid or "collector error: " + describe(exc)
        finally:
            self.finish()

    def wait_for_load(self):
        """Wait until the load runs and its counters move; opens the window, or gives up."""
        ready = self.mono0 + float(self.spec.get("ready_timeout", 300))
        settle = float(self.spec.get("settle", 40))
        window = self.window
        with self.cond:
            while window.start is None:
                now = time.monotonic()
                if self.stop_reason is not None:
                    window.interrupted = self.stop_reason
                    window.invalid = "interrupted before the window: " + self.stop_reason
                    return
                if self.base is not None and now > self.base[2] + settle:
                    # A load that runs and moves nothing is evidence too: measure it.
                    window.remark = "no counter moved within %g s of running" % settle
                    self._open(now, None, self.base[0], self.base[1])
                    break
                if self.base is None and now > ready:
                    last = self.latest or {}
                    window.invalid = "the simulator was not running within %g s (state %s%s)" % (
                        now - self.mono0, text(last.get("state")) or "unknown: /status unanswered",
                        ", last_error: " + text(last.get("last_error"))
                        if last.get("last_error") else "",
                    )  # fmt: skip
                    return
                self.cond.wait(0.25)

    def measure(self):
        """Live through the window."""
        window = self.window
        self.enter("before-scrape", window.start)
        # Beside the window, not before it: a node that hangs must not hold the window up.
        before = self.spawn("metrics-before", self.scrape_all, "metrics-before", "-before")
        before.join(1.0)
        self.window.phases[-1]["end"] = self.clock.iso()
        self.window.phases.append(
            {"name": "window", "start": self.clock.iso(window.start), "end": None}
        )
        self.note("phase window")
        end = window.start + self.seconds
        with self.cond:
            while time.monotonic() < end and self.stop_reason is None:
                self.cond.wait(min(0.5, max(0.01, end - time.monotonic())))
            if self.stop_reason is not None:
                window.interrupted = self.stop_reason
                end = time.monotonic()
                if end < window.start + self.seconds - self.interval:
                    window.invalid = "interrupted after %.1f of %g s: %s" % (
                        end - window.start, self.seconds, self.stop_reason)  # fmt: skip
            window.end = end
            # The sample that is due at the very end closes the last counter interval.
            last = time.monotonic() + self.interval + 0.5
            while time.monotonic() < last and (self.latest_at or 0) < end - 0.001:
                if self.stop_reason is not None:
                    break
                self.cond.wait(0.1)
            if window.restarted:
                window.invalid = window.invalid or (
                    "the simulator restarted in the window: " + window.restarted)  # fmt: skip
            if self.unanswered > self.answered:
                window.invalid = window.invalid or (
                    "the simulator did not answer %d of %d status requests in the window"
                    % (self.unanswered, self.unanswered + self.answered))  # fmt: skip

    def after(self):
        """Collect what belongs after the window: metrics, profiles, logs."""
        self.enter("after-scrape", self.window.end)
        # Keeps status rows out of memory and file; fences ask on their own.
        self.sampling_over.set()
        self.scrape_all("metrics", "")
        self.profile()
        self.enter("heap")
        self.for_nodes(self.dumps)
        self.enter("logs")
        self.logs()
        self.served_documents()

    def for_nodes(self, function, *args):
        """Call function(node, *args) for all nodes at once and wait for all."""
        threads = [self.spawn("nodes", function, node, *args) for node in self.nodes]
        for thread in threads:
            thread.join()

    def patience(self, node, seconds):
        """Return the timeout for a node, short when its last health checks got no answer."""
        return seconds if self.silent.get(node["name"], 0) < 2 else SILENT_NODE_TIMEOUT

    def scrape_all(self, collector, suffix):
        """Fetch /metrics of all nodes at once into metrics/nodeN<suffix>.prom."""

        def scrape(node):
            name = "metrics/node%d%s.prom" % (node["id"], suffix)
            client = self.client(node["api_url"])
            timeout = self.patience(node, METRICS_TIMEOUT)
            self.store(collector, name, lambda: self.fetch_metrics(client, timeout))

        self.for_nodes(scrape)

    def store(self, collector, name, fetch):
        """Write what fetch() returns, or <name>.err with the reason; say whether it was fetched."""
        began = time.monotonic()
        tally = self.tally(collector)
        try:
            write_atomic(self.path(name), fetch())
            tally.add_file(name)
            tally.note(True, began=began)
            return True
        except (Unanswered, OSError) as exc:
            write_atomic(self.path(name + ".err"), (describe(exc) + "\n").encode())
            tally.add_file(name + ".err")
            tally.note(False, describe(exc), getattr(exc, "timeout", False), began)
            return False

    def get_file(self, node, path, timeout):
        """Return the body of a node's page. Raises Unanswered."""
        code, body, cut = self.client(node["api_url"]).get(
            path, timeout, self.limits["file_bytes"], large=True)  # fmt: skip
        if code != 200:
            raise Unanswered("HTTP %d %s" % (code, body[:100].decode("utf-8", "replace")))
        if cut:
            raise Unanswered("answer larger than %d bytes" % self.limits["file_bytes"])
        return body

    def load_state(self):
        """Return None when the load of the window still runs, else what is wrong with it."""
        parts = urlsplit(self.spec["status_url"])
        try:
            code, body, _cut = self.client("http://" + parts.netloc).get(parts.path, STATUS_TIMEOUT)
            status = json.loads(body.decode("utf-8", "replace")) if code == 200 else None
        except (Unanswered, ValueError, RecursionError) as exc:
            return "status unanswered: " + describe(exc)
        if not isinstance(status, dict):
            return "status unanswered: HTTP %d" % code
        if status.get("state") != "running":
            return "the load was not running (state %s)" % text(status.get("state"))
        if self.window.run_id is not None and status.get("run_id") != self.window.run_id:
            return "the simulator restarted"
        return None

    def profile(self):
        """Take CPU profiles of all nodes at once, under load, after the window."""
        tally = self.tally("pprof-cpu")
        if self.profile_seconds <= 0:
            tally.settle("skipped", "profile_seconds is 0")
            self.fence["fence_reason"] = "no profile was asked for"
            return
        if self.stop_reason is not None:
            tally.settle("skipped", "interrupted: " + self.stop_reason)
            self.fence["fence_reason"] = "interrupted: " + self.stop_reason
            return
        self.enter("profile")
        seconds = max(1, int(round(self.profile_seconds)))
        before = self.load_state()
        self.fence["start"] = self.clock.iso()

        def take(node):
            timeout = self.patience(node, seconds + 5.0)
            name = "pprof/node%d-cpu.pb.gz" % node["id"]
            path = "/debug/pprof/profile?seconds=%d" % seconds
            self.store("pprof-cpu", name, lambda: self.get_file(node, path, timeout))

        self.for_nodes(take)
        self.fence["end"] = self.clock.iso()
        after = self.load_state()
        problem = "before: " + before if before else "after: " + after if after else None
        self.fence["fenced"] = problem is None
        self.fence["fence_reason"] = problem

    def dumps(self, node):
        """Fetch heap and goroutines of one node."""
        base = "pprof/node%d-" % node["id"]
        given_up = None
        for collector, name, path in (
            ("pprof-heap", "heap.pb.gz", "/debug/pprof/heap"),
            ("goroutine", "goroutine.txt", "/debug/pprof/goroutine?debug=2"),
            ("goroutine", "goroutine-summary.json", "/debug/goroutines/summary"),
        ):
            timeout = self.patience(node, PPROF_TIMEOUT)
            if given_up:
                self.store(collector, base + name, lambda why=given_up: raise_unanswered(why))
                continue
            got = self.store(
                collector, base + name, lambda p=path, t=timeout: self.get_file(node, p, t)
            )
            if not got and self.silent.get(node["name"], 0) >= 2:
                given_up = "not asked: the node did not answer before"

    # logs

    def logs(self):
        """Collect the logs of everything on this host, each target in its own thread."""
        entries = [(n, "node") for n in self.nodes] + ([(self.sim, "sim")] if self.sim else [])
        threads = [self.spawn("logs", self.target_logs, t, kind) for t, kind in entries]
        for thread in threads:
            thread.join()

    def log_file(self, kind, name, write):
        """Let write(sink) fill logs/<kind>/<name>.log; return its path, or None on failure."""
        began = time.monotonic()
        relative = "logs/%s/%s.log" % (kind, name)
        path, tally = self.path(relative), self.tally("logs-" + kind)
        sink = LogSink(path, self.limits["log_bytes"])
        try:
            write(sink)
            sink.close()
            tally.add_file(relative)
            tally.note(True, began=began)
            return path
        except (Unanswered, OSError, EOFError, ValueError) as exc:
            sink.close()
            if os.path.getsize(path):
                tally.add_file(relative)
            else:
                os.remove(path)
                path = None
            write_atomic(self.path(relative + ".err"), (describe(exc) + "\n").encode())
            tally.add_file(relative + ".err")
            tally.note(False, describe(exc), getattr(exc, "timeout", False), began)
            return path

    def target_logs(self, target, kind):
        """Collect the logs of one node or of the simulator."""
        name, handle = target["name"], target.get("handle") or {}
        if handle.get("kind") == "http":
            self.served_logs(name, handle, kind)
            return
        stream = None
        if handle.get("kind") == "container":
            stream = self.log_file("compose", name, lambda sink: self.engine_log(handle, sink))
        elif handle.get("log_file"):
            # A process without an engine: its own output, where the driver put it.
            stream = self.log_file(
                "compose", name, lambda sink: self.plain_log(handle["log_file"], sink))  # fmt: skip
        directory = target.get("log_dir")
        local = handle.get("kind") == "process"
        files = {}
        deadline = time.monotonic() + LOGS_TIMEOUT
        if kind == "node" and directory:
            for source in LOG_KINDS:
                try:
                    paths = log_sources(directory, source, self.since)
                except OSError as exc:
                    error = describe(exc)
                    self.log_file(source, name, lambda _sink, e=error: raise_unanswered(e))
                    continue
                if paths or source in ("app", "debug"):
                    files[source] = self.log_file(
                        source, name,
                        lambda sink, p=paths: copy_log(p, sink, self.since, local, deadline),
                    )  # fmt: skip
        for level in ("error", "warn"):
            source = files.get("app") or stream
            if level not in files and source:
                self.split(level, name, source)

    def split(self, level, name, source):
        """Derive logs/<level>/<name>.log from another log."""
        relative = "logs/%s/%s.log" % (level, name)
        if os.path.exists(self.path(relative + ".err")):
            return
        tally = self.tally("logs-" + level)
        began = time.monotonic()
        split_level(source, self.path(relative), level.encode(), self.limits["log_bytes"])
        tally.add_file(relative)
        tally.note(True, began=began)

    def engine_log(self, handle, sink):
        """Feed a container's output since the stack started to a sink."""
        since = int(self.since) if self.since else 0
        reference = quote(handle.get("name") or handle.get("id") or "", safe="")
        path = "/containers/%s/logs?stdout=1&stderr=1&timestamps=1&since=%d" % (reference, since)
        frames = Demultiplexer(sink.feed)
        code, _body, _cut = self.engine().get(path, LOGS_TIMEOUT, 1 << 40, sink=frames.feed)
        if code != 200:
            raise Unanswered("engine: HTTP %d" % code)

    def plain_log(self, path, sink):
        """Feed a file to a sink."""
        if os.path.islink(path):
            raise Unanswered("is a link")
        copy_log([path], sink, None, True, time.monotonic() + LOGS_TIMEOUT)

    def served_logs(self, name, handle, kind):
        """Collect the logs that the target itself serves (replay)."""
        url = handle.get("logs_url")
        for source in ("compose",) + LOG_KINDS if url else ():
            parts = urlsplit(url)
            path = parts.path.rstrip("/") + "/" + source
            absent = []

            def fetch(sink, path=path, absent=absent, parts=parts):
                pieces = []
                code, _body, _cut = self.client("http://" + parts.netloc).get(
                    path, LOGS_TIMEOUT, 1 << 40, sink=pieces.append)  # fmt: skip
                if code in (404, 501):
                    absent.append(True)
                    return
                if code != 200:
                    raise Unanswered("HTTP %d" % code)
                for piece in pieces:
                    sink.feed(piece)

            written = self.log_file(source, name, fetch)
            if absent and written:
                # Not recorded is not the same as empty.
                os.remove(written)
                tally = self.tally("logs-" + source)
                tally.files.remove("logs/%s/%s.log" % (source, name))
                if kind == "node":
                    tally.error = tally.error or "not recorded: " + name

    def served_documents(self):
        """Fetch events and configuration that a replay serves in place of the recorded stack."""
        handles = [h for _n, h in self.targets()]
        url = next((h["events_url"] for h in handles if h.get("events_url")), None)
        if url:
            code, body = fetch_url(url, 8.0, self.limits["file_bytes"])
            if code == 200:
                self.store("events", "events.jsonl", lambda: body)
            else:
                self.tally("events").settle("skipped", NOT_RECORDED)
        base = next((h["bundle_url"] for h in handles if h.get("bundle_url")), None)
        names = ["env.txt", "git.txt", "compose-config.yml", "config/workload.json",
                 "config/dev-sim.yaml", "fingerprint.json"]  # fmt: skip
        names += ["config/node%d.toml" % n["id"] for n in self.nodes]
        for name in names if base else ():
            code, body = fetch_url(base.rstrip("/") + "/" + name, 8.0, self.limits["file_bytes"])
            if code == 200:
                self.store("recorded", name, lambda b=body: b)

    # the end

    def valid(self):
        """Return (valid, reason) of the window."""
        window = self.window
        if window.invalid:
            return False, window.invalid
        if window.start is None:
            return False, "the window did not begin"
        return True, window.remark

    def window_document(self):
        """Return window.json."""
        window, valid = self.window, self.valid()
        due = 0 if window.start is None else self.slots_due(time.monotonic())
        return {
            "schema_version": SCHEMA_VERSION, "valid": valid[0], "reason": valid[1],
            "start": None if window.start is None else self.clock.iso(window.start),
            "end": None if window.end is None else self.clock.iso(window.end),
            "asked_seconds": self.seconds, "running_since": window.running_since,
            "warmup_over": window.running_since, "counters_moved_at": window.moved_at,
            "sim_run_id": text(window.run_id), "interrupted": window.interrupted,
            "phases": window.phases,
            "cadence": dict({"interval_s": self.interval, "due": due,
                             "taken": len(self.lateness),
                             "missed": max(0, due - len(self.lateness))},
                            jitter_ms=spread(self.lateness)),
            "collector": [{"host": self.host, "cpu_seconds": round(time.process_time(), 3),
                           "wall_seconds": round(time.monotonic() - self.mono0, 3)}],
            "profile": self.fence,
        }  # fmt: skip

    def finish(self):
        """Write window.json and collectors.json, say done."""
        self.sampling_over.set()
        if self.stop_reason is not None and self.window.interrupted is None:
            self.window.interrupted = self.stop_reason
        self.enter("done")
        self.window.phases[-1]["end"] = self.window.phases[-1]["start"]
        self.over.set()
        document = {"schema_version": SCHEMA_VERSION, "host": self.host, "lead": self.lead,
                    "facts": self.proc.facts(),
                    "collectors": [t.as_dict(self.host) for _n, t in sorted(self.tallies.items())
                                   if t.name not in ("nodes", "logs")
                                   and (self.lead or t.name != "status")]}  # fmt: skip
        write_atomic(self.path("window.json"), json_text(self.window_document()))
        write_atomic(os.path.join(self.out, "collectors.json"), json_text(document))
        for client in self.clients:
            client.close()
        for rows in list(self.rows.values()):
            rows.close()
        self.done = True
        self.publish()


HOST_COLUMNS = (
    "ncpu", "cpu_total_ticks", "cpu_idle_ticks", "cpu_iowait_ticks", "cpu_steal_ticks", "load1",
    "mem_available_bytes", "mem_total_bytes", "psi_cpu_some_avg10", "psi_io_some_avg10", "disks",
)  # fmt: skip


def number(value, default=0):
    """Return an int or float as it is, anything else as the default."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    return default


def text(value):
    """Return a value as one short line, None as None."""
    return None if value is None else " ".join(str(value).split())[:200]


def json_text(document):
    """Return indented JSON bytes."""
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode("ascii")


def spread(lateness):
    """Return p50, p99 and max of lateness (seconds in, milliseconds out), nearest rank."""
    if not lateness:
        return {"p50": None, "p99": None, "max": None}
    ordered = sorted(lateness)

    def rank(share):
        return round(ordered[max(0, int(-(-share * len(ordered) // 1)) - 1)] * 1000, 2)

    return {"p50": rank(0.5), "p99": rank(0.99), "max": round(ordered[-1] * 1000, 2)}


def goroutine_excerpt(body):
    """Return the part of a goroutine summary that tells restarts and growth, as JSON text."""
    document = json.loads(body)
    keys = ("boot_id", "process_started_at", "process_total")
    return dump({k: document.get(k) for k in keys})


def gateway_connections(body):
    """Return the sum of wukongim_gateway_connections_active in a /metrics text, or None."""
    total, at, needle = None, 0, b"\nwukongim_gateway_connections_active"
    while True:
        at = body.find(needle, at)
        if at < 0:
            return total
        line = body[at + 1 : body.find(b"\n", at + 1)]
        at += len(needle)
        try:
            total = (total or 0) + int(float(line.rsplit(b" ", 1)[1]))
        except (ValueError, IndexError, OverflowError):
            continue


def fetch_url(url, timeout, limit):
    """GET a whole URL; return (status or 0, body)."""
    parts = urlsplit(url)
    client = Http("http://" + parts.netloc)
    try:
        code, body, _cut = client.get(parts.path or "/", timeout, limit)
        return code, body
    except Unanswered:
        return 0, b""
    finally:
        client.close()


def raise_unanswered(message):
    """Raise Unanswered (for use in an expression)."""
    raise Unanswered(message)


def disk_paths(spec, nodes):
    """Return the directories whose free space matters: data roots, else the out directory."""
    wanted = list(spec.get("disk_paths") or []) + [n.get("data_dir") for n in nodes]
    found = []
    for path in wanted:
        if path and path not in found and os.path.isdir(path):
            found.append(path)
    return found or [spec["out_dir"]]


# --- commands -------------------------------------------------------------------------------


def fail(message, code=2):
    """Say what is wrong and leave."""
    sys.stderr.write("collector: %s\n" % message)
    raise SystemExit(code)


def read_json(path):
    """Return the JSON document of a file, or None."""
    try:
        with open(path, "rb") as handle:
            return json.loads(handle.read().decode("utf-8", "replace"))
    except (OSError, ValueError):
        return None


def alive(out):
    """Say whether the collector of an out directory runs."""
    mark = read_json(os.path.join(out, "pid"))
    if not isinstance(mark, dict):
        return False
    try:
        os.kill(mark["pid"], 0)
    except (OSError, KeyError, TypeError):
        return False
    ticks = process_start(mark["pid"])
    # The number alone may belong to another process by now.
    return ticks is None or mark.get("start_ticks") in (None, ticks)


def process_start(pid):
    """Return the start time of a process in clock ticks since boot, None off Linux."""
    info = Proc(False).process(pid)
    if info is None:
        return None
    return -1 if info["letter"] in "ZX" else info["start_ticks"]


def command_start(args):
    """Start the detached collector for a spec."""
    spec = read_json(args.spec)
    if not isinstance(spec, dict) or spec.get("schema_version") != SCHEMA_VERSION:
        fail("%s is no spec of schema version %d" % (args.spec, SCHEMA_VERSION))
    missing = [k for k in ("run_id", "out_dir", "host", "status_url", "window") if k not in spec]
    if missing:
        fail("%s lacks %s" % (args.spec, ", ".join(missing)))
    if not float(spec["window"]["seconds"]) > 0:
        fail("window.seconds must be greater than zero")
    out = spec["out_dir"] = os.path.abspath(spec["out_dir"])
    if alive(out):
        fail("a collector runs in %s already: stop it first" % out)
    if os.path.exists(os.path.join(out, "state.json")):
        fail("%s holds an earlier run: give another out_dir" % out)
    os.makedirs(os.path.join(out, "evidence"), exist_ok=True)
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        detach(spec, out, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    os.wait()
    if not answer:
        fail("did not start, see %s" % os.path.join(out, "collector.log"), 1)
    print(answer.decode("ascii").strip())


def detach(spec, out, writer):
    """Become a process of its own session without a terminal, then collect. Never returns."""
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    os.chdir("/")
    os.umask(0o027)
    null = os.open(os.devnull, os.O_RDWR)
    log = os.open(os.path.join(out, "collector.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code = 1
    try:
        mark = {"pid": os.getpid(), "start_ticks": process_start(os.getpid())}
        write_atomic(os.path.join(out, "pid"), dump(mark).encode())
        collector = Collector(spec)
        signal.signal(signal.SIGTERM, lambda _s, _f: request_stop(out, "terminated"))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        collector.publish()
        os.write(writer, dump(dict(mark, out_dir=out)).encode() + b"\n")
        os.close(writer)
        collector.run()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        # Sampler threads may sit in a request still: they must not hold the exit up.
        os._exit(code)


def request_stop(out, reason):
    """Leave a stop request for the collector of an out directory."""
    path = os.path.join(out, "stop")
    if not os.path.exists(path):
        write_atomic(path, reason.encode("utf-8", "replace")[:300])


def command_poll(args):
    """Print where the collector stands."""
    state = read_json(os.path.join(args.out, "state.json"))
    if not isinstance(state, dict):
        fail("nothing was collected in %s" % args.out)
    state["alive"] = alive(args.out)
    state["notes"] = [n for n in state.get("notes", []) if n["n"] > args.since]
    print(dump(state))


def command_stop(args):
    """Ask the collector to finish early."""
    if not os.path.isdir(args.out):
        fail("no such directory: %s" % args.out)
    request_stop(args.out, args.reason)
    print(dump({"alive": alive(args.out), "out_dir": args.out}))


def bury(out):
    """Write the window.json of a collector that died before it could."""
    path = os.path.join(out, "evidence", "window.json")
    state = read_json(os.path.join(out, "state.json")) or {}
    if os.path.exists(path) or not state:
        return
    reason = "the collector died in phase %s" % state.get("phase")
    whole = state.get("window_end") is not None
    write_atomic(path, json_text({
        "schema_version": SCHEMA_VERSION, "valid": False, "reason": reason,
        "start": state.get("window_start"),
        "end": state.get("window_end") if whole else (
            state.get("sample_time") if state.get("window_start") else None),
        "asked_seconds": state.get("window_seconds"), "running_since": None,
        "warmup_over": None, "counters_moved_at": None, "sim_run_id": None,
        "interrupted": reason, "phases": state.get("phases", []),
        "cadence": {"interval_s": None, "due": state.get("samples_due"),
                    "taken": state.get("samples_taken"), "missed": None,
                    "jitter_ms": spread([])},
        "collector": [{"host": state.get("host"), "cpu_seconds": None,
                       "wall_seconds": state.get("elapsed_s")}],
        "profile": {"start": None, "end": None, "fenced": False, "fence_reason": reason},
    }))  # fmt: skip


def command_pack(args):
    """Pack the evidence of a finished or dead collector."""
    state = read_json(os.path.join(args.out, "state.json"))
    if not isinstance(state, dict):
        fail("nothing was collected in %s" % args.out)
    if alive(args.out) and not state.get("done"):
        fail("the collector still runs: wait for it or stop it first", 3)
    bury(args.out)
    part = args.tarfile + ".part"
    with tarfile.open(part, "w:gz", compresslevel=1) as archive:
        for name in ("evidence", "collectors.json", "collector.log", "state.json"):
            path = os.path.join(args.out, name)
            if os.path.exists(path):
                archive.add(path, name)
    os.replace(part, args.tarfile)
    print(dump({"tar": args.tarfile, "bytes": os.path.getsize(args.tarfile),
                "done": bool(state.get("done"))}))  # fmt: skip


def main(argv=None):
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start")
    start.add_argument("spec")
    start.set_defaults(run=command_start)
    poll = commands.add_parser("poll")
    poll.add_argument("out")
    poll.add_argument("--since", type=int, default=0)
    poll.set_defaults(run=command_poll)
    stop = commands.add_parser("stop")
    stop.add_argument("out")
    stop.add_argument("--reason", default="asked to stop")
    stop.set_defaults(run=command_stop)
    pack = commands.add_parser("pack")
    pack.add_argument("out")
    pack.add_argument("tarfile")
    pack.set_defaults(run=command_pack)
    args = parser.parse_args(argv)
    args.run(args)


if __name__ == "__main__":
    main()

"""Log files: which ones belong to the run, what level a line has, and copies of bounded size."""

from __future__ import annotations

import collections
import gzip
import os
import re
import time
from collections.abc import Iterable
from datetime import datetime
from typing import IO

from wkcollect.http import Unanswered
from wkcollect.limits import MAX_LOG_LINE

_LEVEL = re.compile(rb'\t(DEBUG|INFO|WARN|ERROR|DPANIC|PANIC|FATAL)\t|"level"\s*:\s*"([A-Za-z]+)"')
_STAMP = re.compile(rb"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?")
_BLOCK = 1 << 18


class LogSink:
    """A log file bounded in bytes (head and tail are kept) and in line length."""

    def __init__(self, path: str, limit: int) -> None:
        self._half = max(1, limit // 2)
        self._handle: IO[bytes] = open(path, "wb")
        self._head = 0
        self._tail: collections.deque[bytes] = collections.deque()
        self._tail_bytes = 0
        self._left_out = 0
        self._rest = b""
        self._cut_line = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the log."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if self._cut_line:
                self._cut_line += len(line)
                line = _cut_mark(self._cut_line)
                self._cut_line = 0
            elif len(line) > MAX_LOG_LINE:
                line = line[:MAX_LOG_LINE] + _cut_mark(len(line) - MAX_LOG_LINE)
            self._put(line + b"\n")
        if self._cut_line:
            self._cut_line += len(self._rest)
            self._rest = b""
        elif len(self._rest) > MAX_LOG_LINE:
            self._put(self._rest[:MAX_LOG_LINE])
            self._cut_line = len(self._rest) - MAX_LOG_LINE
            self._rest = b""

    def _put(self, piece: bytes) -> None:
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

    def close(self) -> None:
        """Write what is left."""
        if self._cut_line:
            self._put(_cut_mark(self._cut_line) + b"\n")
        elif self._rest:
            self._put(self._rest + b"\n")
        if self._left_out:
            self._handle.write(b"...[%d bytes left out by the collector]\n" % self._left_out)
        for piece in self._tail:
            self._handle.write(piece)
        self._handle.close()


def _cut_mark(count: int) -> bytes:
    return b" ...[line cut: %d more bytes]" % count


def line_level(line: bytes) -> bytes:
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


def line_epoch(line: bytes, local: bool) -> float | None:
    """Return the epoch seconds of a log line's own time stamp, or None.

    A stamp without a zone is local time of the process that wrote it: UTC in a container, this
    host's time when ``local``.
    """
    match = _STAMP.search(line[:200])
    if not match:
        return None
    text = (match.group(1) + b" " + match.group(2)).decode()
    zone = (match.group(3) or b"").decode()
    try:
        if local and not zone:
            return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").astimezone().timestamp()
        offset = "+0000" if zone in ("", "Z") else zone.replace(":", "")
        return datetime.strptime(text + offset, "%Y-%m-%d %H:%M:%S%z").timestamp()
    except (ValueError, OverflowError):
        return None


def log_sources(directory: str, kind: str, since: float | None) -> list[str]:
    """Return the paths of <kind>.log and its rotated predecessors touched after ``since``.

    Rotated ones are named <kind>-<time>.log[.gz]; oldest first, the live file last. Raises OSError.
    """
    pattern = re.compile(rf"^{re.escape(kind)}-\d{{4}}-\d\d-\d\dT[\d.-]+\.log(\.gz)?$")
    paths = []
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if not pattern.match(name) or not _is_plain(path):
            continue
        if since is None or os.path.getmtime(path) >= since:
            paths.append(path)
    live = os.path.join(directory, kind + ".log")
    return [*paths, live] if _is_plain(live) else paths


def _is_plain(path: str) -> bool:
    # A link could point anywhere on the host.
    return os.path.isfile(path) and not os.path.islink(path)


def copy_log(
    paths: Iterable[str], sink: LogSink, since: float | None, local: bool, deadline: float
) -> None:
    """Feed log files to a sink, leaving out what is older than ``since`` (epoch or None).

    Raises Unanswered after ``deadline`` (monotonic), OSError or EOFError for a file that is broken.
    """
    passed = since is None
    for path in paths:
        opener = gzip.open if path.endswith(".gz") else open
        with opener(path, "rb") as handle:
            while not passed and since is not None:
                line = handle.readline(MAX_LOG_LINE)
                if not line:
                    break
                stamp = line_epoch(line, local)
                if stamp is not None and stamp >= since:
                    sink.feed(line)
                    passed = True
            while passed:
                block = handle.read(_BLOCK)
                if not block:
                    break
                sink.feed(block)
                if time.monotonic() > deadline:
                    raise Unanswered("reading took too long", timeout=True)


def split_level(source: str, target: str, level: bytes, limit: int) -> None:
    """Write the lines of one level of a log file into another file."""
    sink = LogSink(target, limit)
    try:
        with open(source, "rb") as handle:
            for line in handle:
                if line_level(line) == level:
                    sink.feed(line)
    finally:
        sink.close()

"""Node logs in WuKongIM's console and JSON formats, reduced to message templates."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from wktriage.bundle.files import EXCERPT_CAP, EvidenceFiles
from wktriage.core.json_files import parse_object
from wktriage.core.text import AnyOf
from wktriage.core.times import parse_time

_PREFIX = rb"^(?:[\w.-]+ +\| ?)?(?:\d{4}-\d\d-\d\dT[\d:.]+Z )?"
_ENGINE_TIME = re.compile(rb"^(?:[\w.-]+ +\| ?)?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3})\d*Z ")
_CONSOLE = re.compile(
    _PREFIX + rb"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.,]\d{3})\t([A-Z]+)\t(?:\[([^\]\t]*)\]\t)?"
    rb"(?:[^\t]*\.go:\d+\t)?([^\t]*)(?:\t(\{.*))?"
)
_JSON = re.compile(_PREFIX + rb"(\{.*\})\s*$")
SEVERE = ("WARN", "ERROR", "DPANIC", "PANIC", "FATAL")
_SEVERE_TEXTS = (b"\tWARN\t", b"\tERROR\t", b"PANIC\t", b"\tFATAL\t", b'"level":')
_EVENT_TEXTS = (b"internal.app.sta", b"internal.app.lifecycle_start_failed", b"raft.log")
_STDERR_TEXTS = (
    b"panic: ",
    b"fatal error: ",
    b"append waiter canceled",
    b"unknown config env",
    b"config validation failed",
    b"no space left on device",
    b"corrupt state",
    b"input/output error",
)
"""What no logger writes and only the compose log can hold."""

_STARTING = b"internal.app.starting"
_EVENT = re.compile(rb'"event": ?"([^"]{1,120})"')
_DETAIL = re.compile(rb'"(component|errorClass|errorCode|phase|result|raftEvent)": ?"([^"]{1,60})"')
_TARGET = re.compile(rb'"(?:ownerNodeID|targetNodeID|targetNode|peerNodeID)": ?"?(\d+)')
_NUMBER = re.compile(rb"\d+")
_TEMPLATE_CAP = 500


@dataclass
class Template:
    """One message template of one node: how often, and where first."""

    key: str
    level: str
    file: str
    line: int
    first: float | None
    excerpt: str
    count: int = 0
    in_window: int = 0
    first_in_window: float | None = None
    window_line: int = 0
    window_excerpt: str = ""


@dataclass
class NodeLogs:
    """What the logs of one node say. ``templates`` by key; ``targets`` by WuKongIM node id."""

    files: list[str] = field(default_factory=list)
    templates: dict[str, Template] = field(default_factory=dict)
    targets: dict[str, Template] = field(default_factory=dict)

    def matching(self, *needles: str) -> list[Template]:
        """Return the templates whose key holds one of the texts, most frequent first."""
        holding = [t for t in self.templates.values() if any(n in t.key for n in needles)]
        return sorted(holding, key=lambda t: (-t.in_window, -t.count, t.key))


def starts(bundle: EvidenceFiles, node: str) -> list[tuple[float, str, int]]:
    """Return (time, file, line) of the node's start-up lines, log times read as UTC."""
    by_time: dict[float, tuple[float, str, int]] = {}
    for kind in ("app", "compose"):
        rel = f"logs/{kind}/{node}.log"
        for number, line in bundle.grep(rel, AnyOf(_STARTING)):
            stamp = _classify(line).stamp
            time = _time(stamp, {}) if stamp else None
            if time is not None:
                by_time.setdefault(time, (time, rel, number))
    return [by_time[t] for t in sorted(by_time)]


def scan(
    bundle: EvidenceFiles, node: str, window: tuple[float, float] | None, utc_offset: float = 0.0
) -> NodeLogs:
    """Read the logs of one node (or of wk-sim) as streams.

    ``utc_offset`` is what the node's local time is ahead of UTC, in seconds: the logs hold local
    time without a zone.

    WARN and above come from the warn and error logs, or where these are missing from the app or
    compose log; start-ups, Raft messages, panics and cancelled appends from app and compose.
    """
    logs = NodeLogs()
    severe = [f for k in ("warn", "error") if bundle.exists(f := f"logs/{k}/{node}.log")]
    others = [f for k in ("app", "compose") if bundle.exists(f := f"logs/{k}/{node}.log")]
    if not severe and others:
        severe = others[:1]
    logs.files = [*severe, *(f for f in others if f not in severe)]
    for rel in severe:
        _scan_file(bundle, rel, _SEVERE_TEXTS, logs, window, utc_offset, severe=True, seen=None)
    seen: set[bytes] = set()
    for rel in others:
        texts = _EVENT_TEXTS + (_STDERR_TEXTS if rel.startswith("logs/compose/") else ())
        _scan_file(bundle, rel, texts, logs, window, utc_offset, severe=False, seen=seen)
    return logs


def _scan_file(
    bundle: EvidenceFiles,
    rel: str,
    texts: tuple[bytes, ...],
    logs: NodeLogs,
    window: tuple[float, float] | None,
    utc_offset: float,
    *,
    severe: bool,
    seen: set[bytes] | None,
) -> None:
    cache: dict[bytes, float | None] = {}
    for number, line in bundle.grep(rel, AnyOf(*texts)):
        record = _classify(line)
        is_severe = record.level in SEVERE
        if record.level and severe != is_severe:
            continue
        if seen is not None and record.level:
            # The compose log repeats the app log: the same line counts once.
            text = line[record.begins : record.begins + 400]
            if text in seen:
                continue
            if len(seen) < 100_000:
                seen.add(text)
        time = _time(record.stamp, cache) if record.stamp else None
        if time is not None and record.local:
            time -= utc_offset
        level, key, target = record.level, record.key, record.target
        for table, name in ((logs.templates, key), (logs.targets, target)):
            if not name:
                continue
            if name not in table and len(table) >= _TEMPLATE_CAP:
                name = "other"
            entry = table.get(name)
            if entry is None:
                excerpt = bundle.shown(line.decode("utf-8", errors="replace"))[:EXCERPT_CAP]
                entry = table[name] = Template(name, level, rel, number, time, excerpt)
            entry.count += 1
            if time is not None and window is not None and window[0] <= time <= window[1]:
                entry.in_window += 1
                if entry.first_in_window is None or time < entry.first_in_window:
                    entry.first_in_window = time
                    entry.window_line = number
                    entry.file = rel
                    shown = bundle.shown(line.decode("utf-8", errors="replace"))
                    entry.window_excerpt = shown[:EXCERPT_CAP]


@dataclass(frozen=True)
class _Record:
    """A classified line. ``level`` is "" for a line that no logger wrote (panic, log.Print)."""

    stamp: bytes = b""
    local: bool = False
    level: str = ""
    key: str = ""
    target: str = ""
    begins: int = 0


def _classify(line: bytes) -> _Record:
    """Classify a log line: time, level, template key, WuKongIM id of the node it complains of."""
    console = _CONSOLE.match(line)
    begins = 0
    if console:
        stamp, level, _, message, rest = console.groups()
        rest = rest or b""
        begins = console.start(1)
    else:
        stamp, level, message, rest, begins = _classify_json(line)
        if not stamp:
            engine = _ENGINE_TIME.match(line)
            return _Record(engine.group(1) if engine else b"", key=_plain_key(line))
    event = _EVENT.search(rest)
    name = event.group(1) if event else _NUMBER.sub(b"N", message[:80])
    parts = [name.decode("utf-8", errors="replace")]
    if name == b"raft.log":
        parts.append(_NUMBER.sub(b"N", message[:80]).decode("utf-8", errors="replace"))
    else:
        parts += [
            f"{k.decode()}={v.decode('utf-8', errors='replace')}"
            for k, v in _DETAIL.findall(rest[:4000])
        ]
    if b"corrupt state" in line:
        parts.append("corrupt state")
    if b"no space left on device" in line or b"input/output error" in line:
        parts.append("disk failure")
    complaint = _TARGET.search(rest[:4000])
    return _Record(
        stamp,
        True,
        level.decode("ascii", errors="replace"),
        " ".join(parts),
        complaint.group(1).decode() if complaint and complaint.group(1) != b"0" else "",
        begins,
    )


def _classify_json(line: bytes) -> tuple[bytes, bytes, bytes, bytes, int]:
    match = _JSON.match(line)
    data = parse_object(match.group(1)) if match else None
    if match is None or data is None or not isinstance(data.get("time"), str):
        return b"", b"", b"", b"", 0
    rest = json.dumps(data, ensure_ascii=False).encode("utf-8", errors="replace")
    stamp, level, message = (
        str(data.get(k, "")).encode("utf-8", errors="replace") for k in ("time", "level", "msg")
    )
    return stamp, level.upper(), message, rest, match.start(1)


def _plain_key(line: bytes) -> str:
    """Return the key of a line without time: panics and standard library log lines."""
    for mark in (b"panic: ", b"fatal error: "):
        if mark in line[:200]:
            return "panic"
    if b"append waiter canceled" in line:
        if b"store_completed=false" in line:
            return "append waiter canceled stage=store"
        for field_name in (b"follower_pull_served", b"ack_offset_observed", b"hw_advanced"):
            if field_name + b"=false" in line:
                return "append waiter canceled stage=quorum"
        return "append waiter canceled stage=completion"
    for mark in (b"unknown config env", b"config validation failed", b"no space left on device"):
        if mark in line:
            return mark.decode()
    if b"corrupt state" in line:
        return "corrupt state"
    if b"input/output error" in line:
        return "disk failure"
    return ""


def _time(stamp: bytes, cache: dict[bytes, float | None]) -> float | None:
    second = stamp[:19]
    if second not in cache:
        if len(cache) > 10_000:
            cache.clear()
        cache[second] = parse_time(second.decode("ascii", errors="replace"))
    base = cache[second]
    fraction = stamp[20:23]
    if base is None:
        return None
    return base + int(fraction) / 1000 if fraction.isdigit() else base

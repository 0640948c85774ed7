"""Times in a recording, and how they are moved to now."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal


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
    place = log_line_time(line)
    if place is None:
        return line
    _, start, end = place
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

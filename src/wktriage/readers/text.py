"""Bounded reading of text: lines of any length, files of any size, constant memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

LINE_CAP = 64 * 1024
"""Bytes kept of one line; the rest of a longer line is dropped."""

_BLOCK = 1024 * 1024


def iter_lines(path: Path, cap: int = LINE_CAP) -> Iterator[tuple[int, bytes]]:
    """Yield (1-based number, line without newline, at most ``cap`` bytes); ends on read errors."""
    try:
        with path.open("rb") as handle:
            number = 0
            while line := handle.readline(cap):
                number += 1
                text = line.rstrip(b"\r\n")
                while line and not line.endswith(b"\n"):
                    line = handle.readline(cap)
                yield number, text
    except OSError:
        return


def grep(path: Path, pattern: re.Pattern[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield (1-based number, line) of the lines in which ``pattern`` is found.

    Works on blocks, so that lines that do not match cost next to nothing. Lines are cut at
    LINE_CAP, so a pattern must match within the first LINE_CAP bytes of its line.
    """
    number = 0
    carry = b""
    skipping = False
    try:
        with path.open("rb") as handle:
            while True:
                block = handle.read(_BLOCK)
                if not block:
                    break
                if skipping:
                    end = block.find(b"\n")
                    if end < 0:
                        continue
                    block = block[end:]
                    skipping = False
                data = carry + block
                cut = data.rfind(b"\n") + 1
                carry = data[cut:]
                if len(carry) > LINE_CAP:
                    carry = carry[:LINE_CAP]
                    skipping = True
                yield from _matches(data[:cut], pattern, number)
                number += data.count(b"\n", 0, cut)
            if carry:
                yield from _matches(carry, pattern, number)
    except OSError:
        return


def _matches(data: bytes, pattern: re.Pattern[bytes], before: int) -> Iterator[tuple[int, bytes]]:
    position = counted = 0
    number = before
    while found := pattern.search(data, position):
        start = data.rfind(b"\n", 0, found.start()) + 1
        end = data.find(b"\n", found.start())
        end = len(data) if end < 0 else end
        number += data.count(b"\n", counted, start)
        counted = start
        if found.start() - start <= LINE_CAP:
            yield number + 1, data[start : min(end, start + LINE_CAP)].rstrip(b"\r")
        position = end + 1

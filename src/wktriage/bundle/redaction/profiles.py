"""Redaction of pprof profiles: their string table, label values included.

A profile is a protocol buffer: ``sample`` is field 2 of it (labels are field 3 of a sample, with
``key`` 1 and ``str`` 2 as places in the string table), ``string_table`` is field 6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from wktriage.bundle.redaction import names
from wktriage.bundle.redaction.values import HIDDEN

_SAMPLE, _STRING = 2, 6
_LABEL, _KEY, _STR = 3, 1, 2
FIELDS = 4_000_000
"""Fields read of one profile; of one with more, nothing is kept."""


class NoProfileError(ValueError):
    """The bytes are no profile."""


def redact(data: bytes, hide: Callable[[bytes], bytes]) -> bytes:
    """Return an uncompressed profile with every string passed through ``hide``.

    Returns ``data`` itself when nothing changes. Raises NoProfileError.
    """
    strings = [(a, b) for number, a, b in _fields(data, 0, len(data)) if number == _STRING]
    hidden = {i: h for i, (a, b) in enumerate(strings) if (h := hide(data[a:b])) != data[a:b]}
    keys = {i for i, (a, b) in enumerate(strings) if names.is_secret(data[a:b])}
    if keys:
        hidden.update((i, HIDDEN) for i in _labelled(data, keys) if 0 < i < len(strings))
    if not hidden:
        return data
    pieces, done = [], 0
    for index, fresh in sorted(hidden.items()):
        start, end = strings[index]
        head = start - _length_bytes(end - start)
        pieces += [data[done:head], _varint(len(fresh)), fresh]
        done = end
    return b"".join([*pieces, data[done:]])


def _labelled(data: bytes, keys: set[int]) -> Iterator[int]:
    """Yield the places of the label values whose key is one of ``keys``."""
    for number, a, b in _fields(data, 0, len(data)):
        if number != _SAMPLE:
            continue
        for inner, c, d in _fields(data, a, b):
            if inner == _LABEL:
                label = {n: x for n, x, y in _fields(data, c, d) if y < 0}
                if label.get(_KEY) in keys:
                    yield label.get(_STR, 0)


def _fields(data: bytes, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (number, start, end) of fields with bytes, (number, value, -1) of those with a number.

    Raises NoProfileError when they do not fill the span.
    """
    for _ in range(FIELDS):
        if position >= end:
            return
        tag, position = _read(data, position, end)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, position = _read(data, position, end)
            yield number, value, -1
        elif kind == 2:
            length, position = _read(data, position, end)
            if length > end - position:
                raise NoProfileError("a field is longer than the profile")
            yield number, position, position + length
            position += length
        elif kind in (1, 5):
            position += 8 if kind == 1 else 4
        else:
            raise NoProfileError(f"no such kind of field: {kind}")
    raise NoProfileError(f"more than {FIELDS} fields")


def _read(data: bytes, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise NoProfileError("a number is cut off")


def _varint(value: int) -> bytes:
    done = bytearray()
    while value > 0x7F:
        done.append(value & 0x7F | 0x80)
        value >>= 7
    done.append(value)
    return bytes(done)


def _length_bytes(length: int) -> int:
    return len(_varint(length))

"""CPU profiles: the part of pprof's protobuf that says where the samples were.

Field numbers are those of github.com/google/pprof/proto/profile.proto.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_PRODUCT = re.compile(r"^github\.com/WuKongIM/WuKongIM/((?:[\w.-]+/)*[\w-]+)")
_GC = re.compile(
    r"^runtime\.(?:gcBgMarkWorker|gcDrain|bgsweep|bgscavenge|gcAssist|scanobject|"
    r"scanblock|greyobject|markroot|mallocgc|gcStart|sweepone)"
)
_SYSCALL = re.compile(
    r"(?:^syscall\.|^internal/runtime/syscall|^runtime\.futex|^runtime\.epoll|"
    r"^golang\.org/x/sys/unix\.|^internal/poll\.|^runtime\.netpoll)"
)
CAP = 16 * 1024 * 1024
"""Bytes of a profile, uncompressed, that are decoded; one of 30 s has about one million."""

_SAMPLES_CAP = 500_000
_FIELDS_CAP = 3_000_000
_FRAMES_CAP = 512
"""Fields of a profile; frames of a stack from the leaf (Go records 128 at most)."""


@dataclass
class Profile:
    """A decoded CPU profile. Weights are nanoseconds; ``flat`` by function, ``groups`` by package.

    A sample belongs to the first product frame seen from the leaf (``internal/runtime/delivery``),
    so that work done in libraries counts for who asked for it; else to ``runtime/gc``,
    ``runtime/scheduler`` or ``other``.
    """

    total: int = 0
    duration: float = 0.0
    flat: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    syscalls: int = 0
    gc: int = 0

    @property
    def cores(self) -> float | None:
        """CPU seconds sampled a second."""
        return self.total / 1e9 / self.duration if self.duration > 0 else None


def decode(data: bytes) -> Profile | None:
    """Decode an uncompressed profile.proto.

    None when it is damaged, holds no samples, or more of anything than a real one.
    """
    if len(data) > CAP:
        return None
    try:
        return _decode(data)
    except (ValueError, IndexError, KeyError, UnicodeDecodeError):
        return None


def _decode(data: bytes) -> Profile | None:
    strings: list[str] = []
    functions: dict[int, int] = {}
    locations: dict[int, list[int]] = {}
    samples: list[tuple[list[int], int]] = []
    types: list[int] = []
    profile = Profile()
    left = Left(_FIELDS_CAP)
    for number, value in _fields(data, left):
        if number == 6 and isinstance(value, bytes):
            strings.append(value.decode("utf-8", errors="replace"))
        elif number == 5 and isinstance(value, bytes):
            entry = dict(_fields(value, left))
            functions[_int(entry.get(1, 0))] = _int(entry.get(2, 0))
        elif number == 4 and isinstance(value, bytes):
            identity, lines = 0, []
            for key, item in _fields(value, left):
                if key == 1:
                    identity = _int(item)
                elif key == 4 and isinstance(item, bytes):
                    lines.append(_int(dict(_fields(item, left)).get(1, 0)))
            locations[identity] = lines
        elif number == 2 and isinstance(value, bytes):
            if len(samples) >= _SAMPLES_CAP:
                return None
            stack: list[int] = []
            values: list[int] = []
            for key, item in _fields(value, left):
                target = stack if key == 1 else values if key == 2 else None
                if target is not None:
                    target.extend(_packed(item, left) if isinstance(item, bytes) else [_int(item)])
            samples.append((stack, values[-1] if values else 0))
        elif number == 1 and isinstance(value, bytes):
            types.append(_int(dict(_fields(value, left)).get(1, 0)))
        elif number == 10:
            profile.duration = _int(value) / 1e9
    if not samples or not strings or "cpu" not in {strings[t] for t in types if t < len(strings)}:
        return None
    names = {f: strings[s] for f, s in functions.items() if s < len(strings)}
    for stack, weight in samples:
        # Inlined functions are lines of one location: a few lists can name very many frames.
        inner = (f for location in stack for f in locations.get(location, ()))
        frames = [names.get(f, "?") for f in itertools.islice(inner, _FRAMES_CAP)]
        profile.total += weight
        leaf = frames[0] if frames else "?"
        profile.flat[leaf] = profile.flat.get(leaf, 0) + weight
        group = _group(frames)
        profile.groups[group] = profile.groups.get(group, 0) + weight
        if any(_SYSCALL.match(f) for f in frames[:3]):
            profile.syscalls += weight
        if any(_GC.match(f) for f in frames):
            profile.gc += weight
    return profile if profile.total > 0 else None


def _group(frames: list[str]) -> str:
    for frame in frames:
        product = _PRODUCT.match(frame)
        if product:
            return "/".join(product.group(1).split(".")[0].split("/")[:3])
    if any(_GC.match(f) for f in frames):
        return "runtime/gc"
    if all(f.startswith(("runtime.", "internal/runtime")) for f in frames):
        return "runtime/scheduler"
    return "other"


def _int(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("expected a varint")
    return value


class Left:
    """How many more fields and numbers a profile may have."""

    def __init__(self, count: int) -> None:
        """Take the count."""
        self.count = count

    def one_less(self) -> None:
        """Count one. Raises ValueError when there may be none more."""
        self.count -= 1
        if self.count < 0:
            raise ValueError("more fields than any real profile has")


def _fields(data: bytes, left: Left) -> Iterator[tuple[int, int | bytes]]:
    position = 0
    while position < len(data):
        left.one_less()
        key, position = _varint(data, position)
        kind = key & 7
        if kind == 0:
            value, position = _varint(data, position)
            yield key >> 3, value
        elif kind == 2:
            length, position = _varint(data, position)
            if position + length > len(data):
                raise ValueError("truncated")
            yield key >> 3, data[position : position + length]
            position += length
        elif kind in (1, 5):
            position += 8 if kind == 1 else 4
        else:
            raise ValueError("unknown wire type")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
        if shift > 63:
            raise ValueError("varint too long")


def _packed(data: bytes, left: Left) -> list[int]:
    values: list[int] = []
    position = 0
    while position < len(data):
        left.one_less()
        value, position = _varint(data, position)
        values.append(value)
    return values

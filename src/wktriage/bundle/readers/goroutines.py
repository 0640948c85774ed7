"""Goroutine dumps (debug=1 and debug=2), grouped by the place in the product where they wait."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wktriage.bundle.files import EvidenceFiles

_HEADER = re.compile(rb"^goroutine \d+ (?:gp=\S+ m=\S+ (?:mp=\S+ )?)?\[([^\],]+)")
_COUNT = re.compile(rb"^(\d+) @ ")
_PRODUCT = b"github.com/WuKongIM/WuKongIM/"
_ARGUMENTS = re.compile(rb"\([^()]*(?:\([^()]*\)[^()]*)*\)$")
_OFFSET = re.compile(rb"\+0x[0-9a-f]+\s.*$")
_GROUP_CAP = 2000


@dataclass
class Group:
    """Goroutines that stand at the same product function. ``line`` is where the first begins."""

    where: str
    state: str
    count: int
    line: int


def groups(bundle: EvidenceFiles, rel: str) -> list[Group]:
    """Return the groups, largest first; [] when there is no dump or it is damaged."""
    by_place: dict[tuple[str, str], Group] = {}
    state, count, start, placed = "", 0, 0, True
    for number, line in bundle.lines(rel):
        header = _HEADER.match(line)
        many = None if header else _COUNT.match(line)
        if header or many:
            state = header.group(1).decode("utf-8", errors="replace") if header else "unknown"
            count = 1 if header else int(many.group(1)) if many else 0
            start, placed = number, False
            continue
        if placed or _PRODUCT not in line or line.startswith(b"created by "):
            continue
        stripped = line.strip().lstrip(b"#").strip()
        if not stripped.startswith(_PRODUCT):
            # debug=1 writes "#  0x… function+0x… file:line"
            at = stripped.find(_PRODUCT)
            stripped = _OFFSET.sub(b"", stripped[at:])
        name = _ARGUMENTS.sub(b"", stripped)[len(_PRODUCT) :].decode("utf-8", errors="replace")
        placed = True
        key = (name[:120], state[:40])
        group = by_place.get(key)
        if group is None:
            if len(by_place) >= _GROUP_CAP:
                continue
            group = by_place[key] = Group(key[0], key[1], 0, start)
        group.count += min(count, 1_000_000)
    return sorted(by_place.values(), key=lambda g: (-g.count, g.where, g.state))

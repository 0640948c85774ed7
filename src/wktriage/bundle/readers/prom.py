"""Prometheus text: only the wanted families, and deltas of counters and histograms.

client_golang writes families in alphabetical order, which tells a family that does not exist
(zero) from one that was cut off with the end of a truncated file (unknown).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from wktriage.bundle.readers.jsonl import number

SCRAPE_CAP = 16 * 1024 * 1024
"""Bytes read of one scrape (upstream's own client stops at 8 MiB)."""

_HEADER = re.compile(rb"^# (?:HELP|TYPE) ([A-Za-z_:][\w:]*)", re.MULTILINE)
_SAMPLE_CAP, _SCRAPE_SAMPLES_CAP = 50_000, 150_000
"""Series of a family, and of all wanted families of a scrape."""

_LINE_CAP, _LABELS_CAP = 4096, 64
"""Characters and labels of a series: the library's time grows with their square."""

POINT_BYTES, SERIES_BYTES = 120, 1000
"""Bytes of memory that a point takes, and name and labels of a series that was not seen before."""


@dataclass(frozen=True, slots=True)
class Point:
    """One series of one scrape. ``series`` is its text as written in the file."""

    name: str
    labels: Mapping[str, str]
    value: float
    series: str


@dataclass
class Scrape:
    """One /metrics scrape. ``families`` holds the wanted families that were there.

    ``size`` is how many points they have.
    """

    file: str
    families: dict[str, list[Point]] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    last_family: str = ""
    size: int = 0

    def known(self, family: str) -> bool:
        """Tell whether the scrape can speak of a family: it is there, or absent for certain."""
        if family in self.damaged:
            return False
        return family in self.families or family < self.last_family

    def points(self, family: str, **labels: str | Sequence[str]) -> list[Point]:
        """Return the series of a family whose labels match (a value or one of several)."""
        return [p for p in self.families.get(family, ()) if _matches(p.labels, labels)]

    def first(self, family: str, **labels: str | Sequence[str]) -> Point | None:
        """Return the first matching series."""
        return next(iter(self.points(family, **labels)), None)


def parse(
    data: bytes,
    families: Iterable[str],
    file: str = "",
    needles: Mapping[str, bytes] | None = None,
    known: dict[str, Point] | None = None,
) -> Scrape:
    """Parse the named families out of a scrape; a damaged family is noted, never guessed.

    ``needles`` keeps, for a family, only the lines that hold that text. ``known`` holds a point of
    each series that was seen before: what is alike is kept once.
    """
    series = {} if known is None else known
    scrape = Scrape(file)
    if not data:
        return scrape
    complete = data.endswith(b"\n")
    tail = data.rfind(b"\n# TYPE ")
    last = _HEADER.match(data, tail + 1) if tail >= 0 else _HEADER.match(data)
    if last is None:
        return scrape
    scrape.last_family = last.group(1).decode("ascii")
    if not complete:
        scrape.damaged.add(scrape.last_family)
    position = 0
    for family in sorted(set(families)):
        if family in scrape.damaged:
            continue
        mark = b"# TYPE " + family.encode("ascii") + b" "
        start = data.find(mark, position)
        if start < 0:
            start = data.find(mark)
        if start < 0:
            continue
        end = data.find(b"\n# ", start)
        end = len(data) if end < 0 else end + 1
        position = end
        block = data[start:end]
        if needles and family in needles:
            header, *lines = block.split(b"\n")
            kept = [line for line in lines if needles[family] in line]
            block = b"\n".join([header, *kept, b""])
        points = _parse_block(block.decode("utf-8", errors="replace"), series)
        if points is None or scrape.size + len(points) > _SCRAPE_SAMPLES_CAP:
            scrape.damaged.add(family)
        else:
            scrape.families[family] = points
            scrape.size += len(points)
    return scrape


def _parse_block(block: str, known: dict[str, Point]) -> list[Point] | None:
    lines = [line for line in block.split("\n")[1:] if line and line[0] != "#"]
    if len(lines) > _SAMPLE_CAP or "\ufffd" in block:
        return None
    alike = _as_before(lines, known)
    if alike is not None:
        return alike
    if not all(map(_plain, lines)):
        return None
    try:
        samples = [s for f in text_string_to_metric_families(block) for s in f.samples]
    except (ValueError, KeyError, IndexError, AttributeError):
        return None
    if len(samples) != len(lines):
        return None
    points = []
    for sample, line in zip(samples, lines, strict=True):
        value = number(sample.value)
        if value is None:
            # Not finite: to leave it out would make it zero.
            return None
        series = line.rsplit(" ", 1)[0]
        point = Point(sample.name, sample.labels, value, series)
        known.setdefault(series, point)
        points.append(point)
    return points


def _as_before(lines: list[str], known: Mapping[str, Point]) -> list[Point] | None:
    """Return the points of lines whose series were all parsed before; None for others."""
    points = []
    for line in lines:
        series, _, text = line.rpartition(" ")
        before = known.get(series)
        if before is None or "_" in text:
            return None
        try:
            value = float(text)
        except ValueError:
            return None
        if not math.isfinite(value):
            return None
        points.append(Point(before.name, before.labels, value, before.series))
    return points


def _plain(line: str) -> bool:
    if len(line) > _LINE_CAP:
        return False
    return line.count("=") <= _LABELS_CAP and line.count("\\") <= _LABELS_CAP


def _matches(have: Mapping[str, str], want: Mapping[str, str | Sequence[str]]) -> bool:
    for key, value in want.items():
        actual = have.get(key, "")
        if actual != value if isinstance(value, str) else actual not in value:
            return False
    return True


@dataclass(frozen=True)
class Histogram:
    """The observations of a histogram between two scrapes.

    ``buckets`` are (upper bound, observations in that bucket alone), +Inf last.
    """

    count: float
    total: float
    buckets: tuple[tuple[float, float], ...]

    @property
    def mean(self) -> float | None:
        """Mean of the observations, None without any."""
        return self.total / self.count if self.count > 0 else None

    def quantile(self, q: float) -> float | None:
        """Return the q-quantile, interpolated linearly within its bucket as Prometheus does.

        None when fewer than one observation lies beyond it in expectation (100 for p99): such a
        quantile would be the maximum under another name. In the open-ended bucket the highest
        finite bound is returned (see :meth:`saturated`).
        """
        if self.count * (1 - q) < 1 - 1e-9 or not self.buckets:
            return None
        rank = q * self.count
        seen = 0.0
        lower = 0.0
        for upper, inside in self.buckets:
            if seen + inside >= rank and inside > 0:
                if math.isinf(upper):
                    return lower
                return lower + (upper - lower) * (rank - seen) / inside
            seen += inside
            if not math.isinf(upper):
                lower = upper
        return lower

    def share_above(self, bound: float) -> float | None:
        """Return the share (0 to 1) of the observations above a bound, None without any.

        A bound inside a bucket: what lies in that bucket is not counted, so it is a lower bound.
        """
        if self.count <= 0:
            return None
        lower, above = 0.0, 0.0
        for upper, inside in self.buckets:
            above += inside if lower >= bound - 1e-9 else 0.0
            lower = upper
        return min(1.0, above / self.count)

    def saturated(self, q: float) -> bool:
        """Tell whether the q-quantile lies in the open-ended bucket: it is higher than told."""
        if self.count <= 0:
            return False
        finite = sum(inside for upper, inside in self.buckets if not math.isinf(upper))
        return finite < q * self.count

    def __add__(self, other: Histogram) -> Histogram:
        """Pool two histograms (different bounds: observations stay at their upper bounds)."""
        merged: dict[float, float] = dict(self.buckets)
        for upper, inside in other.buckets:
            merged[upper] = merged.get(upper, 0.0) + inside
        return Histogram(
            self.count + other.count, self.total + other.total, tuple(sorted(merged.items()))
        )


EMPTY = Histogram(0.0, 0.0, ())


def histogram(
    before: Scrape | None,
    after: Scrape,
    family: str,
    labels: Mapping[str, str | Sequence[str]],
) -> Histogram | None:
    """Return the observations between two scrapes (all since start when ``before`` is None).

    Series are pooled. A count that went backwards is a restart: then the later scrape alone
    counts. None when either scrape cannot speak of the family.
    """
    if not after.known(family) or (before is not None and not before.known(family)):
        return None
    now = _cumulative(after, family, labels)
    then = _cumulative(before, family, labels) if before is not None else {}
    result = EMPTY
    for key, (count, total, buckets) in now.items():
        old_count, old_total, old = then.get(key, (0.0, 0.0, {}))
        if old_count > count:
            old_count, old_total, old = 0.0, 0.0, {}
        if count <= old_count:
            continue
        inside: list[tuple[float, float]] = []
        previous = 0.0
        for upper in sorted(buckets):
            grown = buckets[upper] - old.get(upper, 0.0)
            inside.append((upper, max(0.0, grown - previous)))
            previous = max(previous, grown)
        result = result + Histogram(count - old_count, total - old_total, tuple(inside))
    return result


def _cumulative(
    scrape: Scrape, family: str, labels: Mapping[str, str | Sequence[str]]
) -> dict[tuple[tuple[str, str], ...], tuple[float, float, dict[float, float]]]:
    counts: dict[tuple[tuple[str, str], ...], list[float]] = {}
    buckets: dict[tuple[tuple[str, str], ...], dict[float, float]] = {}
    for point in scrape.families.get(family, ()):
        if not _matches(point.labels, labels):
            continue
        key = tuple(sorted((k, v) for k, v in point.labels.items() if k != "le"))
        entry = counts.setdefault(key, [0.0, 0.0])
        if point.name.endswith("_bucket"):
            try:
                bound = float(point.labels.get("le", "nan"))
            except ValueError:
                continue
            if bound == bound:
                buckets.setdefault(key, {})[bound] = point.value
        elif point.name.endswith("_count"):
            entry[0] = point.value
        elif point.name.endswith("_sum"):
            entry[1] = point.value
    return {key: (c[0], c[1], buckets.get(key, {})) for key, c in counts.items()}


def increase(
    before: Scrape | None,
    after: Scrape,
    family: str,
    where: Callable[[Mapping[str, str]], bool] | None = None,
) -> tuple[float, list[Point]] | None:
    """Return the growth of matching counters and the later points that grew, largest first.

    A counter that went backwards restarted: its later value is its growth. None when either
    scrape cannot speak of the family.
    """
    if not after.known(family) or (before is not None and not before.known(family)):
        return None
    old = {p.series: p.value for p in before.families.get(family, ())} if before else {}
    grown: list[tuple[float, Point]] = []
    for point in after.families.get(family, ()):
        if where is not None and not where(point.labels):
            continue
        was = old.get(point.series, 0.0)
        delta = point.value - was if point.value >= was else point.value
        if delta > 0:
            grown.append((delta, point))
    grown.sort(key=lambda g: (-g[0], g[1].series))
    return sum(g[0] for g in grown), [g[1] for g in grown]

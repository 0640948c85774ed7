"""What sets one node apart, whatever it is: every measurement of the nodes, each against its peers.

For mechanisms that no cause names. It reads all signals of nodes and knows nothing of any of them:
a node stands out in a signal when it lies beyond all others by a factor, and they agree among
themselves. One that stands out in several that no cause looks at alone is worth naming.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from wktriage.core.model import Signal, SignalSet

GAP = 3.0
"""Factor beyond all peers from which on a node stands out: healthy ones differ by up to 2."""

AGREE = 2.0
"""Factor within which the peers agree among themselves."""

FEWEST = 3
"""Nodes without which nobody can tell which of two is odd."""

SEVERAL = 5
"""Signals in which one node stands out, from which on it is named; no other in half as many. With
three faulty nodes of three, or none, up to four were seen by chance, and one waits for another."""

SMALLEST = {
    "s": 0.005,
    "ms": 5.0,
    "share": 0.05,
    "count": 10.0,
    "1/s": 1.0,
    "percent": 5.0,
    "cores": 0.2,
    "bytes": 50e6,
    "bytes/s": 1e6,
}
"""What a node's value must reach, by unit: below it a factor says nothing."""


@dataclass(frozen=True)
class Oddity:
    """A signal in which one node stands out: by what factor, and the most of its peers."""

    signal: Signal
    factor: float
    peers: float


def oddities(signal_set: SignalSet) -> list[Oddity]:
    """Return in what one node stands out above its peers, the largest factors first."""
    return sorted(_odd(signal_set), key=lambda o: (-o.factor, o.signal.name))


def node(odd: list[Oddity]) -> str | None:
    """Return the one node that stands out in several signals, None where there is none."""
    counts = Counter(str(o.signal.node) for o in odd).most_common(2)
    if not counts or counts[0][1] < SEVERAL:
        return None
    return counts[0][0] if len(counts) == 1 or counts[1][1] <= counts[0][1] / 2 else None


def _odd(signal_set: SignalSet) -> Iterator[Oddity]:
    for name in sorted(signal_set.names):
        by_node = signal_set.per_node(name)
        known = [s for s in by_node.values() if _number(s) is not None]
        if len(known) < FEWEST:
            continue
        known.sort(key=lambda s: _number(s) or 0.0)
        top, second, least = (_number(known[i]) or 0.0 for i in (-1, -2, 0))
        smallest = SMALLEST.get(known[-1].unit)
        if smallest is None or top < smallest or second > AGREE * max(least, smallest / GAP):
            continue
        factor = top / max(second, smallest / GAP)
        if factor >= GAP:
            yield Oddity(known[-1], factor, second)


def _number(signal: Signal) -> float | None:
    value = signal.value
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

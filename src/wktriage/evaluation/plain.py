"""What anyone would try first: three sigma on every series, and words of errors in the logs.

It stands beside our own score. Where it is right as often, the incidents are too easy.
"""

from __future__ import annotations

import itertools
import re
import statistics
from collections.abc import Iterator, Sequence

from wktriage.bundle.bundle import Bundle
from wktriage.bundle.readers import health, status, usage
from wktriage.bundle.readers.usage import SIM

SIGMAS = 3.0
WORDS = re.compile(rb"(?i)error|timeout|fail|panic|refused")
_CLASSES = {
    "failed sends": "send_path",
    "failed receives": "delivery_path",
    "sent": "server_hot_path",
    "CPU": "local_capacity",
    "CPU of the simulator": "client_bottleneck",
    "health": "distributed_lag",
}
_LOG_BYTES = 2_000_000

Series = tuple[str, str, list[float]]
"""What it is of, the node (empty: none), and its values in time order."""


def judge(bundle: Bundle) -> tuple[str, tuple[str, ...]]:
    """Return category and nodes: those of the series that leaves its own beginning furthest."""
    best = max(_series(bundle), key=lambda s: _sigmas(s[2]), default=None)
    words = _words(bundle)
    if best is None or _sigmas(best[2]) <= SIGMAS:
        return ("send_path", _loudest(words)) if sum(words.values()) else ("healthy", ())
    return _CLASSES[best[0]], (best[1],) if best[1] else _loudest(words)


def _series(bundle: Bundle) -> Iterator[Series]:
    samples = status.samples(bundle)
    for what, field in (("failed sends", "send_errors"), ("failed receives", "recv_errors")):
        yield what, "", _steps([getattr(s, field) for s in samples if s.state is not None])
    yield "sent", "", _steps([s.sent for s in samples if s.state is not None])
    for name, used in usage.read(bundle, bundle.nodes).items():
        cpu = [s.cpu_cores for s in used.samples if s.cpu_cores is not None]
        yield ("CPU of the simulator", "", cpu) if name == SIM else ("CPU", name, cpu)
    for name, probes in health.read(bundle).items():
        yield "health", name, [p.took for p in probes if p.took is not None]


def _steps(counts: Sequence[float]) -> list[float]:
    return [b - a for a, b in itertools.pairwise(counts)]


def _sigmas(values: Sequence[float]) -> float:
    """Return how many standard deviations of its first third a series leaves it at most."""
    third = len(values) // 3
    if third < 3:
        return 0.0
    middle, spread = statistics.fmean(values[:third]), statistics.pstdev(values[:third])
    furthest = max(abs(v - middle) for v in values[third:])
    return furthest / spread if spread else float(furthest > 0) * 2 * SIGMAS


def _words(bundle: Bundle) -> dict[str, int]:
    counts = {}
    for node in bundle.nodes:
        files = [f for f in bundle.files if f.startswith("logs/") and node in f]
        counts[node] = sum(
            len(WORDS.findall(bundle.read_bytes(f, _LOG_BYTES) or b"")) for f in files
        )
    return counts


def _loudest(words: dict[str, int]) -> tuple[str, ...]:
    """Return the node with the most words of errors, where it stands out."""
    if len(words) < 2:
        return ()
    name = max(words, key=lambda n: words[n])
    others = [count for node, count in words.items() if node != name]
    return (name,) if words[name] > 2 * statistics.fmean(others) + 1 else ()

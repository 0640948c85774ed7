"""The host's own A/A noise: how far apart two equal sides of an experiment come out here.

Runs of the same inputs are kept per fingerprint, each of its own stack instance, over days: four
re-runs of one instance can "confirm" differences of several percent that are none.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from wktriage.core.errors import UsageError

NOT_MEASURED = "Noise not measured"
QUANTILE = 0.95
DRAWS = 2000
FEWEST_DAYS = 2


class NoiseRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One A/A run: the bundle it comes from, its stack instance, its day (ISO), values by signal.

    A run without a stack instance of its own says which one it shares. ``seconds`` is the length of
    its window: shorter ones scatter more.
    """

    bundle: str
    instance: str
    day: str
    values: dict[str, float | None]
    seconds: float | None = None


class NoiseRuns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All A/A runs of one fingerprint, in the order in which they ran."""

    key: str
    runs: tuple[NoiseRun, ...]
    schema_version: int = 1


class Floor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far apart two equal sides come out in 95 of 100 comparisons.

    ``size`` is a share of the value when ``relative``, else in the signal's unit; None when there
    are too few runs to tell, as ``remark`` then says.
    """

    size: float | None
    relative: bool
    runs: int
    instances: int
    days: int
    remark: str


def key_of(inputs: Mapping[str, Any]) -> str:
    """Return the key under which A/A runs of a fingerprint's ``inputs`` are kept."""
    canonical = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def load(path: Path) -> NoiseRuns:
    """Read a file of A/A runs. Raises UsageError naming it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=NoiseRuns)
    except (OSError, msgspec.DecodeError) as exc:
        raise UsageError(f"{path}: no file of A/A runs: {exc}") from exc


def floor(runs: Sequence[NoiseRun], signal: str, repeats: int, *, relative: bool) -> Floor:
    """Return the noise floor of a signal for comparisons of ``repeats`` runs a side.

    It is the 95 % quantile of the size of the Hodges-Lehmann shift between two sides that are drawn
    from the A/A runs without replacement (2000 draws, fixed seed).
    """
    known = [(run, run.values[signal]) for run in runs if run.values.get(signal) is not None]
    values = np.asarray([value for _, value in known], dtype=np.float64)
    instances = len({run.instance for run, _ in known})
    days = len({run.day for run, _ in known})
    if instances < 2 * repeats:
        are = "is" if instances == 1 else "are"
        remark = (
            f"{NOT_MEASURED}: it takes {2 * repeats} equal runs on stacks of their own, and there "
            f"{are} {instances or 'none'}."
        )
        return Floor(None, relative, len(known), instances, days, remark)
    if relative and np.any(values <= 0):
        remark = f"{NOT_MEASURED}: {signal} is zero in some equal runs, so that it has no share."
        return Floor(None, relative, len(known), instances, days, remark)
    random = np.random.default_rng(0)
    scaled = np.log(values) if relative else values
    drawn = random.permuted(np.tile(scaled, (DRAWS, 1)), axis=1)[:, : 2 * repeats]
    pairs = drawn[:, :repeats, None] - drawn[:, None, repeats:]
    sizes = np.abs(np.median(pairs.reshape(DRAWS, -1), axis=1))
    size = float(np.quantile(sizes, QUANTILE))
    size = math.expm1(size) if relative else size
    remark = f"Noise measured in {instances} equal runs, each on its own stack, on {_days(days)}."
    if days < FEWEST_DAYS:
        remark += " What changes from day to day is not in it."
    return Floor(size, relative, len(known), instances, days, remark)


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"

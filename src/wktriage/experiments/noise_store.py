"""A/A runs of this host, kept per fingerprint beside the cases: control runs of experiments."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from wktriage.bundle.bundle import Bundle
from wktriage.core import private_files
from wktriage.core.model import SignalSet
from wktriage.core.times import iso
from wktriage.experiments import expectations, noise
from wktriage.experiments.compare import fingerprint_of
from wktriage.experiments.noise import Floor, NoiseRun, NoiseRuns
from wktriage.experiments.registration import Registration
from wktriage.judging import signals

DIRECTORY = ".noise"
LENGTH = 0.1
"""Windows that differ by less than this share are of one length: none ends to the second."""


def path(cases: Path, key: str) -> Path:
    """Return the file of the A/A runs with that key."""
    return cases / DIRECTORY / f"{key}.json"


def key_of_bundle(bundle: Bundle) -> str:
    """Return the key of a bundle's inputs. Raises UsageError without a fingerprint."""
    return noise.key_of(fingerprint_of(bundle)["inputs"])


def floors(
    file: Path, made: Registration, repeats: int, *, without: Collection[str]
) -> dict[str, Floor]:
    """Return the noise floor of each signal that an experiment expects to move.

    ``without`` are the experiment's own bundles: a run is no witness to its own noise. Nor is one
    with a window of another length.
    """
    known = noise.load(file).runs if file.is_file() else ()
    runs = [run for run in known if run.bundle not in without and _as_long(run, made.duration)]
    catalogue = signals.catalogue()
    expected = expectations.parse(made.expected, "expected observation", catalogue)
    named = expectations.effects(expected, catalogue, "expected observation")
    relative = made.min_effect.relative
    return {
        effect.signal: noise.floor(runs, effect.signal, repeats, relative=relative)
        for effect in named
    }


def _as_long(run: NoiseRun, seconds: int | None) -> bool:
    if run.seconds is None or seconds is None:
        return True
    return abs(run.seconds - seconds) <= LENGTH * seconds


def add(file: Path, key: str, runs: Sequence[NoiseRun]) -> None:
    """Add runs of one set of inputs, each of a stack instance of its own."""
    known = noise.load(file) if file.is_file() else NoiseRuns(key, ())
    there = {run.bundle for run in known.runs}
    fresh = tuple(run for run in runs if run.bundle not in there)
    if not fresh:
        return
    private_files.directory(file.parent)
    document = NoiseRuns(key, (*known.runs, *fresh))
    encoded = msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=1)
    private_files.write(file, encoded + b"\n")


def noise_run(bundle: Bundle, signal_set: SignalSet) -> NoiseRun:
    """Return a run as it is kept: its numbers, and the day on which it ran."""
    values: dict[str, float | None] = {
        signal.name: float(signal.value)
        for signal in signal_set
        if signal.node is None
        and isinstance(signal.value, int | float)
        and not isinstance(signal.value, bool)
    }
    if bundle.window is None:
        return NoiseRun(bundle.bundle_id, bundle.bundle_id, "", values)
    start, end = bundle.window
    day = str(iso(start))[:10]
    return NoiseRun(bundle.bundle_id, bundle.bundle_id, day, values, round(end - start, 1))

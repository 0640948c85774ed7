"""Is the rule honest here? A/A comparisons resampled from real runs, and a planted effect.

Each comparison takes runs of different stack instances, gives them sides in the order that a seed
draws, and judges them as an experiment would be. Its noise floor comes from the runs that it does
not use, where enough are left.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec
from scipy import stats

from wktriage.bundle.bundle import Bundle
from wktriage.core.errors import UsageError
from wktriage.experiments import compare, design, noise, noise_store
from wktriage.experiments.effects import Direction, MinEffect, Outcome
from wktriage.experiments.noise import NoiseRun, NoiseRuns
from wktriage.experiments.statistics import compare_signal
from wktriage.judging import signals

SCHEMES = ("drawn", "in time")
"""Runs drawn at random, as if every experiment had its own day; or neighbours in time, as in one
experiment."""


@dataclass(frozen=True)
class Plan:
    """How A/A comparisons are made. ``planted`` multiplies the treatment's values (1.1: +10 %)."""

    signal: str
    repeats: int
    min_effect: MinEffect
    comparisons: int
    seed: int = 0
    alpha: float = 0.05
    planted: float = 1.0
    scheme: str = "drawn"


@dataclass(frozen=True)
class Share:
    """How many comparisons were supported, with the exact 95 % interval of their share."""

    supported: int
    refuted: int
    comparisons: int

    @property
    def share(self) -> float:
        """Supported ones as a share of all."""
        return self.supported / self.comparisons

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper and Pearson's interval; the comparisons share runs, so that it is too narrow."""
        exact = stats.binomtest(self.supported, self.comparisons).proportion_ci(0.95, "exact")
        return float(exact.low), float(exact.high)


def runs_of(bundles: Iterable[Bundle]) -> NoiseRuns:
    """Return the per-run values of bundles that all have the same inputs, in order of time.

    Each is taken for a stack instance of its own, which a run by this harness is. Raises UsageError
    when inputs differ, or a bundle has no window.
    """
    made: list[tuple[float, NoiseRun]] = []
    keys = set()
    for bundle in bundles:
        keys.add(noise.key_of(compare.fingerprint_of(bundle)["inputs"]))
        if bundle.window is None:
            raise UsageError(f"{bundle.root}: has no measured window")
        made.append((bundle.window[0], noise_store.noise_run(bundle, signals.compute(bundle))))
    if len(keys) != 1:
        raise UsageError(
            f"the bundles have {len(keys)} different sets of inputs: A/A runs have one"
        )
    ordered = sorted(made, key=lambda pair: pair[0])
    return NoiseRuns(keys.pop(), tuple(run for _, run in ordered))


def share(runs: Sequence[NoiseRun], plan: Plan) -> Share:
    """Return in how many comparisons an effect was supported.

    Both directions count without a planted effect, only its own with one. Raises UsageError when
    there are too few runs of different stack instances.
    """
    usable = _one_an_instance(runs, plan.signal)
    needed = 2 * plan.repeats
    if len(usable) < needed:
        raise UsageError(
            f"{plan.signal}: {len(usable)} stack instances tell it, one comparison takes {needed}"
        )
    draw = random.Random(plan.seed)  # noqa: S311 (draws that can be made again, no secrets)
    way = Direction.EITHER
    if plan.planted != 1.0:
        way = Direction.INCREASE if plan.planted > 1 else Direction.DECREASE
    outcomes = [_compared(usable, plan, draw, way) for _ in range(plan.comparisons)]
    return Share(outcomes.count(Outcome.SUPPORTED), outcomes.count(Outcome.REFUTED), len(outcomes))


def _compared(
    usable: Sequence[NoiseRun], plan: Plan, draw: random.Random, way: Direction
) -> Outcome:
    needed = 2 * plan.repeats
    if plan.scheme == "in time":
        start = draw.randrange(len(usable) - needed + 1)
        chosen = list(range(start, start + needed))
    else:
        chosen = draw.sample(range(len(usable)), needed)
    sides = design.order(draw.getrandbits(62), plan.repeats)
    values: dict[design.Side, list[float | None]] = {side: [] for side in design.Side}
    for place, side in zip(chosen, sides, strict=True):
        value = usable[place].values[plan.signal]
        factor = plan.planted if side is design.Side.TREATMENT else 1.0
        values[side].append(None if value is None else value * factor)
    rest = [run for place, run in enumerate(usable) if place not in chosen]
    floor = noise.floor(rest, plan.signal, plan.repeats, relative=plan.min_effect.relative)
    outcome = compare_signal(
        plan.signal,
        values[design.Side.CONTROL],
        values[design.Side.TREATMENT],
        way,
        plan.min_effect,
        alpha=plan.alpha,
        noise=floor,
        forecast=False,
    )
    return outcome.outcome


def _one_an_instance(runs: Sequence[NoiseRun], signal: str) -> list[NoiseRun]:
    """Return the runs that tell the signal, the first of each stack instance."""
    first: dict[str, NoiseRun] = {}
    for run in runs:
        if run.values.get(signal) is not None:
            first.setdefault(run.instance, run)
    return list(first.values())


def synthetic(sigma: float, count: int, seed: int = 0) -> NoiseRuns:
    """Return made-up runs whose values scatter by ``sigma`` (of their logarithm), ten a day."""
    draw = random.Random(seed)  # noqa: S311 (draws that can be made again, no secrets)
    values = [draw.lognormvariate(0, sigma) for _ in range(count)]
    runs = tuple(
        NoiseRun(f"run-{i}", f"stack-{i}", f"day-{i // 10}", {"value": value})
        for i, value in enumerate(values)
    )
    return NoiseRuns(f"synthetic-{sigma:g}", runs)


def planted(plan: Plan, factor: float) -> Plan:
    """Return the same plan with an effect planted into every treatment run."""
    return replace(plan, planted=factor)


def dump(runs: NoiseRuns) -> bytes:
    """Return the file form of A/A runs, as :func:`wktriage.experiments.noise.load` reads it."""
    return msgspec.json.format(msgspec.json.encode(runs, order="sorted"), indent=2) + b"\n"

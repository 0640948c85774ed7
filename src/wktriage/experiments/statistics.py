"""Control against treatment, one signal at a time.

What is compared is one value a run, never single messages: runs are what was repeated. A relative
``min_effect`` is judged on logarithms (a factor), an absolute one in the signal's unit. The exact
interval of the Hodges-Lehmann shift decides:

- *supported* when it lies wholly beyond ``min_effect``, and beyond the host's own A/A noise;
- *refuted* when it lies wholly below ``min_effect``;
- else *inconclusive*, with how many more pairs would decide.

Error counters are not averaged: runs with errors are counted, with Fisher's exact test. It too says
how many more pairs would decide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from wktriage.experiments import looks, power, ranks
from wktriage.experiments.effects import Direction, MinEffect, Outcome
from wktriage.experiments.noise import NOT_MEASURED, Floor
from wktriage.experiments.outcomes import CounterOutcome, SignalOutcome
from wktriage.experiments.power import Counts


@dataclass(frozen=True)
class _Scale:
    """A monotone scale, and the thresholds on it on both sides of no shift."""

    logarithmic: bool
    unit: float
    least: float
    beyond: float
    lowest: float = -math.inf

    def to(self, values: Sequence[float]) -> list[float]:
        """Return values on the scale."""
        return [math.log(v) for v in values] if self.logarithmic else list(values)

    def back(self, moved: float) -> float | None:
        """Return a shift as it is shown; None for an infinite one."""
        if not math.isfinite(moved):
            return None
        return math.expm1(moved) if self.logarithmic else max(moved / self.unit, self.lowest)

    def up(self, size: float) -> float:
        """Return the shift that an increase by ``size`` is."""
        return math.log1p(size) if self.logarithmic else size * self.unit

    def down(self, size: float) -> float:
        """Return the (negative) shift that a decrease by ``size`` is."""
        if self.logarithmic:
            return math.log1p(-size) if size < 1 else -math.inf
        return -size * self.unit

    def supports(
        self, low: NDArray[np.float64], high: NDArray[np.float64], direction: Direction
    ) -> NDArray[np.bool_]:
        """Tell which intervals lie wholly beyond."""
        up, down = low > self.up(self.beyond), high < self.down(self.beyond)
        return {Direction.INCREASE: up, Direction.DECREASE: down}.get(direction, up | down)

    def refutes(
        self, low: NDArray[np.float64], high: NDArray[np.float64], direction: Direction
    ) -> NDArray[np.bool_]:
        """Tell which intervals lie wholly below."""
        up, down = high < self.up(self.least), low > self.down(self.least)
        return {Direction.INCREASE: up, Direction.DECREASE: down}.get(direction, up & down)


def compare_signal(
    signal: str,
    control: Sequence[float | None],
    treatment: Sequence[float | None],
    direction: Direction,
    min_effect: MinEffect,
    *,
    alpha: float = 0.05,
    spent: Sequence[float] = (),
    noise: Floor | None = None,
    forecast: bool = True,
) -> SignalOutcome:
    """Judge one signal from its values in each run (None: the run does not tell it).

    ``spent`` are the levels that earlier looks at this experiment have spent of ``alpha``.
    ``noise`` is the host's own, of the same kind as ``min_effect`` (a share, or in the signal's
    unit); None where nobody looked for it. ``forecast``: work out how many more pairs would decide.
    """
    noise_floor = None if noise is None else noise.size
    left = tuple(v for v in control if v is not None and math.isfinite(v))
    right = tuple(v for v in treatment if v is not None and math.isfinite(v))
    missing = len(control) + len(treatment) - len(left) - len(right)
    base = SignalOutcome(
        signal, direction, Outcome.INCONCLUSIVE, "", left, right, min_effect.relative,
        min_effect=min_effect.size, noise_floor=noise_floor, missing=missing,
        noise=f"{NOT_MEASURED}." if noise is None else noise.remark,
        beyond=max(min_effect.size, noise_floor or 0.0),
    )  # fmt: skip
    if min(len(left), len(right)) < 2:
        fewest = looks.fewest_repeats(looks.budget(alpha, spent))
        why = f"{signal} is known for {len(left)} control and {len(right)} treatment runs: too few."
        return _with(base, why=why, more_pairs=fewest - min(len(left), len(right)))
    scale = _scale(left, right, base)
    if scale is None:
        why = (
            f"The control's {signal} is zero, so that no share of it can be told: "
            "give min_effect in the signal's unit."
        )
        return _with(base, why=why)
    return _judge(base, scale, alpha, spent, forecast)


def _judge(
    base: SignalOutcome, scale: _Scale, alpha: float, spent: Sequence[float], forecast: bool
) -> SignalOutcome:
    left, right = scale.to(base.control), scale.to(base.treatment)
    allowed = looks.budget(alpha, spent)
    interval = ranks.interval(left, right, allowed)
    low, high = np.asarray([interval.low]), np.asarray([interval.high])
    seen = _with(
        base,
        shift=scale.back(ranks.shift(left, right)),
        low=scale.back(interval.low),
        high=scale.back(interval.high),
        level=interval.level,
        p=ranks.p_value(left, right),
    )
    if bool(scale.supports(low, high, base.direction)[0]):
        return _with(seen, outcome=Outcome.SUPPORTED, why=_supported(seen))
    if bool(scale.refutes(low, high, base.direction)[0]):
        return _with(seen, outcome=Outcome.REFUTED, why=_refuted(seen))
    if not forecast:
        return _with(seen, why=_undecided(seen, allowed))
    pairs = power.more_pairs(
        left,
        right,
        looks.budget(alpha, [*spent, interval.level]),
        lambda lows, highs: (
            scale.supports(lows, highs, base.direction) | scale.refutes(lows, highs, base.direction)
        ),
    )
    return _with(seen, why=f"{_undecided(seen, allowed)} {_more_measured(pairs)}", more_pairs=pairs)


def _scale(
    control: Sequence[float], treatment: Sequence[float], base: SignalOutcome
) -> _Scale | None:
    if not base.relative:
        return _Scale(False, 1.0, base.min_effect, base.beyond)
    if min(*control, *treatment) > 0:
        return _Scale(True, 1.0, base.min_effect, base.beyond)
    # Zero has no logarithm: differences, as shares of the control's median.
    centre = median(control)
    if centre <= 0:
        return None
    # What is never negative cannot fall by more than all of it, however the control scatters.
    lowest = -1.0 if min(*control, *treatment) >= 0 else -math.inf
    return _Scale(False, centre, base.min_effect, base.beyond, lowest)


def _with(before: SignalOutcome, **changes: object) -> SignalOutcome:
    changed: SignalOutcome = msgspec.structs.replace(before, **changes)
    return changed


def _amount(value: float | None, relative: bool, *, sign: bool = True) -> str:
    if value is None:
        return "any size"
    plus = "+" if sign else ""
    return f"{value * 100:{plus}.1f} %" if relative else f"{value:{plus}.4g}"


def _span(seen: SignalOutcome) -> str:
    if seen.low is None or seen.high is None:
        return "nothing"
    return f"{_amount(seen.low, seen.relative)} to {_amount(seen.high, seen.relative)}"


def _moved(seen: SignalOutcome) -> str:
    return (
        f"{seen.signal} moved by {_amount(seen.shift, seen.relative)} "
        f"({(1 - seen.level) * 100:.1f} % interval {_span(seen)})"
    )


def _supported(seen: SignalOutcome) -> str:
    least = _amount(seen.min_effect, seen.relative, sign=False)
    text = f"{_moved(seen)}, wholly beyond the smallest effect that matters ({least})"
    if seen.noise_floor is None:
        return f"{text}. {seen.noise}"
    return (
        f"{text} and the host's own noise ({_amount(seen.noise_floor, seen.relative, sign=False)})."
    )


def _refuted(seen: SignalOutcome) -> str:
    least = _amount(seen.min_effect, seen.relative, sign=False)
    text = f"{_moved(seen)}, wholly below the smallest effect that matters ({least})."
    against = {Direction.INCREASE: seen.high, Direction.DECREASE: seen.low}.get(seen.direction)
    if against is not None and against * (1 if seen.direction is Direction.INCREASE else -1) < 0:
        text += " It went the other way."
    return text if seen.noise_floor is not None else f"{text} {seen.noise}"


def _undecided(seen: SignalOutcome, allowed: float) -> str:
    sides = len(seen.control), len(seen.treatment)
    if seen.level == 0.0:
        least = 2 / math.comb(sum(sides), sides[0])
        text = (
            f"{sides[0]} control and {sides[1]} treatment runs cannot decide anything: the "
            f"smallest p that they can reach is {least:.2g}, and this look may spend "
            f"{allowed:.2g}. It takes at least {looks.fewest_repeats(allowed)} runs a side."
        )
    else:
        least_that_matters = _amount(seen.min_effect, seen.relative, sign=False)
        text = (
            f"{_moved(seen)}: neither wholly beyond nor wholly below the smallest effect that "
            f"matters ({least_that_matters})"
        )
        if seen.noise_floor is not None and seen.noise_floor > seen.min_effect:
            noise = _amount(seen.noise_floor, seen.relative, sign=False)
            text += f" and the host's own noise ({noise})"
        text += "."
    return text if seen.noise_floor is not None else f"{text} {seen.noise}"


def _more_measured(pairs: int | None) -> str:
    if pairs is None:
        return (
            f"At the spread seen, {power.CANDIDATES[-1]} more pairs would not decide either: the "
            "effect is too close to the smallest one that matters, or the signal too noisy."
        )
    many = "pair" if pairs == 1 else "pairs"
    return f"At the spread seen, {pairs} more {many} would decide."


# -- counters, and percentiles --------------------------------------------------------------------


def compare_counter(
    what: str,
    control: Sequence[int],
    treatment: Sequence[int],
    *,
    alpha: float = 0.05,
    spent: Sequence[float] = (),
    expect_gone: bool = True,
    forecast: bool = True,
) -> CounterOutcome:
    """Compare in how many runs of each side a counter is above zero.

    ``expect_gone``: the treatment was expected to bring it to zero (else: to raise it above zero).
    *Supported* when every treatment run came out as expected and Fisher's exact test says so at the
    level left; *refuted* when not one did and there are runs enough to have seen it. ``forecast``:
    work out how many more pairs would decide.
    """
    allowed = looks.budget(alpha, spent)
    hit, struck = sum(c > 0 for c in control), sum(c > 0 for c in treatment)
    left, right = (hit, len(control)), (struck, len(treatment))
    outcome = _counted(left, right, allowed, expect_gone)
    appeared, went = hit == 0 and struck > 0, hit > 0 and struck == 0
    seen = f"{what} above zero" if expect_gone else f"{what} held"
    text = (
        f"{seen} in {hit} of {len(control)} control runs{_sum(control)} and in {struck} of "
        f"{len(treatment)} treatment runs{_sum(treatment)}."
    )
    if appeared and expect_gone:
        text += " The control had none: classify these before anything else."
    pairs = None
    if forecast and outcome is Outcome.INCONCLUSIVE:
        pairs, remark = _more_counted(left, right, alpha, spent, expect_gone)
        text += f" {remark}"
    return CounterOutcome(
        what, text, tuple(control), tuple(treatment), outcome, _fisher(left, right), appeared, went,
        pairs,
    )  # fmt: skip


def _counted(left: Counts, right: Counts, allowed: float, expect_gone: bool) -> Outcome:
    """Return what the counts of both sides (runs that show it, all runs) say at a level."""
    struck, treatments = right
    if not left[1] or not treatments:
        return Outcome.INCONCLUSIVE
    as_expected = treatments - struck if expect_gone else struck
    if as_expected == treatments and (_fisher(left, right) or 0.0) <= allowed:
        return Outcome.SUPPORTED
    if as_expected == 0 and treatments >= looks.fewest_repeats(allowed):
        return Outcome.REFUTED
    return Outcome.INCONCLUSIVE


@cache
def _fisher(left: Counts, right: Counts) -> float | None:
    """Return the two-sided p of Fisher's exact test; None when a side has no run."""
    if not left[1] or not right[1]:
        return None
    table = [[shown, runs - shown] for shown, runs in (left, right)]
    return float(stats.fisher_exact(table).pvalue)


def _more_counted(
    left: Counts, right: Counts, alpha: float, spent: Sequence[float], expect_gone: bool
) -> tuple[int | None, str]:
    """Return how many more pairs would decide what was counted, and the sentence that says so."""
    struck, treatments = right
    allowed = looks.budget(alpha, spent)
    if not left[1] or not treatments:
        fewest = looks.fewest_repeats(allowed)
        return fewest - min(left[1], treatments), "These are too few runs to decide."
    if 0 < struck < treatments:
        failed = struck if expect_gone else treatments - struck
        return None, (
            f"More pairs cannot decide it: every treatment run has to be as expected, and {failed} "
            f"of {treatments} {'was' if failed == 1 else 'were'} not."
        )
    level = ranks.trim(left[1], treatments, allowed)[1]
    later = looks.budget(alpha, [*spent, level])
    pairs = power.more_counted_pairs(
        left,
        right,
        lambda one, other: _counted(one, other, later, expect_gone) is not Outcome.INCONCLUSIVE,
    )
    if pairs is None:
        return None, (
            f"At these shares, {power.CANDIDATES[-1]} more pairs would not decide either: the two "
            "sides differ too little."
        )
    return pairs, f"At these shares, {pairs} more {'pair' if pairs == 1 else 'pairs'} would decide."


def _sum(counts: Sequence[int]) -> str:
    return f" ({sum(counts)} in all)" if any(c > 1 for c in counts) else ""


def fewest_samples(percentile: float, confidence: float = 0.95) -> int:
    """Return how many samples a percentile (0.99 is p99) needs to be worth a number.

    The largest of n samples lies above it with probability 1 - q^n: below that count there is no
    upper bound of it that needs no assumption on the distribution (Wilks 1941, Annals of
    Mathematical Statistics 12). p95 takes 59, p99 takes 299.
    """
    return math.ceil(math.log(1 - confidence) / math.log(percentile))


def percentile_supported(samples: int, percentile: float) -> bool:
    """Tell whether so many samples support that percentile."""
    return samples >= fewest_samples(percentile)

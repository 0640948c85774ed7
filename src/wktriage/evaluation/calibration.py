"""Fit the parameters of confidence, and say how they do on mechanisms that they have not seen.

Every labelled run is judged whole, again with each source of evidence taken away, and again without
the cause that explained it, as if nobody had listed that mechanism: verdicts go wrong where
evidence is missing and where the mechanism is new. The three weigh alike. Runs of one mechanism
(what the fault is called) are left out together; the parameters fitted to all others say how sure
the verdicts on them are. Abstentions have no confidence to calibrate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from wktriage.core.categories import ABSTAIN
from wktriage.core.model import Signal, SignalSet
from wktriage.evaluation import score
from wktriage.judging import confidence, signals
from wktriage.judging.causes import UNLISTED
from wktriage.judging.decision import Decision, decide
from wktriage.request import scenarios

RIDGE = 0.5
"""Pull towards zero of each parameter but the base: few errors must not make a parameter large."""

STEPS = 300
RATE = 4.0


@dataclass(frozen=True)
class Sample:
    """One verdict: the mechanism of its run, the figures of its confidence, and if it was right.

    ``weight`` makes whole runs, runs with less evidence and new mechanisms weigh alike.
    """

    mechanism: str
    figures: Mapping[str, float]
    right: bool
    weight: float = 1.0


def samples(case: score.Case, signal_set: SignalSet) -> Iterator[Sample]:
    """Yield the verdict on a run, those with less evidence, and that without its cause."""
    success = scenarios.load(scenarios.CUSTOM).success
    whole = decide(signal_set, success)
    yield from _sample(case, whole, 1.0)
    for source in sources():
        yield from _sample(case, decide(without(signal_set, source), success), 1 / len(sources()))
    if (unlisted := without_cause(whole, signal_set)) is not None:
        yield from _sample(case, unlisted, 1.0)


def without_cause(whole: Decision, signal_set: SignalSet) -> Decision | None:
    """Return the verdict as if nobody had listed the cause that won; None where none did."""
    candidate = whole.winner.candidate if whole.winner is not None else None
    if candidate is None or candidate.cause.element == UNLISTED:
        return None
    success = scenarios.load(scenarios.CUSTOM).success
    return decide(signal_set, success, left_out=(candidate.cause.element,))


def _sample(case: score.Case, decision: Decision, weight: float) -> Iterator[Sample]:
    if decision.category == ABSTAIN:
        return
    figures = confidence.figures(decision, 0.0)
    yield Sample(case.mechanism, figures, right(case, decision), weight)


def right(case: score.Case, decision: Decision) -> bool:
    """Tell whether category and nodes are those of the label."""
    nodes = decision.winner.nodes if decision.winner is not None else ()
    accepted = case.accepts(decision.category)
    return accepted and (not case.nodes or set(nodes) == set(case.nodes))


def sources() -> list[str]:
    """Return the kinds of evidence that signals come from."""
    named = {str(entry["source"]).split(",")[0].strip() for entry in signals.catalogue().values()}
    return sorted(named)


def without(signal_set: SignalSet, source: str) -> SignalSet:
    """Return the signals as if what comes from a source were not recorded."""
    made = SignalSet(names=signals.catalogue(), nodes=signal_set.nodes)
    for signal in signal_set:
        gone = str(signals.catalogue()[signal.name]["source"]).startswith(source)
        made.add(
            Signal(signal.name, signal.unit, None, signal.node, why_unknown="left out")
            if gone
            else signal
        )
    return made


def fit(chosen: Sequence[Sample]) -> tuple[float, dict[str, float]]:
    """Return base and weights of a logistic regression: gradient descent with a ridge.

    The weights are what is subtracted, and none is below zero: nothing that speaks against a
    verdict may make it surer.
    """
    base, weights = 2.0, dict.fromkeys(confidence.FITTED, 0.0)
    size = sum(s.weight for s in chosen) or 1.0
    for _ in range(STEPS):
        slope, slopes = 0.0, dict.fromkeys(weights, 0.0)
        for sample in chosen:
            guess = confidence.probability(base, weights, sample.figures)
            error = sample.weight * (guess - sample.right)
            slope += error
            for name in weights:
                slopes[name] -= error * sample.figures[name]
        base -= RATE * slope / size
        for name, value in weights.items():
            weights[name] = max(0.0, value - RATE * (slopes[name] + RIDGE * value) / size)
    return base, weights


def held_out(chosen: Sequence[Sample]) -> list[tuple[float, Sample]]:
    """Return the confidence in each verdict, fitted without all runs of its own mechanism."""
    predicted = []
    for mechanism in sorted({s.mechanism for s in chosen}):
        base, weights = fit([s for s in chosen if s.mechanism != mechanism])
        predicted += [
            (confidence.probability(base, weights, s.figures), s)
            for s in chosen
            if s.mechanism == mechanism
        ]
    return predicted


def report(chosen: Sequence[Sample]) -> str:
    """Return the fitted parameters, and how well they do on mechanisms that they have not seen."""
    base, weights = fit(chosen)
    predicted = held_out(chosen)
    total = sum(s.weight for s in chosen)
    share = sum(s.weight for s in chosen if s.right) / total
    loss = sum(s.weight * (p - s.right) ** 2 for p, s in predicted) / total
    # Ten thousand of a unit each: the figures of score.py take no weights.
    units = [(p, s.right) for p, s in predicted for _ in range(round(100 * s.weight))]
    lines = [f"BASE = {base:.2f}", *(f"{name} = {value:.2f}" for name, value in weights.items())]
    lines += [
        f"verdicts: {len(chosen)}, wrong: {sum(not s.right for s in chosen)}",
        f"Brier, one mechanism left out: {loss:.4f}",
        f"Brier of the best constant: {share * (1 - share):.4f}",
        f"calibration error, one mechanism left out: {score.expected_calibration_error(units):.4f}",
    ]
    return "\n".join(lines)

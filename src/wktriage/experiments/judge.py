"""What an experiment says: each signal, the expectation run by run, errors, and all together.

All parts of an expectation must be supported for the whole to be, so that looking at several
signals gives no further chance of a wrong *supported* (an intersection-union test, Berger 1982,
Technometrics 24): each may be judged at the full level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from wktriage.core.model import SignalSet, Tri
from wktriage.experiments import expectations, looks, ranks, statistics
from wktriage.experiments.design import Side
from wktriage.experiments.effects import Outcome
from wktriage.experiments.noise import Floor
from wktriage.experiments.outcomes import CounterOutcome, ExperimentOutcome, Seen, SignalOutcome
from wktriage.experiments.registration import Registration
from wktriage.judging import signals
from wktriage.judging.predicates import Catalogue, Predicate

_NO_MORE = (
    "More pairs cannot decide it: every treatment run has to be as expected. Find out what sets "
    "the others apart, and register that."
)


@dataclass(frozen=True)
class JudgedRun:
    """One run that counts: its side and its signals."""

    side: Side
    signals: SignalSet


def judge(
    registration: Registration,
    runs: Sequence[JudgedRun],
    *,
    spent: Sequence[float] = (),
    noise: Mapping[str, Floor] | None = None,
    catalogue: Catalogue | None = None,
) -> ExperimentOutcome:
    """Judge the runs that count.

    ``noise`` is the host's own per signal, of the same kind as the registered ``min_effect``.
    ``spent`` are the levels of earlier looks.
    """
    known = signals.catalogue() if catalogue is None else catalogue
    control = [run.signals for run in runs if run.side is Side.CONTROL]
    treatment = [run.signals for run in runs if run.side is Side.TREATMENT]
    expected = expectations.parse(registration.expected, "expected observation", known)
    falsified = expectations.parse(registration.falsified_if, "falsification test", known)
    alpha = registration.alpha
    measured = tuple(
        statistics.compare_signal(
            effect.signal,
            [_number(run, effect.signal) for run in control],
            [_number(run, effect.signal) for run in treatment],
            effect.direction,
            registration.min_effect,
            alpha=alpha,
            spent=spent,
            noise=(noise or {}).get(effect.signal),
        )
        for effect in expectations.effects(expected, known, "expected observation")
    )
    facts = tuple(_fact(part, control, treatment, alpha, spent) for part in _facts(expected, known))
    judged = ExperimentOutcome(
        registration_sha256=registration.sha256(),
        outcome=Outcome.INCONCLUSIVE,
        why="",
        signals=measured,
        facts=facts,
        errors=_errors(known, control, treatment, alpha, spent),
        expected=_seen(expected, treatment),
        expected_in_control=_seen(expected, control),
        falsified=_seen(falsified, treatment),
        level=max(
            [s.level for s in measured]
            + [ranks.trim(len(control), len(treatment), looks.budget(alpha, spent))[1]]
        ),
    )
    fewest = looks.fewest_repeats(looks.budget(alpha, spent))
    outcome, why = _overall(registration, judged, fewest)
    more = _more(judged, fewest, len(control), len(treatment))
    undecided = outcome is Outcome.INCONCLUSIVE
    decided: ExperimentOutcome = msgspec.structs.replace(
        judged, outcome=outcome, why=why, more_pairs=more if undecided else None
    )
    return decided


def _overall(
    registration: Registration, judged: ExperimentOutcome, fewest: int
) -> tuple[Outcome, str]:
    parts: list[SignalOutcome | CounterOutcome] = [*judged.signals, *judged.facts]
    texts = {id(p): p.why if isinstance(p, SignalOutcome) else p.text for p in parts}
    for part in parts:
        if part.outcome is Outcome.REFUTED:
            return Outcome.REFUTED, texts[id(part)]
    enough = judged.expected.runs >= fewest
    if enough and judged.falsified.yes == judged.falsified.runs:
        text = f"The falsification test ({registration.falsified_if}) holds in every treatment run"
        if any(part.outcome is Outcome.SUPPORTED for part in parts):
            text += "; there is an effect, but not the one that was expected"
        return Outcome.REFUTED, f"{text}."
    for part in parts:
        if part.outcome is Outcome.INCONCLUSIVE:
            return Outcome.INCONCLUSIVE, texts[id(part)]
    if judged.expected.yes < judged.expected.runs:
        return Outcome.INCONCLUSIVE, (
            f"The effect is there, but {registration.expected} was seen {judged.expected} "
            f"treatment runs only. {_NO_MORE}"
        )
    if judged.falsified.yes:
        return Outcome.INCONCLUSIVE, (
            f"The falsification test ({registration.falsified_if}) holds {judged.falsified} "
            f"treatment runs. {_NO_MORE}"
        )
    if not parts:
        return Outcome.INCONCLUSIVE, "The expectation names nothing that could be compared."
    return Outcome.SUPPORTED, " ".join(texts[id(part)] for part in parts)


def _more(judged: ExperimentOutcome, fewest: int, controls: int, treatments: int) -> int | None:
    """Return how many more pairs the undecided part that needs most asks for."""
    short = max(0, fewest - min(controls, treatments))
    parts: list[SignalOutcome | CounterOutcome] = [*judged.signals, *judged.facts]
    asked = [part.more_pairs for part in parts if part.outcome is Outcome.INCONCLUSIVE]
    if any(pairs is None for pairs in asked):
        return None
    most = max([short, *(pairs for pairs in asked if pairs is not None)])
    return most or None


def _facts(expected: Predicate, known: Catalogue) -> list[Predicate]:
    """Return the parts of an expectation that are counted by run instead of measured."""
    if expected.form == "all":
        return [fact for child in expected.children for fact in _facts(child, known)]
    return [] if expectations.effects(expected, known, "expected observation") else [expected]


def _fact(
    part: Predicate,
    control: Sequence[SignalSet],
    treatment: Sequence[SignalSet],
    alpha: float,
    spent: Sequence[float],
) -> CounterOutcome:
    """Compare in how many runs a fact holds; a run that cannot tell is on no side."""
    held = [
        [int(tri is Tri.YES) for run in side if (tri := part.evaluate(run).tri) is not Tri.UNKNOWN]
        for side in (control, treatment)
    ]
    return statistics.compare_counter(
        expectations.text_of(part), *held, alpha=alpha, spent=spent, expect_gone=False
    )


def _errors(
    known: Catalogue,
    control: Sequence[SignalSet],
    treatment: Sequence[SignalSet],
    alpha: float,
    spent: Sequence[float],
) -> tuple[CounterOutcome, ...]:
    values = []
    for name, entry in known.items():
        counts_errors = name.endswith("_errors") and entry.get("unit") == "count"
        if not counts_errors or entry.get("scope") == "node":
            continue
        sides = [[_count(run, name) for run in side] for side in (control, treatment)]
        if any(map(sum, sides)):
            values.append(
                statistics.compare_counter(name, *sides, alpha=alpha, spent=spent, forecast=False)
            )
    return tuple(values)


def _seen(predicate: Predicate, runs: Sequence[SignalSet]) -> Seen:
    tris = [predicate.evaluate(run).tri for run in runs]
    return Seen(tris.count(Tri.YES), tris.count(Tri.NO), tris.count(Tri.UNKNOWN))


def _number(run: SignalSet, name: str) -> float | None:
    signal = run.get(name)
    value = signal.value if signal is not None else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _count(run: SignalSet, name: str) -> int:
    return int(_number(run, name) or 0)

"""All that could be tried next for a bundle, not only the one experiment that a verdict proposes.

First the verdict's own hypotheses, then those of the categories that hold as well, then those of
the rules that came closest in the alternatives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from wktriage.bundle.bundle import Bundle
from wktriage.judging import next_experiment
from wktriage.judging.alternatives import alternatives, closeness
from wktriage.judging.next_experiment import UNEXPLAINED, of_setting
from wktriage.judging.verdict import Reading, read
from wktriage.request import scenarios


@dataclass(frozen=True)
class Proposal:
    """One hypothesis with its experiment.

    ``cause`` names the hypothesis, or the setting where several settings are suspected. ``share``
    is the belief (0 to 1) that the verdict gives it. ``hypothesis`` and ``experiment`` are as
    verdict.json has them.
    """

    cause: str
    share: float
    hypothesis: dict[str, Any]
    experiment: dict[str, Any]


def proposals(bundle: Bundle) -> list[Proposal]:
    """Return what could be tried, the verdict's own first; each cause once.

    The confidence of a category is shared by its hypotheses alike. Mixed traffic is taken apart
    by whoever asks: here every hypothesis keeps its own experiment.
    """
    reading = read(bundle)
    made: dict[str, Proposal] = {}
    for proposal in (*_settings(reading), *_hypotheses(reading)):
        made.setdefault(proposal.cause, proposal)
    return list(made.values())


def _settings(reading: Reading) -> Iterator[Proposal]:
    """Yield the settings that have a path to the symptom, each to be taken away."""
    suspected = reading.suspects
    for place, setting in enumerate(suspected):
        hypothesis, experiment = next_experiment.hypothetical(
            of_setting(setting), reading.run, reading.values, setting, reading.signals
        )
        cause = of_setting(setting) if place == 0 else setting.name
        yield Proposal(cause, reading.sure / len(suspected), hypothesis, experiment)


def _hypotheses(reading: Reading) -> Iterator[Proposal]:
    for names, share in _blamed(reading):
        usable = [name for name in dict.fromkeys(names) if _usable(name, reading)]
        for name in usable:
            hypothesis, experiment = next_experiment.hypothetical(
                name, reading.run, reading.values, None, reading.signals
            )
            yield Proposal(name, share / len(usable), hypothesis, experiment)


def _blamed(reading: Reading) -> Iterator[tuple[list[str], float]]:
    """Yield the hypotheses of each category in question, with the category's confidence."""
    decision = reading.decision
    fired = decision.fired(decision.category)
    yield [name for o in fired for name in o.rule.hypotheses], reading.sure
    for other in alternatives(decision, reading.signals, reading.sure):
        category = str(other["category"])
        rules = decision.fired(category) or [closeness(category, decision)[1]]
        yield [name for o in rules for name in o.rule.hypotheses], float(other["confidence"])


def _usable(name: str, reading: Reading) -> bool:
    chosen = next_experiment.choose(
        [name], reading.run, None, nodes_named=bool(reading.values["nodes"])
    )
    return chosen == name or name == UNEXPLAINED


@dataclass(frozen=True)
class Part:
    """Some of mixed traffic, to be run alone: its name, scenario and workload."""

    name: str
    scenario: str
    workload: dict[str, Any]


def parts(bundle: Bundle) -> list[Part]:
    """Return what a mix is taken apart into; empty where no other run comes before experiments."""
    reading = read(bundle)
    run = reading.run
    mixed = next_experiment.must_isolate(reading.decision.category, run)
    if not (mixed and reading.decision.by_load):
        return []
    isolates = scenarios.load(run.scenario).isolates if run.scenario in scenarios.names() else ()
    if isolates:
        workloads = {name: scenarios.load(name).workload for name in isolates}
        return [Part(n, n, msgspec.structs.asdict(load)) for n, load in workloads.items()]
    kinds = {"person": "group_channels", "group": "person_channels"}
    return [
        Part(f"{kind} traffic", scenarios.CUSTOM, {**run.workload, other: 0})
        for kind, other in kinds.items()
    ]

"""What an investigation does next: the run, the repeat, the parts of a mix, the experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wktriage.core.categories import ABSTAIN
from wktriage.core.errors import UsageError
from wktriage.experiments import asking, conduct, grounds, looks
from wktriage.experiments.compare import fingerprint_of
from wktriage.experiments.grounds import RefusedError
from wktriage.experiments.investigation import candidates, journal
from wktriage.experiments.investigation.candidates import Candidate
from wktriage.experiments.investigation.journal import Step
from wktriage.experiments.investigation.state import State
from wktriage.experiments.registration import DEFAULT_ALPHA
from wktriage.judging.proposals import parts
from wktriage.judging.verdict import judge

FEWEST_PAIRS = 2
"""Fewer runs a side than this say nothing, not even what more of them would decide."""


class Plan:
    """Chooses the next step of an investigation, and tells what would come after it."""

    def __init__(self, state: State) -> None:
        """Take the investigation as it stands."""
        self._state = state

    def following(self) -> Step | None:
        """Return the step after the last one; None when that was the last of all."""
        document = self._state.document
        if not document.steps:
            return Step("triage", f"run {named(document.request)}", dict(document.request))
        control = document.control
        if control is None:
            return None
        if not any(step.kind == "recur" for step in document.steps):
            return self._again(control)
        step = self._extension() or self._candidate()
        if step is None:
            self._nothing_left()
        return step

    def _again(self, control: Step) -> Step:
        inputs = fingerprint_of(self._state.bundle(str(control.bundle)))["inputs"]
        window = self._state.window(control)
        longer = candidates.longer_window(judge(self._state.bundle(str(control.bundle))))
        if control.category == ABSTAIN and longer is not None:
            values = self._values(inputs, longer, 1)
            return Step("recur", f"the same once more, for {longer} s", values)
        values = self._values(inputs, window, 1)
        return Step("recur", "the same once more: does it recur?", values)

    def _values(self, inputs: Mapping[str, Any], window: int, turn: int) -> dict[str, Any]:
        return grounds.run_values(self._state.bench, self._state.stack, inputs, window, turn)

    def _extension(self) -> Step | None:
        """Return more pairs for the last experiment, where they would decide it and fit."""
        last = self._state.document.steps[-1]
        experiment = self._state.experiment(last) if last.kind == "experiment" else None
        if experiment is None:
            return None
        pairs = self._state.more_pairs(experiment)
        # Who asks for fewer runs than can decide anything wants few.
        if experiment.repeats < looks.fewest_repeats(DEFAULT_ALPHA):
            return None
        if pairs is None or 2 * pairs * self._state.run_seconds() > self._state.left:
            return None
        asked = {"extend": self._state.case.document.id, "repeats": pairs, **self._common()}
        return Step(
            "experiment", f"{_pairs(pairs)} of the last experiment", asked, cause=last.cause,
            number=last.number, looks=len(experiment.outcomes),
        )  # fmt: skip

    def _candidate(self) -> Step | None:
        """Return the next part of the traffic, or the next experiment that is not refused."""
        may = self._state.document.may_change
        allowed = [c for c in self._state.candidates() if c.kind in may]
        away = [c for c in allowed if c.kind == journal.SETTINGS]
        step = self._first(away)
        if step is None and journal.WORKLOAD in may:
            step = self._part()
        return step or self._first([c for c in allowed if c not in away])

    def _first(self, allowed: Sequence[Candidate]) -> Step | None:
        """Return the experiment of the first candidate that is not refused."""
        return next((s for c in allowed if (s := self._experiment(c)) is not None), None)

    def _part(self) -> Step | None:
        """Return the next isolated run of mixed traffic; None when there is none (any more)."""
        steps = self._state.document.steps
        mixed = self._state.control
        if mixed.kind == "isolate":
            return None
        bundle = self._state.bundle(str(mixed.bundle))
        done = {step.what for step in steps if step.kind in ("isolate", "passed")}
        for part in parts(bundle):
            what = f"{part.name} alone"
            if what in done:
                continue
            inputs = dict(fingerprint_of(bundle)["inputs"])
            inputs |= {"workload": part.workload, "scenario": part.scenario}
            try:
                values = self._values(inputs, self._state.window(mixed), 0)
                self._state.bench.check(values)
            except UsageError as exc:
                self._state.pass_over(Step("passed", what, came_of=f"cannot be run here: {exc}"))
                continue
            return Step("isolate", what, values)
        return None

    def _experiment(self, candidate: Candidate) -> Step | None:
        """Return the step of an experiment; None when it is refused, which is noted."""
        pairs = int(self._state.left / (2 * self._state.run_seconds()))
        pairs = min(self._state.document.repeats, pairs)
        pairs = max(pairs, min(FEWEST_PAIRS, self._state.document.repeats))
        asked = {**candidate.asked, **self._common(), "repeats": pairs}
        asked["control"] = str(self._state.place(str(self._state.control.bundle)))
        asked["question"] = self._state.case.document.question
        asked["case"] = self._state.case.document.id
        if self._state.document.seed is not None:
            asked["seed"] = self._state.document.seed
        try:
            conduct.prepare(asking.read(asked, self._state.bench.root), self._state.bench)
        except RefusedError as exc:
            self._passed(candidate, str(exc))
            return None
        except UsageError as exc:
            self._passed(candidate, f"cannot be tried here: {exc}")
            return None
        what = f"{candidate.change}, {pairs} runs a side"
        if pairs < self._state.document.repeats:
            what += f" instead of {self._state.document.repeats}, which do not fit into the budget"
        number = len(self._state.case.document.experiments) + 1
        return Step("experiment", what, asked, cause=candidate.cause, number=number)

    def _passed(self, candidate: Candidate, why: str) -> None:
        self._state.pass_over(Step("passed", candidate.change, cause=candidate.cause, came_of=why))

    def _nothing_left(self) -> None:
        held = [c.change for c in self._state.candidates() if c.kind in journal.MAY_CHANGE]
        why = "Nothing is left to try"
        why += " of what may be changed." if held else "."
        experiments = self._state.case.document.experiments
        open_ones = [e for e in experiments if self._state.more_pairs(e) is not None]
        if open_ones:
            numbers = " and ".join(str(e.number) for e in open_ones)
            word = "Experiment" if len(open_ones) == 1 else "Experiments"
            why += f" {word} {numbers} could not decide."
        self._state.end("nothing_left", why, tuple(self.then(None)))

    def needs(self, step: Step) -> float:
        """Return the seconds that a step takes; of an experiment begun, those of one run."""
        runs = 1
        if step.kind == "experiment" and step is not self._state.document.under_way:
            runs = 2 * int(step.asked["repeats"])
        return runs * self._state.run_seconds()

    def out_of_time(self, needed: float) -> str:
        """Say that the budget is spent, when what is next takes ``needed`` seconds."""
        left = max(0, round(self._state.left / 60))
        return (
            f"The budget is spent: {_minutes(left)} left, and what is next takes "
            f"{_minutes(max(1, round(needed / 60)))}."
        )

    def then(self, step: Step | None) -> list[str]:
        """Return what would come after a step, with what only a person may allow or do."""
        lines: list[str] = []
        if self._state.document.control is None:
            return lines
        undecided = [s for s in self._state.document.steps if s.kind == "experiment" and s.number]
        for done in undecided[-1:] if step is None or "extend" not in step.asked else ():
            pairs = self._state.more_pairs(self._state.experiment(done))
            if pairs is not None:
                lines.append(
                    f"{_pairs(pairs)} of experiment {done.number} would decide it: wktriage "
                    f"experiment -e extend={self._state.case.document.id}"
                )
        for candidate in self._state.candidates():
            if step is not None and candidate.cause == step.cause:
                continue
            lines.append(candidate.told(self._state.document.may_change))
        return lines

    def _common(self) -> dict[str, Any]:
        """Return what every experiment is asked with: where it runs, and its window."""
        return {
            **self._state.stack,
            "cases_dir": str(self._state.case.directory.parent),
            "duration": self._state.window(self._state.control),
            "foreign_load": self._state.document.foreign_load,
        }


def named(request: Mapping[str, Any]) -> str:
    """Return what is run, by its scenario or its incident."""
    return str(request.get("scenario") or request.get("incident"))


def _pairs(count: int) -> str:
    return f"{count} more {'pair' if count == 1 else 'pairs'} of runs"


def _minutes(count: int) -> str:
    return "1 minute" if count == 1 else f"{count} minutes"

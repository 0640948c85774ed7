"""What a bisection has found so far, read from its case: tried, likely, answered."""

from __future__ import annotations

from dataclasses import dataclass

from wktriage.core.errors import UsageError
from wktriage.experiments import culprit, design
from wktriage.experiments.case import Case
from wktriage.experiments.culprit import Bisection, Step
from wktriage.experiments.effects import Outcome

SUSPECT = 0.01
"""A commit that is less likely is not listed."""


@dataclass(frozen=True)
class Tried:
    """One experiment that is over: its number, the place of its commit, its outcome and level.

    One that ended before its last run (``stopped``) has told nothing of its commit.
    """

    number: int
    place: int
    outcome: Outcome
    level: float
    stopped: bool


class Search:
    """The bisection of a case."""

    def __init__(self, case: Case) -> None:
        """Take the case."""
        self._case = case

    @property
    def state(self) -> Bisection:
        """The search as the case keeps it. Raises UsageError when the case has none."""
        state = self._case.document.bisection
        if state is None:
            raise UsageError(f"{self._case.document.id} is no bisection")
        return state

    def tried(self) -> list[Tried]:
        """Return the experiments that are over."""
        over = []
        for experiment in self._case.document.experiments:
            made = self._case.registration(experiment.number)
            due = design.next_run(made, experiment.runs, experiment.stop, experiment.repeats)
            commit = str(made.variable.after)
            if due is None and experiment.outcomes and commit in self.state.commits:
                last = experiment.outcomes[-1]
                place = self.state.commits.index(commit)
                stopped = experiment.stop is not None
                over.append(Tried(experiment.number, place, last.outcome, last.level, stopped))
        return over

    def likely(self) -> list[float]:
        """Return how likely each commit is the culprit."""
        commits = len(self.state.commits)
        # That the bad commit shows it is what the search stands on; it tells no two apart.
        steps = [
            Step(step.place, step.outcome is Outcome.SUPPORTED, step.level / 2)
            for step in self.tried()
            if step.outcome is not Outcome.INCONCLUSIVE and step.place < commits - 1
        ]
        return culprit.chances(commits, steps)

    def shown_by_bad(self) -> Outcome | None:
        """Return whether the bad commit shows it; None before that experiment is over."""
        last = len(self.state.commits) - 1
        return next((t.outcome for t in reversed(self.tried()) if t.place == last), None)

    def runs(self) -> int:
        """Return how many runs it took so far, that of the good commit among them."""
        made = sum(len(experiment.runs) for experiment in self._case.document.experiments)
        return made + (self.state.control is not None)

    def name(self, commit: str) -> str:
        """Return a commit as a person reads it: its short hash and its subject."""
        subjects = dict(zip(self.state.commits, self.state.subjects, strict=True))
        return f"{commit[:12]} {subjects.get(commit, '')}".rstrip()

    def suspects(self) -> list[tuple[str, float]]:
        """Return the commits that may be it with their chances, the most likely first."""
        likely = zip(self.state.commits, self.likely(), strict=True)
        return sorted((pair for pair in likely if pair[1] >= SUSPECT), key=lambda pair: -pair[1])

    def answered(self) -> bool:
        """Tell whether one commit is as likely as was asked."""
        shown = self.shown_by_bad() is Outcome.SUPPORTED
        return shown and max(self.likely()) >= self.state.sure

    def answer(self) -> str:
        """Return what can be said now, in one sentence."""
        state = self.state
        shown = self.shown_by_bad()
        if shown is None:
            return f"Whether {self.name(state.bad)} shows it is not decided yet."
        if shown is Outcome.REFUTED:
            return (
                f"{self.name(state.bad)} is like the good commit: it shows {state.expect}. There "
                "is nothing to search for."
            )
        if shown is Outcome.INCONCLUSIVE:
            return (
                f"These runs do not tell {self.name(state.bad)} from the good commit. There is "
                "nothing to search for until they do."
            )
        suspects = self.suspects()
        commit, share = suspects[0]
        if share >= state.sure:
            return f"The culprit is {self.name(commit)}, with a probability of {percent(share)}."
        names = "; ".join(f"{self.name(name)} ({percent(part)})" for name, part in suspects[:5])
        return f"No commit is as likely as {percent(state.sure)} yet. The most likely: {names}."


def percent(share: float) -> str:
    """Return a probability in words, never as certainty."""
    return "more than 99.9 %" if share > 0.999 else f"{100 * share:.1f} %"

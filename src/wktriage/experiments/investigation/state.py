"""An investigation as it stands: its case, its time, and the run that experiments start from."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from wktriage.bundle.bundle import Bundle
from wktriage.core.errors import UsageError
from wktriage.experiments import belief, conduct, grounds
from wktriage.experiments.case import Case, Experiment
from wktriage.experiments.grounds import Bench
from wktriage.experiments.investigation import candidates, journal
from wktriage.experiments.investigation.candidates import Candidate
from wktriage.experiments.investigation.journal import Ended, Investigation, Step
from wktriage.run import record


def runs_dir_of(document: Investigation, bench: Bench) -> Path:
    """Return the directory in which the runs of an investigation lie."""
    named = document.request.get("runs_dir", bench.root / "runs")
    return Path.cwd() / Path(str(named)).expanduser()


class State:
    """What is known of an investigation. Every change is written before the method returns.

    ``ends_at`` is when its budget is spent, in seconds since the epoch.
    """

    def __init__(self, case: Case, document: Investigation, bench: Bench, ends_at: float) -> None:
        """Take a case with its investigation, and where it runs."""
        self.case = case
        self.document = document
        self.bench = bench
        self.ends_at = ends_at
        self.runs_dir = runs_dir_of(document, bench)
        self.stack = journal.stack_of(document.request)

    # -- time -------------------------------------------------------------------------------------

    @property
    def left(self) -> float:
        """Seconds of the budget that are left."""
        return self.ends_at - time.time()

    def run_seconds(self) -> float:
        """Return what a run takes here: the longest of the last ones, without one a guess."""
        took = [s for s in map(self.took, self.bundles_made()[-4:]) if s is not None]
        if took:
            return max(took) + record.BETWEEN_SECONDS
        return self.duration() + conduct.OVERHEAD_SECONDS

    def took(self, bundle_id: str) -> float | None:
        """Return what one of its runs took, in seconds; None when it is not known."""
        return record.seconds_of(self.runs_dir, bundle_id)

    def bundles_made(self) -> list[str]:
        """Return the bundles of all runs that this investigation made, in order."""
        names: list[str] = []
        for step in self.document.steps:
            if step.kind == "experiment":
                experiment = self.experiment(step)
                names += [run.bundle.bundle_id for run in (experiment.runs if experiment else ())]
            elif step.bundle is not None and step.bundle != Path(self.document.start or "").name:
                names.append(step.bundle)
        return list(dict.fromkeys(names))

    def duration(self) -> int:
        """Return the seconds of the window of its runs."""
        control = self.document.control
        if control is not None:
            return self.window(control)
        return self.bench.check(self.document.request).duration

    def window(self, control: Step) -> int:
        """Return the seconds of the window of runs like that of ``control``."""
        seconds = self.document.request.get("duration")
        if seconds is not None and self.document.start is not None:
            return int(seconds)
        return grounds.window_of(self.bundle(str(control.bundle)))

    def experiment(self, step: Step) -> Experiment | None:
        """Return the experiment of a step; None before it is registered."""
        known = self.case.document.experiments
        if step.number is None or step.number > len(known):
            return None
        return self.case.experiment(step.number)

    @staticmethod
    def more_pairs(experiment: Experiment | None) -> int | None:
        """Return how many more pairs would decide an experiment; None when it needs none."""
        if experiment is None:
            return None
        outcome = experiment.outcomes[-1] if experiment.outcomes else None
        open_still = outcome is not None and outcome.outcome == "inconclusive"
        return outcome.more_pairs if outcome and open_still and experiment.stop is None else None

    # -- what it starts from ----------------------------------------------------------------------

    @property
    def control(self) -> Step:
        """The failed run from which experiments start. Raises UsageError before there is one."""
        control = self.document.control
        if control is None:
            raise UsageError(f"{self.case.document.id}: there is no failed run to start from")
        return control

    def candidates(self) -> Sequence[Candidate]:
        """Return what is left to try, in order."""
        bundle = self.bundle(str(self.control.bundle))
        return candidates.of(bundle, self.case.document.belief, self.document.tried)

    def bundle(self, bundle_id: str) -> Bundle:
        """Open a bundle of the case. Raises CaseError when it is not there any more."""
        return Bundle.open(self.place(bundle_id))

    def place(self, bundle_id: str) -> Path:
        """Return where a bundle of the case lies. Raises CaseError."""
        return conduct.place_of(self.case, bundle_id, self.runs_dir)

    def blame(self, bundle: Bundle, verdict: Mapping[str, Any]) -> None:
        """Let the case believe what the verdict does, but for what experiments have decided."""
        tried = {s.cause for s in self.document.steps if s.kind == "experiment"}
        known = {c: s for c, s in self.case.document.belief.items() if c in tried}
        self.case.blame(belief.start({**candidates.shares(bundle), **known}))
        conduct.keep_verdict(self.case, verdict)

    # -- what is written --------------------------------------------------------------------------

    def pass_over(self, step: Step) -> None:
        """Note what is not tried, with its reason."""
        self.save(steps=(*self.document.steps, step))

    def close(self, step: Step) -> None:
        """Put a finished step in place of the one under way, or after the others."""
        steps = self.document.steps
        self.save(steps=(*(steps[:-1] if self.document.under_way else steps), step))

    def end(self, how: journal.How, why: str, then: Sequence[str] = ()) -> None:
        """Note that it is over: how, why, and what would come next."""
        self.save(ended=Ended(how, why, tuple(dict.fromkeys(then))))

    def save(self, **changes: Any) -> None:
        """Write what changed, with the time that is spent."""
        changed = msgspec.structs.replace(self.document, **changes)
        spent = round(changed.budget - self.left, 1)
        self.document = msgspec.structs.replace(changed, spent=spent)
        journal.save(self.case, self.document)

"""From a failure to its cause by itself: what is due, and what a finished step came to.

A run, a repeat without change, mixed traffic taken apart, then experiment after experiment: what
takes a setting away first, the workload before the configuration, the likeliest cause first.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from wktriage.bundle.bundle import Bundle
from wktriage.core.categories import ABSTAIN, HEALTHY
from wktriage.core.errors import UsageError
from wktriage.core.times import utc_now
from wktriage.experiments import case as cases
from wktriage.experiments import conduct, design, grounds
from wktriage.experiments.case import Case
from wktriage.experiments.grounds import Bench
from wktriage.experiments.investigation import candidates, journal
from wktriage.experiments.investigation.journal import Asked, Investigation, Step
from wktriage.experiments.investigation.plan import Plan, named
from wktriage.experiments.investigation.state import State, runs_dir_of
from wktriage.judging.verdict import judge
from wktriage.report import words
from wktriage.request.request import new_bundle_id
from wktriage.run import record

MOST_STEPS = 60


@dataclass(frozen=True)
class Due:
    """What to do now: a run with these extra vars, an experiment that is asked so, or nothing."""

    step: Step
    run: Mapping[str, Any] = field(default_factory=dict)
    experiment: Mapping[str, Any] = field(default_factory=dict)


class Investigate:
    """An investigation under way. Make one with :func:`begin` or :func:`resume`."""

    def __init__(self, state: State) -> None:
        """Take what :func:`begin` or :func:`resume` found or made."""
        self.state = state
        self._plan = Plan(state)

    @property
    def case(self) -> Case:
        """Its case."""
        return self.state.case

    @property
    def document(self) -> Investigation:
        """What was asked, done and found so far."""
        return self.state.document

    def next(self) -> Due | None:
        """Return what to do now, noted as begun; None when it is over.

        A run that would not fit into what is left of the budget is not begun.
        """
        while self.state.document.ended is None:
            step = self.state.document.under_way
            if step is not None and step.kind == "experiment" and self._closed(step):
                continue
            step = step or self._plan.following()
            if step is None:
                break
            needed = self._plan.needs(step)
            if needed > self.state.left:
                self.state.end(
                    "budget", self._plan.out_of_time(needed), (step.what, *self._plan.then(step))
                )
                break
            if step is not self.state.document.under_way:
                self.state.save(steps=(*self.state.document.steps, step))
            if step.kind == "experiment":
                return Due(step, experiment=step.asked)
            named = str(step.asked.get("scenario") or "replay")
            run = {**step.asked, "fail_on": "never"}
            if not step.asked.get("incident"):
                run["bundle_id"] = new_bundle_id(named)
            return Due(step, run=run)
        return None

    def record(self, bundle_id: str) -> Step:
        """Take a finished run. Raises UsageError when none is under way."""
        step = self.state.document.under_way
        if step is None:
            raise UsageError(f"{self.state.case.document.id}: no run is under way")
        bundle = Bundle.open(self.state.runs_dir / bundle_id)
        conduct.remember(self.state.case, {bundle_id: str(bundle.root)})
        verdict = judge(bundle)
        category = str(verdict["category"])
        failed = category != HEALTHY
        looked = bundle.exists("window.json")
        usable = step.kind in ("triage", "isolate") or self._classifies(category)
        control = failed and looked and usable
        done = msgspec.structs.replace(
            step, bundle=bundle.bundle_id, category=category, control=control,
            came_of=self._came_of(step, category),
        )  # fmt: skip
        self.state.close(done)
        if control:
            self.state.blame(bundle, verdict)
        if step.kind == "triage" and not failed:
            self.state.end("healthy", "The run is healthy: there is nothing to investigate.")
        elif step.kind == "triage" and not looked:
            self._take_baseline(bundle, verdict)
        elif step.kind == "recur":
            self._repeated(category)
        return done

    def _classifies(self, category: str) -> bool:
        """Tell whether a repeat is of more use than the run before, which nobody could classify."""
        return category != ABSTAIN and self.state.control.category == ABSTAIN

    def _came_of(self, step: Step, category: str) -> str:
        named = category.replace("_", " ")
        if step.kind != "recur":
            return named
        before = str(self.state.control.category)
        if category == before:
            return f"{named} again: it recurs"
        if category == HEALTHY:
            return "healthy: it does not recur"
        return f"{named}, not {before.replace('_', ' ')}: it fails again, but otherwise"

    def _repeated(self, category: str) -> None:
        if category == HEALTHY and self.state.control.category != ABSTAIN:
            self.state.end(
                "not_again",
                "The failure does not recur in one repeat without change: no experiment could "
                "tell what makes it go.",
                ("repeat the run until it fails again, and begin with that bundle",),
            )
        elif category == HEALTHY:
            self.state.end("healthy", "The repeat could be classified, and it is healthy.")
        elif category == ABSTAIN and self.state.control.category == ABSTAIN:
            self.state.end(
                "unclassified",
                "Neither the run nor its repeat could be classified: their evidence is "
                "insufficient.",
            )

    def _take_baseline(self, refused: Bundle, verdict: Mapping[str, Any]) -> None:
        """Go on with the baseline that kept the run from starting, as the run that failed."""
        reference = refused.read_json("references/baseline.json") or {}
        name = str(reference.get("bundle") or reference.get("bundle_id") or "")
        if not name or not (self.state.runs_dir / name).is_dir():
            then = words.next_step(verdict).change
            self.state.end("unclassified", "The run had no window to look at.", (then,))
            return
        bundle = Bundle.open(self.state.runs_dir / name)
        verdict = judge(bundle)
        category = str(verdict["category"])
        self.state.close(
            Step(
                "baseline", "its baseline, which kept it from starting", bundle=bundle.bundle_id,
                category=category, control=category != HEALTHY,
                came_of=category.replace("_", " "),
            )
        )  # fmt: skip
        conduct.remember(self.state.case, {bundle.bundle_id: str(bundle.root)})
        self.state.blame(bundle, verdict)

    def _closed(self, step: Step) -> bool:
        """Close the step of an experiment that is over; tell whether it was."""
        experiment = self.state.experiment(step)
        if experiment is None:
            return False
        made = self.state.case.registration(step.number)
        due = design.next_run(made, experiment.runs, experiment.stop, experiment.repeats)
        if due is not None or len(experiment.outcomes) <= step.looks:
            return False
        outcome = experiment.outcomes[-1]
        came_of = f"{outcome.outcome}: {outcome.why}"
        if experiment.stop is not None:
            came_of = f"stopped early: {experiment.stop.reason}"
        self.state.close(msgspec.structs.replace(step, came_of=came_of))
        if outcome.outcome == "supported" and experiment.stop is None:
            change = candidates.change_of(made.variable)
            self.state.end("isolated", f"The cause is isolated: {change}. {made.statement}")
        return True


def begin(asked: Asked, bench: Bench) -> Investigate:
    """Find the open investigation that was asked for, or open one. Nothing is run.

    One that ended without a cause goes on when its case is named: with the budget that is given,
    from then on. Raises UsageError for what cannot be used.
    """
    known = _known(asked)
    if known is None:
        return _opened(asked, bench)
    case, document = known
    used = max(document.spent, _used(State(case, document, bench, 0.0)))
    if asked.case is not None:
        document = msgspec.structs.replace(
            document, may_change=asked.document.may_change, repeats=asked.document.repeats
        )
    if asked.case is not None and document.ended is not None:
        if document.ended.how in ("isolated", "healthy"):
            return Investigate(State(case, document, bench, 0.0))
        document = msgspec.structs.replace(document, ended=None, spent=used)
        budget = used + asked.document.budget
    else:
        budget = asked.document.budget
    state = State(case, document, bench, time.time() + budget - used)
    state.save(budget=budget)
    return Investigate(state)


def resume(case_id: str, cases_dir: Path, bench: Bench, ends_at: float) -> Investigate:
    """Return an investigation that :func:`begin` opened before."""
    case = Case.load(cases_dir, case_id)
    document = journal.load(case)
    if document is None:
        raise UsageError(f"{case_id}: no investigation was begun in that case")
    return Investigate(State(case, document, bench, ends_at))


def _known(asked: Asked) -> tuple[Case, Investigation] | None:
    """Return the case that was named, else the newest open one that asks the very same."""
    if asked.case is not None:
        case = Case.load(asked.cases_dir, asked.case)
        document = journal.load(case)
        if document is None:
            raise UsageError(f"{asked.case}: no investigation was begun in that case")
        return case, document
    for listed in cases.listing(asked.cases_dir):
        if listed.problem is not None:
            continue
        case = Case.load(asked.cases_dir, listed.id)
        document = journal.load(case)
        open_still = document is not None and document.ended is None
        if document is not None and open_still and document.asks_the_same(asked.document):
            return case, document
    return None


def _opened(asked: Asked, bench: Bench) -> Investigate:
    """Open an investigation: with a run that is to be made, or with a bundle that is there."""
    document, at = asked.document, utc_now()
    control = None
    if document.start is None:
        bench.check(document.request)
        question = f"Why does {named(document.request)} fail?"
    else:
        control = grounds.control_of(document.start, runs_dir_of(document, bench))
        if control.verdict is None:
            raise UsageError(
                f"{document.start} has no verdict. Classify it first: "
                f"wktriage classify {control.bundle.root}"
            )
        question = f"Why did {control.bundle.bundle_id} fail?"
    case_id = cases.free_id(asked.cases_dir, question, at)
    case = Case.create(asked.cases_dir, case_id, question, at)
    state = State(case, document, bench, time.time() + document.budget)
    state.save()
    if control is not None and control.verdict is not None:
        _start_from(state, control.bundle, control.verdict)
    return Investigate(state)


def _start_from(state: State, bundle: Bundle, verdict: Mapping[str, Any]) -> None:
    """Take a bundle that is there already as the run that failed."""
    category = str(verdict["category"])
    conduct.remember(state.case, {bundle.bundle_id: str(bundle.root.resolve())})
    state.close(
        Step(
            "triage", "a run that was there already", bundle=bundle.bundle_id, category=category,
            control=category != HEALTHY, came_of=category.replace("_", " "),
        )
    )  # fmt: skip
    if category == HEALTHY:
        state.end("healthy", "The run is healthy: there is nothing to investigate.")
    else:
        state.blame(bundle, verdict)


def _used(state: State) -> float:
    """Return the seconds that the finished runs took: a kill loses only that of its moment."""
    took = [state.took(name) for name in state.bundles_made()]
    return sum(seconds + record.BETWEEN_SECONDS for seconds in took if seconds is not None)

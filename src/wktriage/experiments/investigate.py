"""From a failure to its cause by itself: what is next, and what a finished step came to.

A run, a repeat without change, mixed traffic taken apart, then experiment after experiment: what
takes a setting away first, the workload before the configuration, the likeliest cause first.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from wktriage.bundle.bundle import Bundle
from wktriage.core.categories import ABSTAIN, HEALTHY
from wktriage.core.errors import UsageError
from wktriage.core.times import utc_now
from wktriage.experiments import (
    asking,
    belief,
    candidates,
    conduct,
    design,
    grounds,
    investigation,
    looks,
)
from wktriage.experiments import case as cases
from wktriage.experiments.candidates import Candidate
from wktriage.experiments.case import Case, Experiment
from wktriage.experiments.compare import fingerprint_of
from wktriage.experiments.grounds import Bench, RefusedError
from wktriage.experiments.investigation import Asked, Ended, Investigation, Step
from wktriage.experiments.registration import DEFAULT_ALPHA
from wktriage.judging.proposals import parts
from wktriage.judging.verdict import judge
from wktriage.report import words
from wktriage.request.request import new_bundle_id
from wktriage.run import record

FEWEST_PAIRS = 2
"""Fewer runs a side than this say nothing, not even what more of them would decide."""
MOST_STEPS = 60


@dataclass(frozen=True)
class Due:
    """What to do now: a run with these extra vars, an experiment that is asked so, or nothing."""

    step: Step
    run: Mapping[str, Any] = field(default_factory=dict)
    experiment: Mapping[str, Any] = field(default_factory=dict)


class Investigate:
    """An investigation under way. Make one with :func:`begin` or :func:`resume`.

    ``ends_at`` is when its budget is spent, in seconds since the epoch.
    """

    def __init__(self, case: Case, document: Investigation, bench: Bench, ends_at: float) -> None:
        """Take what :func:`begin` or :func:`resume` found or made."""
        self.case = case
        self.document = document
        self.bench = bench
        self.ends_at = ends_at
        request = document.request
        self.runs_dir = (
            Path.cwd() / Path(str(request.get("runs_dir", bench.root / "runs"))).expanduser()
        )
        self.stack = investigation.stack_of(request)

    # -- time -------------------------------------------------------------------------------------

    @property
    def left(self) -> float:
        """Seconds of the budget that are left."""
        return self.ends_at - time.time()

    def run_seconds(self) -> float:
        """Return what a run takes here: the longest of the last ones, without one a guess."""
        took = [s for s in map(self._took, self._bundles()[-4:]) if s is not None]
        if took:
            return max(took) + conduct.BETWEEN_SECONDS
        return self._duration() + conduct.OVERHEAD_SECONDS

    def _took(self, bundle_id: str) -> float | None:
        return record.seconds_of(self.runs_dir, bundle_id)

    def _bundles(self) -> list[str]:
        """Return the bundles of all runs that this investigation made, in order."""
        names: list[str] = []
        for step in self.document.steps:
            if step.kind == "experiment" and step.number is not None:
                experiment = self.case.experiment(step.number)
                names += [run.bundle.bundle_id for run in experiment.runs]
            elif step.bundle is not None and step.bundle != self.document.start:
                names.append(step.bundle)
        return list(dict.fromkeys(names))

    def _duration(self) -> int:
        control = self.document.control
        if control is not None:
            return self._window(control)
        return self.bench.check(self.document.request).duration

    def _window(self, control: Step) -> int:
        given = self.document.request.get("duration")
        if given is not None and self.document.start is not None:
            return int(given)
        return grounds.window_of(self._bundle(str(control.bundle)))

    # -- what is next -----------------------------------------------------------------------------

    def next(self) -> Due | None:
        """Return what to do now, noted as begun; None when it is over.

        A run that would not fit into what is left of the budget is not begun.
        """
        while self.document.ended is None:
            step = self.document.under_way
            if step is not None and step.kind == "experiment" and self._closed(step):
                continue
            step = step or self._following()
            if step is None:
                break
            needed = self._needs(step)
            if needed > self.left:
                self._end("budget", self._out_of_time(needed), (step.what, *self._then(step)))
                break
            if step is not self.document.under_way:
                self._save(steps=(*self.document.steps, step))
            if step.kind == "experiment":
                return Due(step, experiment=step.given)
            named = str(step.given.get("scenario") or "replay")
            run = {**step.given, "fail_on": "never"}
            if not step.given.get("incident"):
                run["bundle_id"] = new_bundle_id(named)
            return Due(step, run=run)
        return None

    def _following(self) -> Step | None:
        """Return the step after the last one; None when that was the last of all."""
        document = self.document
        if not document.steps:
            return Step("triage", f"run {_named(document.request)}", dict(document.request))
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
        inputs = fingerprint_of(self._bundle(str(control.bundle)))["inputs"]
        window = self._window(control)
        longer = candidates.longer_window(self._verdict(control))
        if control.category == ABSTAIN and longer is not None:
            values = grounds.run_values(self.bench, self.stack, inputs, longer, 1)
            return Step("recur", f"the same once more, for {longer} s", values)
        values = grounds.run_values(self.bench, self.stack, inputs, window, 1)
        return Step("recur", "the same once more: does it recur?", values)

    def _extension(self) -> Step | None:
        """Return more pairs for the last experiment, where they would decide it and fit."""
        last = self.document.steps[-1]
        if last.kind != "experiment" or last.number is None:
            return None
        experiment = self.case.experiment(last.number)
        pairs = self._more_pairs(experiment)
        # Who asks for fewer runs than can decide anything wants few.
        if experiment.repeats < looks.fewest_repeats(DEFAULT_ALPHA):
            return None
        if pairs is None or 2 * pairs * self.run_seconds() > self.left:
            return None
        given = {"extend": self.case.document.id, "repeats": pairs, **self._common()}
        return Step(
            "experiment", f"{_pairs(pairs)} of the last experiment", given, cause=last.cause,
            number=last.number, looks=len(experiment.outcomes),
        )  # fmt: skip

    @staticmethod
    def _more_pairs(experiment: Experiment) -> int | None:
        outcome = experiment.outcomes[-1] if experiment.outcomes else None
        open_still = outcome is not None and outcome.outcome == "inconclusive"
        return outcome.more_pairs if outcome and open_still and experiment.stop is None else None

    def _candidate(self) -> Step | None:
        """Return the next part of the traffic, or the next experiment that is not refused."""
        for candidate in self._candidates():
            if candidate.kind != investigation.SETTINGS and (part := self._part()) is not None:
                return part
            if candidate.kind not in self.document.may_change:
                continue
            step = self._experiment(candidate)
            if step is not None:
                return step
        return None

    def _part(self) -> Step | None:
        """Return the next isolated run of mixed traffic; None when there is none (any more)."""
        mixed = next(s for s in self.document.steps if s.control)
        if any(s.kind == "isolate" and s.control for s in self.document.steps):
            return None
        bundle = self._bundle(str(mixed.bundle))
        done = {step.what for step in self.document.steps if step.kind in ("isolate", "passed")}
        for part in parts(bundle):
            what = f"{part.name} alone"
            if what in done:
                continue
            inputs = dict(fingerprint_of(bundle)["inputs"])
            inputs |= {"workload": part.workload, "scenario": part.scenario}
            try:
                values = grounds.run_values(self.bench, self.stack, inputs, self._window(mixed), 0)
                self.bench.check(values)
            except UsageError as exc:
                self._pass(Step("passed", what, came_of=f"cannot be run here: {exc}"))
                continue
            return Step("isolate", what, values)
        return None

    def _experiment(self, candidate: Candidate) -> Step | None:
        """Return the step of an experiment; None when it is refused, which is noted."""
        pairs = min(self.document.repeats, int(self.left / (2 * self.run_seconds())))
        pairs = max(pairs, min(FEWEST_PAIRS, self.document.repeats))
        given = {**candidate.given, **self._common(), "repeats": pairs}
        given["control"] = str(self._place(str(self._control.bundle)))
        given["question"] = self.case.document.question
        given["case"] = self.case.document.id
        if self.document.seed is not None:
            given["seed"] = self.document.seed
        try:
            conduct.prepare(asking.read(given, self.bench.root), self.bench)
        except RefusedError as exc:
            self._passed(candidate, str(exc))
            return None
        except UsageError as exc:
            self._passed(candidate, f"cannot be tried here: {exc}")
            return None
        what = f"{candidate.change}, {pairs} runs a side"
        if pairs < self.document.repeats:
            what += f" instead of {self.document.repeats}, which do not fit into the budget"
        number = len(self.case.document.experiments) + 1
        return Step("experiment", what, given, cause=candidate.cause, number=number)

    def _passed(self, candidate: Candidate, why: str) -> None:
        self._pass(Step("passed", candidate.change, cause=candidate.cause, came_of=why))

    def _nothing_left(self) -> None:
        held = [c.change for c in self._candidates() if c.kind in investigation.MAY_CHANGE]
        why = "Nothing is left to try"
        why += " of what may be changed." if held else "."
        open_ones = [e for e in self.case.document.experiments if self._more_pairs(e) is not None]
        if open_ones:
            numbers = " and ".join(str(e.number) for e in open_ones)
            named = "Experiment" if len(open_ones) == 1 else "Experiments"
            why += f" {named} {numbers} could not decide."
        self._end("nothing_left", why, tuple(self._then(None)))

    # -- what a step came to ----------------------------------------------------------------------

    def record(self, bundle_id: str) -> Step:
        """Take a finished run. Raises UsageError when none is under way."""
        step = self.document.under_way
        if step is None:
            raise UsageError(f"{self.case.document.id}: no run is under way")
        bundle = Bundle.open(self.runs_dir / bundle_id)
        conduct.remember(self.case, {bundle_id: str(bundle.root)})
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
        self._close(done)
        if control:
            self._blame(bundle, verdict)
        if step.kind == "triage" and not failed:
            self._end("healthy", "The run is healthy: there is nothing to investigate.")
        elif step.kind == "triage" and not looked:
            self._take_baseline(bundle, verdict)
        elif step.kind == "recur":
            self._repeated(category)
        return done

    def _classifies(self, category: str) -> bool:
        """Tell whether a repeat is of more use than the run before, which nobody could classify."""
        return category != ABSTAIN and self._control.category == ABSTAIN

    def _came_of(self, step: Step, category: str) -> str:
        named = category.replace("_", " ")
        if step.kind != "recur":
            return named
        before = str(self._control.category)
        if category == before:
            return f"{named} again: it recurs"
        if category == HEALTHY:
            return "healthy: it does not recur"
        return f"{named}, not {before.replace('_', ' ')}: it fails again, but otherwise"

    def _repeated(self, category: str) -> None:
        if category == HEALTHY and self._control.category != ABSTAIN:
            self._end(
                "not_again",
                "The failure does not recur in one repeat without change: no experiment could "
                "tell what makes it go.",
                ("repeat the run until it fails again, and begin with that bundle",),
            )
        elif category == HEALTHY:
            self._end("healthy", "The repeat could be classified, and it is healthy.")
        elif category == ABSTAIN and self._control.category == ABSTAIN:
            self._end(
                "unclassified",
                "Neither the run nor its repeat could be classified: their evidence is "
                "insufficient.",
            )

    def _take_baseline(self, refused: Bundle, verdict: Mapping[str, Any]) -> None:
        """Go on with the baseline that kept the run from starting, as the run that failed."""
        reference = refused.read_json("references/baseline.json") or {}
        name = str(reference.get("bundle") or reference.get("bundle_id") or "")
        if not name or not (self.runs_dir / name).is_dir():
            then = words.next_step(verdict).change
            self._end("unclassified", "The run had no window to look at.", (then,))
            return
        bundle = Bundle.open(self.runs_dir / name)
        verdict = judge(bundle)
        category = str(verdict["category"])
        self._close(
            Step(
                "baseline", "its baseline, which kept it from starting", bundle=bundle.bundle_id,
                category=category, control=category != HEALTHY,
                came_of=category.replace("_", " "),
            )
        )  # fmt: skip
        conduct.remember(self.case, {bundle.bundle_id: str(bundle.root)})
        self._blame(bundle, verdict)

    def _closed(self, step: Step) -> bool:
        """Close the step of an experiment that is over; tell whether it was."""
        experiments = self.case.document.experiments
        if step.number is None or len(experiments) < step.number:
            return False
        experiment = self.case.experiment(step.number)
        made = self.case.registration(step.number)
        due = design.next_run(made, experiment.runs, experiment.stop, experiment.repeats)
        if due is not None or len(experiment.outcomes) <= step.looks:
            return False
        outcome = experiment.outcomes[-1]
        came_of = f"{outcome.outcome}: {outcome.why}"
        if experiment.stop is not None:
            came_of = f"stopped early: {experiment.stop.reason}"
        self._close(msgspec.structs.replace(step, came_of=came_of))
        if outcome.outcome == "supported" and experiment.stop is None:
            change = candidates.change_of(made.variable)
            self._end("isolated", f"The cause is isolated: {change}. {made.statement}")
        return True

    # -- words ------------------------------------------------------------------------------------

    def _needs(self, step: Step) -> float:
        """Return the seconds that a step takes; of an experiment begun, those of one run."""
        runs = 1
        if step.kind == "experiment" and step is not self.document.under_way:
            runs = 2 * int(step.given["repeats"])
        return runs * self.run_seconds()

    def _out_of_time(self, needed: float) -> str:
        left = max(0, round(self.left / 60))
        return (
            f"The budget is spent: {_minutes(left)} left, and what is next takes "
            f"{_minutes(max(1, round(needed / 60)))}."
        )

    def _then(self, step: Step | None) -> list[str]:
        """Return what would come after a step, with what only a person may allow or do."""
        told: list[str] = []
        if self.document.control is None:
            return told
        undecided = [s for s in self.document.steps if s.kind == "experiment" and s.number]
        for done in undecided[-1:] if step is None or "extend" not in step.given else ():
            pairs = self._more_pairs(self.case.experiment(done.number))
            if pairs is not None:
                told.append(
                    f"{_pairs(pairs)} of experiment {done.number} would decide it: wktriage "
                    f"experiment -e extend={self.case.document.id}"
                )
        for candidate in self._candidates():
            if step is not None and candidate.cause == step.cause:
                continue
            told.append(candidate.told(self.document.may_change))
        return told

    # -- state ------------------------------------------------------------------------------------

    @property
    def _control(self) -> Step:
        control = self.document.control
        if control is None:
            raise UsageError(f"{self.case.document.id}: there is no failed run to start from")
        return control

    def _candidates(self) -> Sequence[Candidate]:
        bundle = self._bundle(str(self._control.bundle))
        return candidates.of(bundle, self.case.document.belief, self.document.tried)

    def _common(self) -> dict[str, Any]:
        """Return what every experiment is asked with: where it runs, and its window."""
        return {
            **self.stack,
            "cases_dir": str(self.case.directory.parent),
            "duration": self._window(self._control),
            "foreign_load": self.document.foreign_load,
        }

    def _bundle(self, bundle_id: str) -> Bundle:
        return Bundle.open(self._place(bundle_id))

    def _place(self, bundle_id: str) -> Path:
        return conduct.place_of(self.case, bundle_id, self.runs_dir)

    def _verdict(self, step: Step) -> dict[str, Any]:
        return judge(self._bundle(str(step.bundle)))

    def _blame(self, bundle: Bundle, verdict: Mapping[str, Any]) -> None:
        """Let the case believe what the verdict does, but for what experiments have decided."""
        tried = {s.cause for s in self.document.steps if s.kind == "experiment"}
        known = {c: s for c, s in self.case.document.belief.items() if c in tried}
        self.case.blame(belief.start({**candidates.shares(bundle), **known}))
        conduct.keep_verdict(self.case, verdict)

    def _pass(self, step: Step) -> None:
        self._save(steps=(*self.document.steps, step))

    def _close(self, step: Step) -> None:
        """Put a finished step in place of the one under way, or after the others."""
        steps = self.document.steps
        self._save(steps=(*(steps[:-1] if self.document.under_way else steps), step))

    def _end(self, how: investigation.How, why: str, then: Sequence[str] = ()) -> None:
        self._save(ended=Ended(how, why, tuple(dict.fromkeys(then))))

    def _save(self, **changes: Any) -> None:
        changed = msgspec.structs.replace(self.document, **changes)
        spent = round(changed.budget - self.left, 1)
        self.document = msgspec.structs.replace(changed, spent=spent)
        investigation.save(self.case, self.document)


def begin(asked: Asked, bench: Bench) -> Investigate:
    """Find the open investigation that was asked for, or open one. Nothing is run.

    One that ended without a cause goes on when its case is named: with the budget that is given,
    from then on. Raises UsageError for what cannot be used.
    """
    known = _known(asked)
    if known is None:
        case = _new_case(asked, bench)
        under_way = Investigate(case, asked.document, bench, time.time() + asked.document.budget)
        under_way._save()
        if asked.document.start is not None:
            _start_from(under_way, asked.document.start)
        return under_way
    case, document = known
    used = max(document.spent, _used(Investigate(case, document, bench, 0.0)))
    if asked.case is not None:
        document = msgspec.structs.replace(
            document, may_change=asked.document.may_change, repeats=asked.document.repeats
        )
    if asked.case is not None and document.ended is not None:
        if document.ended.how in ("isolated", "healthy"):
            return Investigate(case, document, bench, 0.0)
        document = msgspec.structs.replace(document, ended=None, spent=used)
        budget = used + asked.document.budget
    else:
        budget = asked.document.budget
    under_way = Investigate(case, document, bench, time.time() + budget - used)
    under_way._save(budget=budget)
    return under_way


def resume(case_id: str, cases_dir: Path, bench: Bench, ends_at: float) -> Investigate:
    """Return an investigation that :func:`begin` opened before."""
    case = Case.load(cases_dir, case_id)
    document = investigation.load(case)
    if document is None:
        raise UsageError(f"{case_id}: no investigation was begun in that case")
    return Investigate(case, document, bench, ends_at)


def _known(asked: Asked) -> tuple[Case, Investigation] | None:
    """Return the case that was named, else the newest open one that asks the very same."""
    if asked.case is not None:
        case = Case.load(asked.cases_dir, asked.case)
        document = investigation.load(case)
        if document is None:
            raise UsageError(f"{asked.case}: no investigation was begun in that case")
        return case, document
    for listed in cases.listing(asked.cases_dir):
        if listed.problem is not None:
            continue
        case = Case.load(asked.cases_dir, listed.id)
        document = investigation.load(case)
        open_still = document is not None and document.ended is None
        if document is not None and open_still and document.asks_the_same(asked.document):
            return case, document
    return None


def _new_case(asked: Asked, bench: Bench) -> Case:
    document, at = asked.document, utc_now()
    if document.start is None:
        bench.check(document.request)
        question = f"Why does {_named(document.request)} fail?"
    else:
        question = f"Why did {Path(document.start).name} fail?"
    case_id = cases.free_id(asked.cases_dir, question, at)
    return Case.create(asked.cases_dir, case_id, question, at)


def _start_from(under_way: Investigate, name: str) -> None:
    """Take a bundle that is there already as the run that failed. Raises UsageError."""
    control = grounds.control_of(name, under_way.runs_dir)
    if control.verdict is None:
        raise UsageError(
            f"{name} has no verdict. Classify it first: wktriage classify {control.bundle.root}"
        )
    category = str(control.verdict["category"])
    conduct.remember(under_way.case, {control.bundle.bundle_id: str(control.bundle.root.resolve())})
    under_way._close(
        Step(
            "triage", "a run that was there already", bundle=control.bundle.bundle_id,
            category=category, control=category != HEALTHY, came_of=category.replace("_", " "),
        )
    )  # fmt: skip
    if category == HEALTHY:
        under_way._end("healthy", "The run is healthy: there is nothing to investigate.")
    else:
        under_way._blame(control.bundle, control.verdict)


def _used(under_way: Investigate) -> float:
    """Return the seconds that the finished runs took: a kill loses only that of its moment."""
    took = [under_way._took(name) for name in under_way._bundles()]
    return sum(seconds + conduct.BETWEEN_SECONDS for seconds in took if seconds is not None)


def _named(request: Mapping[str, Any]) -> str:
    return str(request.get("scenario") or request.get("incident"))


def _pairs(count: int) -> str:
    return f"{count} more {'pair' if count == 1 else 'pairs'} of runs"


def _minutes(count: int) -> str:
    return "1 minute" if count == 1 else f"{count} minutes"

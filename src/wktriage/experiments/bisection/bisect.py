"""A bisection from what was asked to the named commit: its state is in the case at every step.

One run on the good commit is the control. The first experiment asks whether the bad commit shows
what it is said to show; each further one asks the same of a commit between the two.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from wktriage.bundle.bundle import Bundle
from wktriage.core import git
from wktriage.core.errors import UsageError
from wktriage.core.model import Tri
from wktriage.core.times import utc_now
from wktriage.experiments import asking, builds, conduct, culprit, design, expectations
from wktriage.experiments import case as cases
from wktriage.experiments.bisection.search import Search
from wktriage.experiments.case import Case, Experiment
from wktriage.experiments.compare import fingerprint_of
from wktriage.experiments.culprit import Bisection, Skipped
from wktriage.experiments.effects import Outcome
from wktriage.experiments.grounds import Bench, RefusedError
from wktriage.experiments.hypothesis import MIN_EFFECT
from wktriage.experiments.registration import DEFAULT_ALPHA
from wktriage.judging import signals
from wktriage.request import code as codes
from wktriage.request.request import KNOWN, new_bundle_id
from wktriage.request.workload import KEYS
from wktriage.stack import builds as stack_builds
from wktriage.stack import drivers
from wktriage.stack.builds import BuildError

NAMES = ("good", "bad", "expect", "min_effect", "sure", "repeats", "alpha", "foreign_load", "case",
         "cases_dir")  # fmt: skip
PASSED_ON = ("repeats", "alpha", "foreign_load")
MOST_REPEATS = 12
"""Runs a side after which a commit counts as undecided."""

MOST_EXPERIMENTS = 40


@dataclass(frozen=True)
class Asked:
    """What a person asks. ``run`` are the extra vars of a run, ``further`` those of experiments."""

    good: str
    bad: str
    expect: str
    min_effect: str
    sure: float
    cases_dir: Path
    case: str | None = None
    run: Mapping[str, Any] = field(default_factory=dict)
    further: Mapping[str, str] = field(default_factory=dict)


def read(values: Mapping[str, Any], root: Path) -> Asked:
    """Return what was asked. Raises UsageError for a name or value that cannot be used."""
    held = asking.held_of(values, NAMES)
    missing = [name for name in ("good", "bad", "expect") if name not in held]
    if missing:
        raise UsageError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: a bisection "
            "takes -e good=<ref> -e bad=<ref> -e expect='<what good shows and bad does not>'"
        )
    if codes.CODE in held:
        raise UsageError("code is what a bisection turns: leave it out")
    try:
        sure = float(str(held.get("sure", culprit.SURE)))
    except ValueError:
        sure = 0.0
    if not 0.5 <= sure < 1:
        raise UsageError(f"sure={held['sure']}: must lie between 0.5 and 1")
    return Asked(
        good=str(held["good"]),
        bad=str(held["bad"]),
        expect=str(held["expect"]),
        min_effect=str(held.get("min_effect", MIN_EFFECT)),
        sure=sure,
        cases_dir=Path.cwd() / Path(str(held.get("cases_dir", root / "cases"))).expanduser(),
        case=str(held["case"]) if "case" in held else None,
        run={name: value for name, value in held.items() if name in KNOWN},
        further={name: str(held[name]) for name in PASSED_ON if name in held},
    )


class Bisect:
    """A bisection under way. Make one with :func:`open_bisection`."""

    def __init__(self, case: Case, asked: Asked, bench: Bench, runs_dir: Path) -> None:
        """Take what :func:`open_bisection` found or made."""
        self.case = case
        self.asked = asked
        self.bench = bench
        self.runs_dir = runs_dir
        self.search = Search(case)

    @property
    def state(self) -> Bisection:
        """The search as it is in the case."""
        return self.search.state

    def next(self) -> dict[str, dict[str, Any]]:
        """Return what is due: ``run`` or ``experiment``, as extra vars; both empty at the end.

        Builds what the step needs; a commit that does not build is skipped. Raises BuildError when
        good or bad does not.
        """
        if self.state.control is None:
            self._build(self.state.good)
            return {"run": self._control_run(), "experiment": {}}
        while (experiment := self._due()) is not None:
            commit = str(experiment.get("value", self.state.bad))
            try:
                self._build(self.state.good)
                self._build(commit)
            except BuildError as exc:
                if exc.commit in (self.state.good, self.state.bad):
                    raise
                self._skip(commit, exc)
                continue
            return {"run": {}, "experiment": experiment}
        return {"run": {}, "experiment": {}}

    def recorded(self, bundle_id: str) -> None:
        """Take the run on the good commit. Raises RefusedError when it is no good one."""
        bundle = Bundle.open(self.runs_dir / bundle_id)
        if codes.built(fingerprint_of(bundle)["inputs"]) != self.state.good:
            raise RefusedError(f"refused: {bundle_id} is no run of {self.state.good[:12]}")
        catalogue = signals.catalogue()
        predicate = expectations.parse(self.state.expect, "expected observation", catalogue)
        outcome = predicate.evaluate(signals.compute(bundle))
        if outcome.tri is not Tri.YES:
            says = "does not show" if outcome.tri is Tri.NO else "cannot tell"
            seen = ", ".join(f"{leaf.signal} was {leaf.value}" for leaf in outcome.leaves)
            raise RefusedError(
                f"refused: The good commit {says} {self.state.expect} ({seen}). Name a commit that "
                f"does, or expect what it shows; its run is {bundle.root}"
            )
        conduct.remember(self.case, {bundle_id: str(bundle.root.resolve())})
        self.case.bisected(replace(self.state, control=bundle_id))

    def believe(self) -> None:
        """Put the chances of the commits into the case, as what is believed now."""
        state = self.state
        belief = {
            f"{commit[:12]} {subject}": round(share, 6)
            for commit, subject, share in zip(
                state.commits, state.subjects, self.search.likely(), strict=True
            )
            if share >= 0.001
        }
        self.case.bisected(state, belief)

    # -- details ---------------------------------------------------------------------------------

    def _due(self) -> dict[str, Any] | None:
        """Return the experiment that is due, as extra vars; None at the end of the search."""
        experiments = self.case.document.experiments
        state = self.state
        if not experiments:
            return self._experiment(state.bad)
        if (going := self._going_on(experiments[-1])) is not None:
            return going
        self.believe()
        over = self.search.tried()
        tried = Counter(step.place for step in over)
        last = len(state.commits) - 1
        if over and over[-1].place == last and over[-1].stopped:
            return self._experiment(state.bad) if tried[last] < culprit.MOST_TRIES else None
        if self.search.shown_by_bad() is not Outcome.SUPPORTED or self.search.answered():
            return None
        if len(experiments) >= MOST_EXPERIMENTS:
            return None
        undecided = {
            step.place for step in over if step.outcome is Outcome.INCONCLUSIVE and not step.stopped
        }
        skipped = {skip.commit for skip in state.skipped}
        places = [
            place
            for place, commit in enumerate(state.commits[:-1])
            if commit not in skipped
            and place not in undecided
            and tried[place] < culprit.MOST_TRIES
        ]
        alpha = float(self.asked.further.get("alpha", DEFAULT_ALPHA))
        place = culprit.next_place(self.search.likely(), alpha / 2, places)
        return None if place is None else self._experiment(state.commits[place])

    def _going_on(self, last: Experiment) -> dict[str, Any] | None:
        """Return what goes on with the last experiment; None when it is over."""
        made = self.case.registration(last.number)
        due = design.next_run(made, last.runs, last.stop, last.repeats)
        more: int | None = 0
        if due is None and last.outcomes:
            outcome = last.outcomes[-1]
            more = None
            if outcome.outcome is Outcome.INCONCLUSIVE and last.stop is None:
                room = MOST_REPEATS - last.repeats
                more = outcome.more_pairs if (outcome.more_pairs or 0) <= room else None
        if more is None:
            return None
        extra = {"repeats": str(more)} if more else {}
        return {**self._stack(), "extend": self.case.document.id, **extra}

    def _experiment(self, commit: str) -> dict[str, Any]:
        number = len(self.case.document.experiments) + 1
        state = self.state
        # Asked again after an interruption, it is the same experiment; the next one is another.
        seed = hashlib.sha256(f"{state.good}:{state.bad}:{number}".encode()).digest()
        return {
            **self._stack(),
            **self.asked.further,
            "control": state.control,
            "code_only": "true",
            "variable": codes.CODE,
            "value": commit,
            "expect": expectations.negation(state.expect),
            "falsified_if": state.expect,
            "min_effect": state.min_effect,
            "seed": str(int.from_bytes(seed[:7])),
            "case": self.case.document.id,
            "question": self.case.document.question,
            "statement": f"{self.search.name(commit)} has the fault that "
            f"{self.search.name(state.bad)} is said to have.",
        }

    def _stack(self) -> dict[str, Any]:
        keep = [name for name in KNOWN if name not in asking.FROM_CONTROL]
        values = {n: v for n, v in self.asked.run.items() if n in keep and n not in KEYS}
        return {**values, "cases_dir": str(self.asked.cases_dir)}

    def _control_run(self) -> dict[str, Any]:
        values = {**self.asked.run, codes.CODE: self.state.good, "fail_on": "never"}
        scenario = self.bench.check(values).scenario
        return {**values, "bundle_id": new_bundle_id(scenario)}

    def _build(self, ref: str) -> None:
        code = codes.of(self.asked.run, self.runs_dir, ref)
        if code is not None:
            build = stack_builds.build(code, drivers.named(self.bench.driver))
            self.case.keep(builds.name_of(code), build.output)

    def _skip(self, commit: str, error: BuildError) -> None:
        name = self.case.keep(f"build-{commit[:12]}.txt", error.output)
        skipped = (*self.state.skipped, Skipped(commit, str(error), name))
        self.case.bisected(replace(self.state, skipped=skipped))


def open_bisection(asked: Asked, bench: Bench, now: str | None = None) -> Bisect:
    """Find the bisection that was asked for, or begin it. Nothing is built or started.

    Raises UsageError for refs between which nothing can be searched.
    """
    runs_dir = runs_dir_of(asked.run, bench)
    state = plan(asked, runs_dir)
    case = _found(asked, state)
    if case is None:
        at = now or utc_now()
        question = f"Which commit between {asked.good} and {asked.bad} ended {asked.expect}?"
        case_id = asked.case or cases.free_id(asked.cases_dir, question, at)
        case = Case.create(asked.cases_dir, case_id, question, at)
        case.bisected(state)
    return Bisect(case, asked, bench, runs_dir)


def runs_dir_of(run: Mapping[str, Any], bench: Bench) -> Path:
    """Return the directory of runs that the extra vars name, else the default one."""
    return Path.cwd() / Path(str(run.get("runs_dir", bench.root / "runs"))).expanduser()


def plan(asked: Asked, runs_dir: Path) -> Bisection:
    """Return the search that is asked for, of which nothing is done yet. Raises UsageError."""
    good, bad = (codes.of(asked.run, runs_dir, ref) for ref in (asked.good, asked.bad))
    if good is None or bad is None:
        raise UsageError("good and bad must be git refs")
    commits, subjects = _between(Path(good.repository), good, bad)
    catalogue = signals.catalogue()
    expectations.parse(asked.expect, "expected observation", catalogue)
    return Bisection(
        good=good.commit,
        bad=bad.commit,
        expect=asked.expect,
        min_effect=asked.min_effect,
        builder=good.image.rpartition("-")[2],
        commits=commits,
        subjects=subjects,
        sure=asked.sure,
    )


def _between(
    repository: Path, good: codes.Code, bad: codes.Code
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    known = git.run(repository, "merge-base", "--is-ancestor", good.commit, bad.commit)
    if known.returncode != 0 or good.commit == bad.commit:
        raise UsageError(
            f"{good.ref} is no ancestor of {bad.ref}: a bisection goes from a good commit to a bad "
            "one after it"
        )
    listed = git.run(
        repository, "log", "--reverse", "--first-parent", "--format=%H %s",
        f"{good.commit}..{bad.commit}",
    )  # fmt: skip
    lines = listed.stdout.decode("utf-8", "replace").splitlines()
    pairs = [line.partition(" ") for line in lines]
    return tuple(p[0] for p in pairs), tuple(p[2][:80] for p in pairs)


def _found(asked: Asked, state: Bisection) -> Case | None:
    """Return the newest case of the very same search, or the one that was named."""
    if asked.case is not None:
        if not (asked.cases_dir / asked.case / cases.NAME).exists():
            return None
        case = Case.load(asked.cases_dir, asked.case)
        if not _same(case.document.bisection, state):
            raise UsageError(f"case {asked.case} is about something else: name another one")
        return case
    for listed in cases.listing(asked.cases_dir):
        if listed.problem is None:
            case = Case.load(asked.cases_dir, listed.id)
            if _same(case.document.bisection, state):
                return case
    return None


def _same(held: Bisection | None, state: Bisection) -> bool:
    return held is not None and replace(held, control=None, skipped=()) == state

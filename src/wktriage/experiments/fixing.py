"""The verification of a fix, step by step: its test, the target before and after, the scenarios.

What was done stands in the case, so that the same request goes on where an interrupted one stood.
Whether code was allowed to change is another question: :mod:`wktriage.experiments.eligibility`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from wktriage.bundle.bundle import Bundle
from wktriage.core import git
from wktriage.core.errors import UsageError
from wktriage.experiments import (
    asking,
    builds,
    conclusions,
    conduct,
    design,
    eligibility,
    grounds,
    regression,
    verification,
)
from wktriage.experiments.bisection import bisect
from wktriage.experiments.case import Case, Experiment
from wktriage.experiments.compare import fingerprint_of
from wktriage.experiments.grounds import Bench, RefusedError
from wktriage.experiments.outcomes import ExperimentOutcome
from wktriage.experiments.regression import TestRun
from wktriage.experiments.verification import Progress, ScenarioRun, Verification
from wktriage.judging.verdict import judge
from wktriage.request import code as codes
from wktriage.request.request import KNOWN, new_bundle_id
from wktriage.request.workload import KEYS
from wktriage.stack import builds as stack_builds
from wktriage.stack import drivers

NAMES = ("case", "cases_dir", "fix_ref", "base", "expect", "min_effect", "because", "repeats",
         "alpha", "foreign_load")  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """What a person asks. ``run`` are the extra vars of a run, ``further`` those of experiments."""

    case: str
    cases_dir: Path
    fix_ref: str
    base: str | None = None
    expect: str | None = None
    min_effect: str | None = None
    because: str | None = None
    run: Mapping[str, Any] = field(default_factory=dict)
    further: Mapping[str, str] = field(default_factory=dict)


def read(values: Mapping[str, Any], root: Path) -> Asked:
    """Return what was asked. Raises UsageError for a name or value that cannot be used."""
    held = asking.held_of(values, NAMES)
    missing = [name for name in ("case", "fix_ref") if name not in held]
    if missing:
        raise UsageError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: add "
            "-e case=<id> -e fix_ref=<ref>"
        )
    for name in (*asking.FROM_CONTROL, *KEYS):
        if name in held:
            raise UsageError(f"{name} is the case's: a fix is verified on what failed")
    text = {name: str(held[name]) for name in NAMES if name in held}
    return Asked(
        case=text["case"],
        cases_dir=Path.cwd() / Path(text.get("cases_dir", root / "cases")).expanduser(),
        fix_ref=text["fix_ref"],
        base=text.get("base"),
        expect=text.get("expect"),
        min_effect=text.get("min_effect"),
        because=text.get("because"),
        run={name: value for name, value in held.items() if name in KNOWN},
        further={name: text[name] for name in bisect.PASSED_ON if name in text},
    )


class Fixing:
    """A verification under way. Make one with :func:`open_fixing`."""

    def __init__(self, case: Case, asked: Asked, bench: Bench, progress: Progress) -> None:
        """Take what :func:`open_fixing` found."""
        self.case = case
        self.asked = asked
        self.bench = bench
        self.progress = progress
        self.runs_dir = bisect.runs_dir_of(asked.run, bench)

    def next(self) -> dict[str, dict[str, Any]]:
        """Return what is due: ``run`` or ``experiment``, as extra vars; both empty at the end.

        The test runs first, then both refs are built. Nothing more is due once something is not as
        it must be. Raises BuildError for a ref that does not build.
        """
        nothing: dict[str, dict[str, Any]] = {"run": {}, "experiment": {}}
        before, after = self._tests()
        if eligibility.fixed(before, after, self.asked.because) is not None or self._semantics():
            return nothing
        for ref in (self.progress.base, self.progress.fix):
            self._build(ref)
        if self.progress.control is None:
            return {**nothing, "run": self._control_run()}
        experiment = self._experiment()
        if experiment is None:
            return {**nothing, "experiment": self._first()}
        made = self.case.registration(experiment.number)
        due = design.next_run(made, experiment.runs, experiment.stop, experiment.repeats)
        if due is not None or not experiment.outcomes:
            return {**nothing, "experiment": {**self._stack(), "extend": self.case.document.id}}
        target = conclusions.target_of(self.case)
        if verification.no_better(target, experiment.outcomes[-1]) is not None:
            return nothing
        for scenario in eligibility.ALWAYS:
            if scenario not in self.progress.runs:
                values = {**self.asked.run, "scenario": scenario, codes.CODE: self.progress.fix}
                values |= {"fail_on": "never", "bundle_id": new_bundle_id(scenario)}
                return {**nothing, "run": values}
        return nothing

    def recorded(self, bundle_id: str) -> None:
        """Take a finished run: the target on the base, or a scenario on the fix.

        Raises RefusedError when it is neither.
        """
        bundle = Bundle.open(self.runs_dir / bundle_id)
        commit = codes.built(fingerprint_of(bundle)["inputs"])
        if commit == self.progress.base and self.progress.control is None:
            self._keep(msgspec.structs.replace(self.progress, control=bundle_id))
        elif commit == self.progress.fix:
            runs = {**self.progress.runs, bundle.scenario: bundle_id}
            self._keep(msgspec.structs.replace(self.progress, runs=runs))
        else:
            ran = commit or "no build"
            raise RefusedError(f"refused: {bundle_id} ran on {ran}, not on the fix")
        conduct.remember(self.case, {bundle_id: str(bundle.root.resolve())})

    def conclude(self) -> Verification:
        """Return whether the fix is verified, and keep it in the case."""
        before, after = self._tests()
        target = conclusions.target_of(self.case)
        experiment = self._experiment()
        outcome: ExperimentOutcome | None = None
        runs: list[ScenarioRun] = []
        if experiment is not None and experiment.outcomes:
            outcome = experiment.outcomes[-1]
            treated = [r for r in experiment.runs if r.excluded is None and r.side == "treatment"]
            runs += [self._scenario_run(target, run.bundle.bundle_id) for run in treated]
        made = self.progress.runs
        runs += [self._scenario_run(n, made[n]) for n in eligibility.ALWAYS if n in made]
        verified = verification.verify(
            target, before, after, runs, outcome, self._diff(), self.asked.because
        )
        self.case.conclusion(verification=verified)
        return verified

    # -- details ---------------------------------------------------------------------------------

    def _tests(self) -> tuple[TestRun, TestRun]:
        before = eligibility.read_test(self.case.directory / eligibility.BASE_TEST)
        if before is None:
            raise UsageError(
                f"{self.case.document.id}: no regression test has been run on the base: "
                f"wktriage case eligible {self.case.document.id} -e regression_test='go test …'"
            )
        after = eligibility.read_test(self.case.directory / eligibility.FIX_TEST)
        if after is None or (after.commit, after.command) != (self.progress.fix, before.command):
            repository = Path(str(self.asked.run[codes.REPOSITORY])).expanduser().resolve()
            after = regression.run(repository, self.asked.fix_ref, before.command)
            encoded = msgspec.json.format(msgspec.json.encode(after, order="sorted"), indent=2)
            self.case.keep(Path(eligibility.FIX_TEST).name, encoded + b"\n")
        return before, after

    def _diff(self) -> str:
        repository = Path(str(self.asked.run[codes.REPOSITORY])).expanduser().resolve()
        shown = git.run(repository, "diff", self.progress.base, self.progress.fix)
        return shown.stdout.decode("utf-8", "replace")

    def _semantics(self) -> list[str]:
        return eligibility.semantics_problems(self._diff())

    def _experiment(self) -> Experiment | None:
        """Return the experiment of base against fix, None before there is one."""
        for experiment in reversed(self.case.document.experiments):
            made = self.case.registration(experiment.number)
            variable, control = made.variable, made.control.bundle_id
            if variable.after == self.progress.fix and control == self.progress.control:
                return experiment
        return None

    def _first(self) -> dict[str, Any]:
        made = self.case.registration(self.case.document.experiments[0].number)
        seed = hashlib.sha256(f"{self.progress.base}:{self.progress.fix}".encode()).digest()
        return {
            **self._stack(),
            **self.asked.further,
            "control": self.progress.control,
            "code_only": "true",
            "variable": codes.CODE,
            "value": self.progress.fix,
            "expect": self.asked.expect or made.expected,
            "min_effect": self.asked.min_effect or str(made.min_effect).replace(" ", ""),
            "seed": str(int.from_bytes(seed[:7])),
            "case": self.case.document.id,
            "question": f"Does {self.asked.fix_ref} fix it?",
            "statement": f"{self.asked.fix_ref} ends what was seen.",
        }

    def _control_run(self) -> dict[str, Any]:
        """Return the run of what failed, on a build of the base."""
        first = self.case.registration(self.case.document.experiments[0].number)
        bundle = Bundle.open(self._place(first.control.bundle_id))
        inputs = dict(fingerprint_of(bundle)["inputs"])
        code = codes.of(self.asked.run, self.runs_dir, self.progress.base)
        inputs |= code.inputs() if code is not None else {}
        duration = first.duration or grounds.window_of(bundle)
        values = grounds.run_values(self.bench, self.asked.run, inputs, duration, 0)
        return {**values, "bundle_id": new_bundle_id(str(values["scenario"]))}

    def _stack(self) -> dict[str, Any]:
        return {**self.asked.run, "cases_dir": str(self.asked.cases_dir)}

    def _build(self, ref: str) -> None:
        code = codes.of(self.asked.run, self.runs_dir, ref)
        if code is not None:
            build = stack_builds.build(code, drivers.named(self.bench.driver))
            self.case.keep(builds.name_of(code), build.output)

    def _scenario_run(self, scenario: str, bundle_id: str) -> ScenarioRun:
        bundle = Bundle.open(self._place(bundle_id))
        revision = fingerprint_of(bundle)["inputs"].get("git_revision")
        return ScenarioRun.of(scenario, bundle, judge(bundle), revision)

    def _place(self, bundle_id: str) -> Path:
        return conduct.place_of(self.case, bundle_id, self.runs_dir)

    def _keep(self, progress: Progress) -> None:
        self.progress = progress
        self.case.keep(Path(verification.PROGRESS).name, verification.encoded(progress))


def open_fixing(asked: Asked, bench: Bench) -> Fixing:
    """Open the verification of a fix. Nothing is built, run or written.

    Raises UsageError for a case without an experiment or a regression test on the base, and for
    refs that cannot be built.
    """
    case = Case.load(asked.cases_dir, asked.case)
    case.experiment()
    before = eligibility.read_test(case.directory / eligibility.BASE_TEST)
    base = asked.base or (before.commit if before is not None else None)
    if base is None:
        raise UsageError(
            f"{asked.case}: no regression test has been run on the base: wktriage case eligible "
            f"{asked.case} -e regression_test='go test …' -e {codes.REPOSITORY}=…"
        )
    runs_dir = bisect.runs_dir_of(asked.run, bench)
    refs = [codes.of(asked.run, runs_dir, ref) for ref in (base, asked.fix_ref)]
    base_commit, fix_commit = (ref.commit for ref in refs if ref is not None)
    held = verification.read_progress(case.directory / verification.PROGRESS)
    if held is None or (held.base, held.fix) != (base_commit, fix_commit):
        held = Progress(base_commit, fix_commit)
    return Fixing(case, asked, bench, held)

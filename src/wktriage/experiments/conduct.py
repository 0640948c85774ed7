"""One experiment from what was asked to its outcome: opened, run by run, judged.

Every step is on disk before the next begins, so that the same request goes on where an interrupted
one stood.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wktriage.bundle import fingerprint
from wktriage.bundle.bundle import Bundle
from wktriage.core.errors import UsageError
from wktriage.core.times import utc_now
from wktriage.experiments import asking, builds, design, eligibility, grounds, hypothesis, variables
from wktriage.experiments import case as cases
from wktriage.experiments import registration as registrations
from wktriage.experiments.asking import Asked
from wktriage.experiments.case import Case, CaseError, Experiment
from wktriage.experiments.compare import fingerprint_of
from wktriage.experiments.design import Planned, RunRecord, Side
from wktriage.experiments.grounds import Bench, RefusedError
from wktriage.experiments.outcomes import ExperimentOutcome
from wktriage.experiments.refusals import Control
from wktriage.experiments.refusals import variables as differing
from wktriage.experiments.registration import BundleRef, Registration, TamperedError
from wktriage.judging import signals
from wktriage.judging.verdict import judge
from wktriage.request.request import new_bundle_id

PLACES = "places.json"
OVERHEAD_SECONDS = 75
"""What a run takes beside its window, before one has been seen: start, warm-up, profile, stop."""


@dataclass(frozen=True)
class Next:
    """The next run: its place among all, and the extra vars with which it is run."""

    planned: Planned
    values: Mapping[str, Any]


class Conduct:
    """An experiment under way. Make one with :func:`open_experiment` or :func:`resume`."""

    def __init__(self, case: Case, number: int, bench: Bench, asked: Asked, runs_dir: Path) -> None:
        """Take what :func:`open_experiment` found or made."""
        self.case = case
        self.number = number
        self.bench = bench
        self.asked = asked
        self.runs_dir = runs_dir

    @property
    def experiment(self) -> Experiment:
        """The experiment as it is in the case."""
        return self.case.experiment(self.number)

    @property
    def registration(self) -> Registration:
        """What was registered. Raises TamperedError when it was edited."""
        return self.case.registration(self.number)

    @property
    def over(self) -> bool:
        """Whether no run is due any more."""
        return self._due() is None

    def next(self) -> Next | None:
        """Return the next run; None when all are done, or it stopped."""
        experiment, made = self.experiment, self.registration
        due = self._due()
        if due is None:
            return None
        control = Bundle.open(self.place_of(made.control.bundle_id))
        made.control.check(control)
        inputs = grounds.side_inputs(control, made.variable, due.side)
        turn = sum(run.side is due.side for run in experiment.runs)
        duration = made.duration or grounds.window_of(control)
        values = grounds.run_values(self.bench, self.asked.stack, inputs, duration, turn)
        values["bundle_id"] = new_bundle_id(str(values["scenario"]))
        if made.snapshot is not None:
            values["data_snapshot"] = made.snapshot.name
        return Next(due, values)

    def progress(self, run_seconds: float | None = None) -> str:
        """Return what may be told now: how far it is, never which side leads.

        ``run_seconds`` is what one run took here; without it, a guess.
        """
        experiment, made = self.experiment, self.registration
        guess = (made.duration or 0) + OVERHEAD_SECONDS
        return design.progress(
            made, experiment.runs, run_seconds or guess, experiment.stop, experiment.repeats
        )

    def record(self, bundle_id: str, place: int, attempt: int) -> RunRecord:
        """Record a finished run. Raises TamperedError when it is not what the design asked for."""
        made = self.registration
        run = Bundle.open(self.runs_dir / bundle_id)
        control = Bundle.open(self.place_of(made.control.bundle_id))
        due = self._due()
        if due is None or (due.place, due.attempt) != (place, attempt):
            raise CaseError(f"run {place + 1}, attempt {attempt}, is not the one that is due")
        _check_inputs(control, run, made, due.side)
        seen = signals.compute(run)
        excluded, unchecked = design.disturbed(made, seen)
        record = RunRecord(
            place, attempt, due.side, BundleRef.of(run), made.sha256(), excluded, unchecked
        )
        # A search for the commit that brought a fault has to run the fault.
        stops = [] if self.case.document.bisection is not None else _new_stops(control, run)
        stop = design.stop_after(made, record, seen, [*self.experiment.runs, record], stops)
        remember(self.case, {run.bundle_id: str(run.root)})
        self.case.record(self.number, record, stop)
        return record

    def conclude(self) -> ExperimentOutcome:
        """Judge the experiment, once a look, and return its newest outcome.

        Raises CaseError while runs are due, TamperedError for a bundle that was swapped or edited.
        """
        experiment, made = self.experiment, self.registration
        counted = [run for run in experiment.runs if run.excluded is None]
        names = [made.control.bundle_id, *(run.bundle.bundle_id for run in experiment.runs)]
        # Opened once: what is hashed here is what is read below.
        opened = {name: Bundle.open(self.place_of(name)) for name in names}
        self.case.check_bundles(self.number, opened)
        if experiment.outcomes and _looked_at(experiment.outcomes[-1]) >= len(counted):
            return experiment.outcomes[-1]
        # What judges needs numpy and scipy, which nothing before the last run does.
        from wktriage.experiments import judge as judging
        from wktriage.experiments import noise_store

        key = noise_store.key_of_bundle(opened[made.control.bundle_id])
        runs, controls = [], []
        for run in counted:
            # What was read of a bundle goes with it: eight at once may take much memory.
            bundle = opened.pop(run.bundle.bundle_id)
            runs.append(judging.JudgedRun(run.side, signals.compute(bundle)))
            if run.side is Side.CONTROL:
                controls.append(noise_store.noise_run(bundle, runs[-1].signals))
        store = noise_store.path(self.case.directory.parent, key)
        floors = noise_store.floors(store, made, experiment.repeats, without=set(names))
        outcome = judging.judge(made, runs, spent=experiment.spent, noise=floors)
        self.case.conclude(self.number, outcome)
        noise_store.add(store, key, controls)
        return outcome

    def place_of(self, bundle_id: str) -> Path:
        """Return where a bundle lies. Raises CaseError when it is not there any more."""
        return place_of(self.case, bundle_id, self.runs_dir)

    def _due(self) -> Planned | None:
        at = self.experiment
        return design.next_run(self.registration, at.runs, at.stop, at.repeats)


@dataclass(frozen=True)
class Prepared:
    """What was asked, checked against its control: accepted, and not registered yet."""

    case: Case | None
    control: Control
    terms: Mapping[str, Any]
    duration: int
    number: int | None = None
    """The experiment that asks the very same and is there already."""


def prepare(asked: Asked, bench: Bench) -> Prepared:
    """Check what was asked. Nothing is written or started.

    Raises RefusedError with every reason why it is not accepted, UsageError for what cannot be
    used, TamperedError when a case was changed by other hands.
    """
    runs_dir = _runs_dir(asked, bench)
    control = grounds.control_of(str(asked.control), runs_dir)
    reference = BundleRef.of(control.bundle)
    case = _case_of(asked, reference)
    inputs = fingerprint_of(control.bundle)["inputs"]
    terms = hypothesis.terms(asked, grounds.verdict_of(control), inputs)
    duration = asked.duration or grounds.window_of(control.bundle)
    if case is not None:
        number = _registered(case, reference, terms, asked, duration)
        if number is not None:
            return Prepared(case, control, terms, duration, number)
    treated = variables.applied(inputs, terms["variable"])
    values: dict[str, Any] | None = None
    impossible: UsageError | None = None
    try:
        values = grounds.run_values(bench, asked.stack, treated, duration, 0)
    except UsageError as exc:
        impossible = exc  # said after what makes no sense on any stack
    refused = grounds.refuse(
        control, terms, bench, values, case.document if case is not None else None, runs_dir,
        attribution_only=asked.attribution_only, code_only=asked.code_only,
    )  # fmt: skip
    if refused:
        raise RefusedError("\n".join(f"refused: {refusal}" for refusal in refused))
    if impossible is not None:
        raise impossible
    return Prepared(case, control, terms, duration)


def open_experiment(asked: Asked, bench: Bench, now: str | None = None) -> Conduct:
    """Find the open experiment that was asked for, or register it. Nothing is started.

    Raises what :func:`prepare` raises.
    """
    runs_dir = _runs_dir(asked, bench)
    if asked.extend is not None:
        return _extended(asked, bench, runs_dir)
    prepared = prepare(asked, bench)
    kept = builds.made(asked, bench, prepared.terms["variable"], runs_dir)
    if kept:
        # What a build is, its driver can only tell once it is there.
        prepared = prepare(asked, bench)
    case, control = prepared.case, prepared.control
    if case is not None and prepared.number is not None:
        return Conduct(case, prepared.number, bench, asked, runs_dir)
    at = now or utc_now()
    values = grounds.run_values(
        bench, asked.stack, fingerprint_of(control.bundle)["inputs"], prepared.duration, 0
    )
    made = registrations.register(
        snapshot=grounds.snapshot_of(control.bundle, bench, values),
        control=BundleRef.of(control.bundle),
        registered_at=at,
        seed=secrets.randbits(62) if asked.seed is None else asked.seed,
        repeats=asking.repeats_of(asked),
        alpha=asked.alpha,
        disturbed_if=registrations.exclusion_rule(control.signals, asked.foreign_load),
        attribution_only=asked.attribution_only,
        duration=prepared.duration,
        **prepared.terms,
    )
    case = case or _new_case(asked, control, made, at)
    remember(case, {control.bundle.bundle_id: str(control.bundle.root.resolve())})
    for name, output in kept.items():
        case.keep(name, output)
    return Conduct(case, case.register(made).number, bench, asked, runs_dir)


def resume(case_id: str, number: int, asked: Asked, bench: Bench) -> Conduct:
    """Return an experiment that :func:`open_experiment` opened before."""
    case = Case.load(asked.cases_dir, case_id)
    case.experiment(number)
    return Conduct(case, number, bench, asked, _runs_dir(asked, bench))


def place_of(case: Case, bundle_id: str, runs_dir: Path) -> Path:
    """Return where a bundle of a case lies. Raises CaseError when it is not there any more."""
    known = read_places(case)
    for path in (runs_dir / bundle_id, Path(known.get(bundle_id, "/nowhere"))):
        if path.is_dir():
            return path
    raise CaseError(
        f"bundle {bundle_id} is not there any more: it lay in {known.get(bundle_id, runs_dir)}; "
        "put it back"
    )


def read_places(case: Case) -> dict[str, str]:
    """Return where the bundles of a case lay, by id: a hint, since they may move."""
    path = case.directory / cases.EVIDENCE / PLACES
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in document.items()} if isinstance(document, dict) else {}


def keep_verdict(case: Case, verdict: Mapping[str, Any]) -> None:
    """Keep the verdict that a case starts from."""
    case.keep(
        Path(eligibility.VERDICT).name,
        json.dumps(verdict, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n",
    )


def remember(case: Case, places: Mapping[str, str]) -> None:
    """Note where bundles of a case lie."""
    known = {**read_places(case), **places}
    case.keep(PLACES, json.dumps(known, indent=1, sort_keys=True).encode() + b"\n")


def _runs_dir(asked: Asked, bench: Bench) -> Path:
    return Path.cwd() / Path(str(asked.stack.get("runs_dir", bench.root / "runs"))).expanduser()


def _case_of(asked: Asked, control: BundleRef) -> Case | None:
    """Return the case that was named, else the newest one about the same control."""
    if asked.case is not None and (asked.cases_dir / asked.case / cases.NAME).exists():
        return Case.load(asked.cases_dir, asked.case)
    if asked.case is not None:
        return None
    for listed in cases.listing(asked.cases_dir):
        if listed.problem is not None:
            continue
        case = Case.load(asked.cases_dir, listed.id)
        numbers = [experiment.number for experiment in case.document.experiments]
        if any(case.registration(number).control == control for number in numbers):
            return case
    return None


def _registered(
    case: Case, control: BundleRef, terms: Mapping[str, Any], asked: Asked, duration: int
) -> int | None:
    """Return the number of the experiment that asks the very same; None when there is none."""
    for experiment in reversed(case.document.experiments):
        if experiment.stop is not None and experiment.outcomes:
            # It ended early, and its place is taken: asked again, it begins again.
            continue
        made = case.registration(experiment.number)
        same = (
            made.control == control
            and made.variable == terms["variable"]
            and made.expected == terms["expected"]
            and made.min_effect == terms["min_effect"]
            and made.duration == duration
            and made.attribution_only == asked.attribution_only
            and asked.repeats in (None, made.repeats, experiment.repeats)
            and asked.seed in (None, made.seed)
        )
        if same:
            return experiment.number
    return None


def _new_case(asked: Asked, control: Control, made: Registration, at: str) -> Case:
    verdict = control.verdict or {}
    confidence = verdict.get("confidence")
    share = float(confidence) if isinstance(confidence, int | float) else 0.5
    blamed = str((verdict.get("hypothesis") or {}).get("id") or made.cause)
    case_id = asked.case or cases.free_id(asked.cases_dir, made.question, at)
    case = Case.create(asked.cases_dir, case_id, made.question, at, {blamed: share})
    keep_verdict(case, verdict)
    return case


def _extended(asked: Asked, bench: Bench, runs_dir: Path) -> Conduct:
    case = Case.load(asked.cases_dir, str(asked.extend))
    experiment = case.experiment()
    made = case.registration()
    due = design.next_run(made, experiment.runs, experiment.stop, experiment.repeats)
    counted = sum(run.excluded is None for run in experiment.runs)
    # Extended already, with all runs done: only the look at them is missing.
    unseen = experiment.outcomes and _looked_at(experiment.outcomes[-1]) < counted
    if due is None and not unseen:
        pairs = asked.repeats
        if pairs is None and experiment.outcomes:
            pairs = experiment.outcomes[-1].more_pairs
        if pairs is None:
            raise UsageError(
                f"{case.document.id}: how many more pairs would decide is not known: say it with "
                "-e repeats=<pairs>"
            )
        experiment = case.extend(experiment.number, pairs)
    return Conduct(case, experiment.number, bench, asked, runs_dir)


def _looked_at(outcome: ExperimentOutcome) -> int:
    return outcome.expected.runs + outcome.expected_in_control.runs


def _check_inputs(control: Bundle, run: Bundle, made: Registration, side: Side) -> None:
    """Raise TamperedError unless a run has the inputs of its side, as its fingerprint says."""
    theirs, ours = fingerprint_of(control)["inputs"], fingerprint_of(run)["inputs"]
    paths = fingerprint.compare({"inputs": theirs}, {"inputs": ours})
    changed = differing(paths, theirs, ours)
    if side is Side.TREATMENT and made.variable.kind == "code":
        # Any other commit differs in the code as well.
        right = ours.get("git_revision") == made.variable.after
        changed = changed if right else [*changed, f"commit {ours.get('git_revision')}"]
    turned = [made.variable.fingerprint_input] if side is Side.TREATMENT else []
    if changed != turned:
        extra = sorted(set(changed) - set(turned)) or turned
        raise TamperedError(
            f"{run.bundle_id} is no run of this experiment: {', '.join(extra)} is not as "
            "registered. Bring the stack back to what the control ran on, and go on with the same "
            "command"
        )
    begun = (fingerprint_of(run).get("observed") or {}).get("data_snapshot") or {}
    if made.snapshot is not None and begun.get("sha256") != made.snapshot.sha256:
        raise TamperedError(
            f"{run.bundle_id} did not begin with the registered snapshot {made.snapshot.name}"
        )


def _new_stops(control: Bundle, run: Bundle) -> list[str]:
    """Return the hard stops of a run that the control did not have."""
    known = {stop["id"] for stop in judge(control)["hard_stops"]}
    return [str(stop["text"]) for stop in judge(run)["hard_stops"] if stop["id"] not in known]

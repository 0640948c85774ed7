"""A case: one question, its experiments, and what came of them, in ``cases/<id>/``.

::

    case.json                       everything but what is below; written whole or not at all
    experiments/<n>/registration.json   the registered bytes, never written again
    evidence/                       outputs of tests and what else proves a condition

Bundles are referred to by id and by the hash of their manifest; they and their verdicts never
change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from wktriage.bundle.bundle import Bundle
from wktriage.core import private_files
from wktriage.core.errors import UsageError
from wktriage.core.times import parse_time
from wktriage.experiments import belief, design, registration
from wktriage.experiments.culprit import Bisection
from wktriage.experiments.design import RunRecord, Stop
from wktriage.experiments.eligibility import Eligibility
from wktriage.experiments.finding import Finding
from wktriage.experiments.outcomes import ExperimentOutcome
from wktriage.experiments.registration import BundleRef, Registration, TamperedError
from wktriage.experiments.verification import Verification

NAME = "case.json"
EVIDENCE = "evidence"
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
_NO_SLUG = re.compile(r"[^a-z0-9]+")


class CaseError(UsageError):
    """A case that cannot be read or used as asked; the message says which and why."""


class Experiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One experiment of a case.

    ``repeats`` is the registered number or more (after an extension). ``order`` is what the seed
    drew. ``outcomes`` are its looks, oldest first; each spent its ``level`` of alpha.
    """

    number: int
    registration_sha256: str
    repeats: int
    order: tuple[design.Side, ...]
    cause: str = ""
    runs: tuple[RunRecord, ...] = ()
    stop: Stop | None = None
    outcomes: tuple[ExperimentOutcome, ...] = ()

    @property
    def spent(self) -> tuple[float, ...]:
        """What each look so far has spent of alpha."""
        return tuple(outcome.level for outcome in self.outcomes)


class CaseFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What case.json holds. ``belief`` is by cause, and sums to one."""

    id: str
    question: str
    created_at: str
    belief: dict[str, float] = {}
    experiments: tuple[Experiment, ...] = ()
    eligibility: Eligibility | None = None
    verification: Verification | None = None
    finding: Finding | None = None
    bisection: Bisection | None = None
    schema_version: int = 1


@dataclass(frozen=True)
class Listed:
    """One line of the list of cases; ``problem`` says why a case cannot be read."""

    id: str
    created_at: str
    question: str
    standing: str
    problem: str | None = None


def new_id(question: str, created_at: str) -> str:
    """Return an id made of the day and the first words of the question. Raises CaseError."""
    if parse_time(created_at) is None:
        raise CaseError(f"{created_at!r} is no ISO 8601 time")
    words = _NO_SLUG.sub("-", question.lower()).strip("-")[:40].strip("-")
    return f"{created_at[:10].replace('-', '')}-{words or 'case'}"


def free_id(cases: Path, question: str, created_at: str) -> str:
    """Return an id that no case has yet, made as :func:`new_id` makes it."""
    case_id = new_id(question, created_at)
    taken = {path.name for path in cases.glob("*")}
    names = (case_id, *(f"{case_id}-{n}" for n in range(2, 1000)))
    return next(name for name in names if name not in taken)


class Case:
    """A case on disk. Every change is written before the method returns."""

    def __init__(self, directory: Path, document: CaseFile) -> None:
        """Use :meth:`create` or :meth:`load`."""
        self.directory = directory
        self.document = document

    @classmethod
    def create(
        cls,
        cases: Path,
        case_id: str,
        question: str,
        created_at: str,
        causes: Mapping[str, float] | None = None,
    ) -> Case:
        """Make ``cases/<case_id>``. Raises CaseError when there is one, or the id is none."""
        if not _ID.match(case_id):
            raise CaseError(f"{case_id!r} is no id: use small letters, digits and hyphens")
        if not question.strip() or parse_time(created_at) is None:
            raise CaseError("a case needs a question and the time it was opened")
        directory = cases / case_id
        if (directory / NAME).exists():
            raise CaseError(f"{directory}: there is a case of that name; open it instead")
        private_files.directory(directory)
        started = belief.start(causes or {})
        case = cls(directory, CaseFile(case_id, question.strip(), created_at, started))
        case._save(case.document)
        return case

    @classmethod
    def load(cls, cases: Path, case_id: str) -> Case:
        """Open a case and check it against its registrations.

        Raises CaseError when it cannot be read, TamperedError when it was changed by other hands.
        """
        if not _ID.match(case_id):
            raise CaseError(f"{case_id!r} is no id of a case")
        path = cases / case_id / NAME
        try:
            document = msgspec.json.decode(path.read_bytes(), type=CaseFile)
        except FileNotFoundError:
            known = ", ".join(sorted(p.parent.name for p in cases.glob(f"*/{NAME}"))) or "none"
            raise CaseError(f"{path.parent}: no such case; there are: {known}") from None
        except (OSError, msgspec.DecodeError) as exc:
            raise CaseError(f"{path}: cannot be read: {exc}") from exc
        if document.id != case_id:
            raise TamperedError(f"{path} is that of case {document.id}: put the right one back")
        case = cls(path.parent, document)
        for experiment in document.experiments:
            case.check(experiment)
        return case

    # -- experiments ------------------------------------------------------------------------------

    def experiment(self, number: int | None = None) -> Experiment:
        """Return an experiment by number (from 1), the last one without. Raises CaseError."""
        all_of_them = self.document.experiments
        if not all_of_them:
            raise CaseError(f"{self.document.id} has no experiment yet: register one")
        if number is None:
            return all_of_them[-1]
        for experiment in all_of_them:
            if experiment.number == number:
                return experiment
        raise CaseError(f"{self.document.id} has no experiment {number}")

    def registration(self, number: int | None = None) -> Registration:
        """Return the registration of an experiment. Raises TamperedError when it was edited."""
        experiment = self.experiment(number)
        return registration.load(
            self._registered(experiment.number), experiment.registration_sha256
        )

    def register(self, made: Registration) -> Experiment:
        """Add an experiment; its registration is on disk before its first run can be recorded."""
        number = len(self.document.experiments) + 1
        private_files.directory(self._registered(number).parent)
        private_files.write(self._registered(number), made.canonical())
        drawn = design.order(made.seed, made.repeats)
        experiment = Experiment(number, made.sha256(), made.repeats, drawn, made.cause)
        self._replace(experiment)
        return experiment

    def record(self, number: int, run: RunRecord, stop: Stop | None = None) -> Experiment:
        """Add a finished run. Raises TamperedError or CaseError when it is not the one due."""
        experiment = self.experiment(number)
        made = self.registration(number)
        due = design.next_run(made, experiment.runs, experiment.stop, experiment.repeats)
        if due is None or (run.place, run.attempt, run.side) != (due.place, due.attempt, due.side):
            raise CaseError(
                f"run {run.place + 1} of experiment {number} is not the one that is due"
            )
        runs = (*experiment.runs, run)
        design.check_records(made, runs, experiment.repeats)
        changed = msgspec.structs.replace(experiment, runs=runs, stop=stop)
        self._replace(changed)
        return changed

    def extend(self, number: int, pairs: int) -> Experiment:
        """Add pairs of runs to an experiment that could not decide. Raises CaseError."""
        experiment = self.experiment(number)
        if pairs < 1 or not experiment.outcomes:
            raise CaseError("only an experiment with an outcome is extended, by one pair or more")
        if experiment.outcomes[-1].outcome != "inconclusive" or experiment.stop is not None:
            raise CaseError(f"experiment {number} is decided or was stopped: register a new one")
        repeats = experiment.repeats + pairs
        drawn = design.order(self.registration(number).seed, repeats)
        changed = msgspec.structs.replace(experiment, repeats=repeats, order=drawn)
        self._replace(changed)
        return changed

    def conclude(self, number: int, outcome: ExperimentOutcome) -> None:
        """Add an outcome and let it move the belief in the cause that was blamed.

        Raises CaseError when runs are still due: looking before would spend alpha unplanned.
        """
        experiment = self.experiment(number)
        made = self.registration(number)
        if outcome.registration_sha256 != experiment.registration_sha256:
            raise TamperedError("The outcome is that of another registration")
        due = design.next_run(made, experiment.runs, experiment.stop, experiment.repeats)
        if due is not None:
            raise CaseError(f"run {due.place + 1} of experiment {number} is still due: no peeking")
        changed = msgspec.structs.replace(experiment, outcomes=(*experiment.outcomes, outcome))
        moved = belief.update(self.document.belief, made.cause, outcome.outcome, made.alpha)
        self._replace(changed, belief=moved)

    def blame(self, beliefs: Mapping[str, float]) -> None:
        """Believe so in each cause from now on, as a verdict does that is a new start."""
        self._save(msgspec.structs.replace(self.document, belief=dict(beliefs)))

    def conclusion(
        self,
        *,
        eligibility: Eligibility | None = None,
        verification: Verification | None = None,
        finding: Finding | None = None,
    ) -> None:
        """Write what is given of the case's last steps."""
        conclusions = {"eligibility": eligibility, "verification": verification, "finding": finding}
        changes = {key: value for key, value in conclusions.items() if value is not None}
        self._save(msgspec.structs.replace(self.document, **changes))

    def bisected(self, state: Bisection, belief: Mapping[str, float] | None = None) -> None:
        """Write how far a bisection is, and what is believed of each commit where that is given."""
        changes = {} if belief is None else {"belief": dict(belief)}
        self._save(msgspec.structs.replace(self.document, bisection=state, **changes))

    def keep(self, name: str, data: bytes) -> str:
        """Write a file of evidence; return its path in the case. Raises CaseError."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,80}", name):
            raise CaseError(f"{name!r} is no name for a file of evidence")
        private_files.directory(self.directory / EVIDENCE)
        private_files.write(self.directory / EVIDENCE / name, data)
        return f"{EVIDENCE}/{name}"

    # -- checks -----------------------------------------------------------------------------------

    def check(self, experiment: Experiment) -> None:
        """Raise TamperedError when registration, seed, order or runs do not belong together."""
        made = self.registration(experiment.number)
        if experiment.order != design.order(made.seed, experiment.repeats):
            raise TamperedError(
                f"The order of experiment {experiment.number} is not what its registered seed "
                "draws: seed or order was changed"
            )
        design.check_records(made, experiment.runs, experiment.repeats)

    def check_bundles(self, number: int, find: Mapping[str, Bundle]) -> None:
        """Check every bundle of an experiment against its reference.

        ``find`` gives opened bundles by their id. Raises TamperedError for a bundle that was
        swapped or edited, CaseError for one that is not there.
        """
        experiment = self.experiment(number)
        control = self.registration(number).control
        references: list[BundleRef] = [control, *(run.bundle for run in experiment.runs)]
        for reference in dict.fromkeys(references):
            bundle = find.get(reference.bundle_id)
            if bundle is None:
                raise CaseError(f"bundle {reference.bundle_id} is not there any more")
            reference.check(bundle)

    # -- writing ----------------------------------------------------------------------------------

    def _registered(self, number: int) -> Path:
        return self.directory / "experiments" / str(number) / "registration.json"

    def _replace(self, experiment: Experiment, **changes: object) -> None:
        others = [e for e in self.document.experiments if e.number != experiment.number]
        experiments = tuple(sorted([*others, experiment], key=lambda e: e.number))
        self._save(msgspec.structs.replace(self.document, experiments=experiments, **changes))

    def _save(self, document: CaseFile) -> None:
        encoded = msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2)
        private_files.write(self.directory / NAME, encoded + b"\n")
        self.document = document


def listing(cases: Path) -> Iterator[Listed]:
    """Yield all cases, newest first; one that cannot be read is there with its problem."""
    rows = []
    for path in cases.glob(f"*/{NAME}"):
        name = path.parent.name
        try:
            document = Case.load(cases, name).document
        except (UsageError, TamperedError) as exc:
            rows.append(Listed(name, "", "", "cannot be read", str(exc)))
            continue
        rows.append(Listed(name, document.created_at, document.question, standing(document)))
    yield from sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True)


def standing(document: CaseFile) -> str:
    """Say in a few words where a case stands."""
    if document.finding is not None:
        return "recorded"
    if document.verification is not None:
        return "fix verified" if document.verification.verified == "yes" else "fix not verified"
    if not document.experiments:
        return "no experiment yet"
    if document.bisection is not None:
        named, share = max(document.belief.items(), key=lambda item: item[1])
        return f"bisection: {named}, {share:.0%}"
    last = document.experiments[-1]
    if not last.outcomes:
        done = sum(run.excluded is None for run in last.runs)
        return f"experiment {last.number}: {done} of {2 * last.repeats} runs"
    return f"experiment {last.number}: {last.outcomes[-1].outcome}"

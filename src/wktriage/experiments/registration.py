"""The registration of an experiment: written and hashed before its first run, never changed.

Its hash stands in the case and in every run, so that a registration edited afterwards, another
seed, or a bundle put in place of the one that ran are each seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from wktriage.bundle import layout, manifest
from wktriage.bundle.bundle import Bundle
from wktriage.core.errors import TriageError, UsageError
from wktriage.core.model import SignalSet
from wktriage.core.times import parse_time
from wktriage.experiments import expectations, looks
from wktriage.experiments.effects import MinEffect
from wktriage.judging import signals
from wktriage.judging.predicates import Catalogue

DEFAULT_REPEATS = 4
DEFAULT_ALPHA = 0.05
SEEDS = 2**63
CLOCK_STEP = 0.5
"""Half a sample interval (s): beyond it, the order of events on two hosts can't be told."""

DISTURBED = (
    "status_longest_gap > 5",
    "collector_window_valid == false",
    "collection_interrupted == true",
    f"clock_step > {CLOCK_STEP}",
)
"""A run for which one of these holds says nothing and is repeated, whatever it would have said."""
FOREIGN_LOAD = 0.25
"""More foreign load than in the control by this share of the host is a disturbance."""

Setting = str | int | float | bool | None
Kind = Literal["workload", "stack", "config", "code"]


class TamperedError(TriageError):
    """What was registered, drawn or recorded is no longer what is there; the message says what."""

    exit_code = 2


def exclusion_rule(control: SignalSet, foreign_load: float = FOREIGN_LOAD) -> tuple[str, ...]:
    """Return the exclusion rule, with foreign load measured against the control's own.

    ``foreign_load`` is how much more of the host it may be, as a share. What the container
    engine uses counts as foreign, so that no fixed number fits all hosts.
    """
    signal = control.get("foreign_cpu_of_host")
    value = signal.value if signal is not None else None
    if not isinstance(value, int | float):
        return DISTURBED
    return (f"foreign_cpu_of_host > {value + foreign_load:.2f}", *DISTURBED)


class BundleRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bundle by its id and the hash of its manifest, which covers every file in it."""

    bundle_id: str
    manifest_sha256: str

    @classmethod
    def of(cls, bundle: Bundle) -> BundleRef:
        """Return the reference to a bundle. Raises UsageError when it has no manifest."""
        path = bundle.root / layout.MANIFEST
        if bundle.manifest is None or not path.is_file():
            raise UsageError(
                f"{bundle.root}: has no usable manifest, so that it could not be told from another "
                "bundle later; record the run with this harness"
            )
        return cls(bundle.bundle_id, manifest.sha256(path))

    def check(self, bundle: Bundle) -> None:
        """Raise TamperedError when ``bundle`` is not the one referred to, or was changed since."""
        there = BundleRef.of(bundle)
        if there.bundle_id != self.bundle_id:
            raise TamperedError(
                f"{bundle.root} is bundle {there.bundle_id}, not {self.bundle_id}: put the bundle "
                "back that ran"
            )
        if there.manifest_sha256 != self.manifest_sha256:
            raise TamperedError(
                f"The manifest of {self.bundle_id} changed since its run: the bundle was swapped "
                "or edited"
            )
        entries = (bundle.manifest or {}).get("files")
        for entry in entries if isinstance(entries, list) else []:
            path = entry.get("path") if isinstance(entry, dict) else None
            if isinstance(path, str) and bundle.sha256(path) != entry.get("sha256"):
                raise TamperedError(f"{path} of {self.bundle_id} is not the file that was recorded")


class Variable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The one variable: the knob, the fingerprint input that it is, from and to which value."""

    knob: str
    kind: Kind
    fingerprint_input: str
    before: Setting
    after: Setting

    def __post_init__(self) -> None:
        if self.before == self.after and type(self.before) is type(self.after):
            value = "not set" if self.after is None else self.after
            raise ValueError(f"{self.knob} is {value} already, so that nothing would change")


class Snapshot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data that every run begins with: its name, the hash of its files, and their bytes."""

    name: str
    sha256: str
    bytes: int


class Registration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What will be run and what it would mean. Make one with :func:`register`.

    ``expected``, ``falsified_if``, ``stop_if`` and ``disturbed_if`` are predicates over signals
    (see :mod:`wktriage.experiments.expectations`). ``cause`` is the id of the cause that the
    hypothesis blames. ``registered_at`` is ISO 8601 UTC. ``duration`` is the window of each run in
    seconds; None leaves it open. ``snapshot`` is what runs on accumulated data begin with.
    """

    question: str
    statement: str
    cause: str
    control: BundleRef
    variable: Variable
    expected: str
    falsified_if: str
    min_effect: MinEffect
    registered_at: str
    seed: Annotated[int, msgspec.Meta(ge=0)]
    stop_if: str | None = None
    repeats: Annotated[int, msgspec.Meta(ge=1, le=100)] = DEFAULT_REPEATS
    alpha: Annotated[float, msgspec.Meta(gt=0, lt=1)] = DEFAULT_ALPHA
    disturbed_if: tuple[str, ...] = DISTURBED
    attribution_only: bool = False
    duration: Annotated[int, msgspec.Meta(ge=1)] | None = None
    snapshot: Snapshot | None = None
    schema_version: Literal[1] = 1

    def canonical(self) -> bytes:
        """Return the bytes that are hashed and written: sorted keys, UTF-8, no spaces.

        An experiment without a snapshot has no such key: older registrations keep their hash.
        """
        document = msgspec.to_builtins(self)
        if document["snapshot"] is None:
            del document["snapshot"]
        return msgspec.json.encode(document, order="sorted")

    def sha256(self) -> str:
        """Return the hash of the canonical bytes, in hexadecimal."""
        return hashlib.sha256(self.canonical()).hexdigest()

    def remarks(self) -> Sequence[str]:
        """Return what a person should know before the first run."""
        fewest = looks.fewest_repeats(self.alpha)
        notes = []
        if self.repeats < fewest:
            notes.append(
                f"{self.repeats} runs a side cannot decide anything at {self.alpha:g}: it takes "
                f"{fewest} a side. The outcome will be inconclusive, and say how many more."
            )
        if self.attribution_only:
            notes.append("For attribution only: its numbers are no result of the product.")
        return notes


def register(
    *,
    question: str,
    statement: str,
    cause: str,
    control: BundleRef,
    variable: Variable,
    expected: str,
    min_effect: MinEffect,
    registered_at: str,
    seed: int,
    falsified_if: str | None = None,
    stop_if: str | None = None,
    repeats: int = DEFAULT_REPEATS,
    alpha: float = DEFAULT_ALPHA,
    disturbed_if: tuple[str, ...] = DISTURBED,
    attribution_only: bool = False,
    duration: int | None = None,
    snapshot: Snapshot | None = None,
    catalogue: Catalogue | None = None,
) -> Registration:
    """Return a checked registration. Nothing here reads a clock or draws a seed.

    Without ``falsified_if`` it is the opposite of ``expected``. Raises UsageError when a text is
    empty or a predicate is none, names no signal, or (expectation and falsification) no number.
    """
    for name, text in (("question", question), ("statement", statement), ("cause", cause)):
        if not text.strip():
            raise UsageError(f"{name} is empty: say what is asked before it is tried")
    if parse_time(registered_at) is None:
        raise UsageError(f"registered_at {registered_at!r} is no ISO 8601 time")
    made = Registration(
        question=question.strip(),
        statement=statement.strip(),
        cause=cause.strip(),
        control=control,
        variable=variable,
        expected=expected.strip(),
        falsified_if=(falsified_if or expectations.negation(expected)).strip(),
        min_effect=min_effect,
        registered_at=registered_at,
        seed=seed,
        stop_if=stop_if,
        repeats=repeats,
        alpha=alpha,
        disturbed_if=disturbed_if,
        attribution_only=attribution_only,
        duration=duration,
        snapshot=snapshot,
    )
    return check(made, catalogue)


def check(registration: Registration, catalogue: Catalogue | None = None) -> Registration:
    """Return the registration if all its parts can be used. Raises UsageError."""
    known = signals.catalogue() if catalogue is None else catalogue
    try:
        # Constraints of the fields are msgspec's, which looks at them when it reads.
        decode(registration.canonical())
    except UsageError as exc:
        raise UsageError(f"registration: {exc}") from exc
    expected = expectations.parse(registration.expected, "expected observation", known)
    expectations.effects(expected, known, "expected observation")
    falsified = expectations.parse(registration.falsified_if, "falsification test", known)
    for what, predicate in (("expected observation", expected), ("falsification test", falsified)):
        if not expectations.has_number(predicate):
            raise UsageError(f"{what}: has no number; compare a signal with one")
    if registration.stop_if is not None:
        expectations.parse(registration.stop_if, "stop condition", known)
    for text in registration.disturbed_if:
        expectations.parse(text, "exclusion rule", known)
    return registration


def decode(raw: bytes) -> Registration:
    """Read a registration. Raises UsageError for anything else."""
    try:
        return msgspec.json.decode(raw, type=Registration)
    except msgspec.DecodeError as exc:
        raise UsageError(f"no registration: {exc}") from exc


def load(path: Path, sha256: str) -> Registration:
    """Read a registration that was registered under that hash.

    Raises TamperedError when it is not byte for byte what was registered, UsageError when it
    cannot be read.
    """
    try:
        raw = path.read_bytes()
    except OSError as exc:
        raise UsageError(f"{path}: cannot be read: {exc}") from exc
    if hashlib.sha256(raw).hexdigest() != sha256:
        raise TamperedError(
            f"{path} is not what was registered: it was edited after the fact. Put it back, or "
            "register a new experiment"
        )
    return decode(raw)


def of_proposal(proposal: Mapping[str, Any]) -> dict[str, Any]:
    """Return the predicates of a verdict's own proposal, as :func:`register` takes them.

    Raises UsageError for a proposal whose expectation is prose: nothing could refute it.
    """
    expected = proposal.get("expect")
    if not isinstance(expected, str):
        text = json.dumps(proposal.get("expected_result"))[:200]
        raise UsageError(f"the proposal expects {text}, which no signal can confirm; give expect")
    taken: dict[str, Any] = {"expected": expected}
    for key in ("falsified_if", "stop_if"):
        if isinstance(proposal.get(key), str):
            taken[key] = proposal[key]
    return taken

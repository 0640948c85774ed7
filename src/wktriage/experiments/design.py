"""Which run is next: order drawn by the registered seed, disturbed runs repeated, early stop.

Runs are interleaved in blocks of four, A B B A or B A A B (A is the control): a steady drift of
the machine weighs on both sides alike. Every even prefix of the order has as many runs of either
side, and a longer experiment begins with the order of a shorter one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from wktriage.core.model import SignalSet, Tri
from wktriage.experiments import expectations
from wktriage.experiments.registration import BundleRef, Registration, TamperedError
from wktriage.judging import signals as catalogue_of
from wktriage.judging.predicates import Catalogue

ATTEMPTS = 3
"""A place in the order that is disturbed so often ends the experiment: it is no quiet machine."""


class Side(StrEnum):
    """A is the control, B the treatment."""

    CONTROL = "control"
    TREATMENT = "treatment"


class RunRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One finished run: its place in the order (from 0), attempt (from 1), side and bundle.

    ``excluded`` says why it does not count; None when it does. ``unchecked`` names the parts of
    the exclusion rule that its evidence could not answer.
    """

    place: int
    attempt: int
    side: Side
    bundle: BundleRef
    registration_sha256: str
    excluded: str | None = None
    unchecked: tuple[str, ...] = ()


class Planned(msgspec.Struct, frozen=True):
    """The next run."""

    place: int
    attempt: int
    side: Side


class Stop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why an experiment ended before all its runs."""

    reason: str
    place: int


def order(seed: int, repeats: int) -> tuple[Side, ...]:
    """Return the sides of all ``2 * repeats`` runs in order, as the seed draws them."""
    a, b = Side.CONTROL, Side.TREATMENT
    drawn: list[Side] = []
    block = 0
    while len(drawn) < 2 * repeats:
        digest = hashlib.sha256(f"{seed}:{block}".encode()).digest()
        drawn += [a, b, b, a] if digest[0] % 2 == 0 else [b, a, a, b]
        block += 1
    return tuple(drawn[: 2 * repeats])


def check_records(
    registration: Registration, records: Sequence[RunRecord], repeats: int | None = None
) -> None:
    """Raise TamperedError when runs were not those that the registration and its seed ask for."""
    drawn = order(registration.seed, repeats or registration.repeats)
    sha256 = registration.sha256()
    for record in records:
        if record.registration_sha256 != sha256:
            raise TamperedError(
                f"Run {record.place + 1} ran under another registration: this one was changed "
                "after it"
            )
        if not 0 <= record.place < len(drawn) or record.side is not drawn[record.place]:
            raise TamperedError(
                f"Run {record.place + 1} is of the {record.side} side, which the registered seed "
                "does not draw there: the seed or the record was changed"
            )
    used = [record.bundle.bundle_id for record in records]
    twice = sorted({name for name in used if used.count(name) > 1})
    if twice:
        raise TamperedError(f"Bundle {twice[0]} is recorded for more than one run")
    counted = [record.place for record in records if record.excluded is None]
    if len(counted) != len(set(counted)):
        raise TamperedError("One place in the order has more than one run that counts")


def next_run(
    registration: Registration,
    records: Sequence[RunRecord],
    stop: Stop | None = None,
    repeats: int | None = None,
) -> Planned | None:
    """Return the run to do next; None when all are done, or when the experiment has stopped.

    ``repeats`` is more than the registered ones after an extension. Finished runs are never done
    again: an experiment that was interrupted goes on where it stood.
    """
    check_records(registration, records, repeats)
    if stop is not None:
        return None
    done = {record.place for record in records if record.excluded is None}
    for place, side in enumerate(order(registration.seed, repeats or registration.repeats)):
        if place not in done:
            tried = sum(record.place == place for record in records)
            return Planned(place, tried + 1, side) if tried < ATTEMPTS else None
    return None


def disturbed(
    registration: Registration, run: SignalSet, catalogue: Catalogue | None = None
) -> tuple[str | None, tuple[str, ...]]:
    """Apply the registered exclusion rule to a run: why it is excluded (or None), what is unknown.

    The rule knows nothing of the side of a run, nor of what it found.
    """
    known = catalogue_of.catalogue() if catalogue is None else catalogue
    unknown: list[str] = []
    for text in registration.disturbed_if:
        outcome = expectations.parse(text, "exclusion rule", known).evaluate(run)
        if outcome.tri is Tri.YES:
            seen = ", ".join(f"{leaf.signal} was {leaf.value}" for leaf in outcome.leaves)
            return f"disturbed: {text} ({seen})", tuple(unknown)
        if outcome.tri is Tri.UNKNOWN:
            unknown.append(text)
    return None, tuple(unknown)


def stop_after(
    registration: Registration,
    record: RunRecord,
    run: SignalSet,
    records: Sequence[RunRecord],
    hard_stops: Sequence[str] = (),
    catalogue: Catalogue | None = None,
) -> Stop | None:
    """Return why the experiment ends with this run, or None.

    ``records`` are all runs, this one too. ``hard_stops`` are texts of a new hard stop that the
    run's verdict raised and the control's did not.
    """
    if record.excluded is not None:
        tried = sum(other.place == record.place for other in records)
        if tried >= ATTEMPTS:
            return Stop(
                f"Run {record.place + 1} was disturbed {tried} times: find what else uses the "
                f"machine first. Last time: {record.excluded}",
                record.place,
            )
        return None
    if hard_stops:
        return Stop(f"Hard stop: {hard_stops[0]}", record.place)
    if registration.stop_if is None:
        return None
    known = catalogue_of.catalogue() if catalogue is None else catalogue
    if expectations.parse(registration.stop_if, "stop condition", known).evaluate(run).tri is (
        Tri.YES
    ):
        return Stop(f"The stop condition holds: {registration.stop_if}", record.place)
    return None


def progress(
    registration: Registration,
    records: Sequence[RunRecord],
    run_seconds: float | None = None,
    stop: Stop | None = None,
    repeats: int | None = None,
) -> str:
    """Return what may be told while it runs: never a value, a side, or which side leads."""
    total = 2 * (repeats or registration.repeats)
    done = sum(record.excluded is None for record in records)
    excluded = len(records) - done
    following = next_run(registration, records, stop, repeats)
    parts = [f"{done} of {total} runs are done"]
    if excluded:
        parts.append(f"{excluded} disturbed {'run was' if excluded == 1 else 'runs were'} excluded")
    if stop is not None:
        parts.append("the experiment stopped early")
    elif following is None:
        parts.append("nothing is left to run" if done == total else "it cannot go on")
    else:
        again = "" if following.attempt == 1 else f" (attempt {following.attempt})"
        parts.append(f"next is run {following.place + 1}{again}")
        if run_seconds is not None:
            minutes = max(1, round((total - done) * run_seconds / 60))
            parts.append(f"about {minutes} min left")
    return "; ".join(parts) + "."

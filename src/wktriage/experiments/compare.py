"""Two bundles side by side: what differs in the fingerprint first, numbers second.

What may not be compared is refused; nothing is concluded from one run a side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from wktriage.bundle import fingerprint
from wktriage.bundle.bundle import Bundle
from wktriage.core.errors import UsageError
from wktriage.core.model import SignalSet
from wktriage.judging import signals
from wktriage.judging.predicates import Catalogue

NUMBERS = (
    "offered_rate",
    "sent_rate",
    "achieved_rate_ratio",
    "send_server_latency_mean",
    "send_server_latency_p99",
    "send_errors",
    "recv_errors",
    "connections_lost",
    "sim_cpu_cores",
    "containers_cpu_cores",
    "foreign_cpu_cores",
)
"""Shown first, where both bundles know them; all others that differ follow."""


class Difference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One place where two fingerprints differ; unknown is None."""

    path: str
    one: Any
    other: Any


class Number(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One signal of both bundles; ``ratio`` is other over one, None where that has no meaning."""

    signal: str
    unit: str
    one: Any
    other: Any
    ratio: float | None


class Comparison(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What differs, and the numbers, unless ``refused`` says why they may not be compared."""

    one: str
    other: str
    inputs: tuple[Difference, ...]
    derived: tuple[Difference, ...]
    observed: tuple[Difference, ...]
    refused: tuple[str, ...]
    numbers: tuple[Number, ...]
    remarks: tuple[str, ...]
    schema_version: int = 1


def fingerprint_of(bundle: Bundle) -> Mapping[str, Any]:
    """Return the fingerprint of a bundle. Raises UsageError when it has no usable one."""
    document = bundle.read_json("fingerprint.json")
    if document is None or not isinstance(document.get("inputs"), dict):
        raise UsageError(
            f"{bundle.root} has no usable fingerprint.json: what was chosen for that run is not "
            "known, so that it cannot be compared; record it with this harness"
        )
    return fingerprint.current(document)


def measured_mode(document: Mapping[str, Any]) -> str | None:
    """Return clean or accumulated, as the data at the start shows; None when that is unknown."""
    observed = document.get("observed")
    total = observed.get("data_bytes_at_start") if isinstance(observed, dict) else None
    if isinstance(total, int) and not isinstance(total, bool):
        return "clean" if total == 0 else "accumulated"
    mode = document["inputs"].get("mode")
    return mode if mode in ("clean", "accumulated") else None


def incomparable(
    one: Bundle, other: Bundle, left: Mapping[str, Any], right: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return why two runs may not be compared, each with what to do; () when they may."""
    reasons = []
    modes = measured_mode(left), measured_mode(right)
    if None in modes:
        reasons.append(
            "Whether one of them ran on clean or on accumulated data is unknown: run it again with "
            "this harness, which measures it."
        )
    elif modes[0] != modes[1]:
        reasons.append(
            f"One ran on {modes[0]} data, the other on {modes[1]} data, as measured at their "
            "start: these are different evidence classes. Run both in the same mode."
        )
    profiled = left["inputs"].get("profiled"), right["inputs"].get("profiled")
    if profiled[0] != profiled[1] or None in profiled:
        reasons.append(
            "Profiles were taken at different moments, or in one and not (or not known to be) in "
            "the other, and they change the load: run both with the same profile and "
            "profile_seconds."
        )
    if (one.replay_of is None) != (other.replay_of is None):
        reasons.append(
            "One is a replay of a recording, the other a live run: compare the recording itself."
        )
    for bundle in (one, other):
        if bundle.window is None:
            reasons.append(f"{bundle.bundle_id} has no measured window: record it again.")
    return tuple(reasons)


def compare(one: Bundle, other: Bundle, catalogue: Catalogue | None = None) -> Comparison:
    """Compare two bundles. Raises UsageError when one has no fingerprint."""
    left, right = fingerprint_of(one), fingerprint_of(other)
    paths = fingerprint.compare(left, right)
    inputs = tuple(
        Difference(f"inputs.{path}", at(left["inputs"], path), at(right["inputs"], path))
        for path in paths
    )
    derived, observed = (_differences(left, right, part) for part in ("derived", "observed"))
    refused = incomparable(one, other, left, right)
    known = signals.catalogue() if catalogue is None else catalogue
    numbers: tuple[Number, ...] = ()
    if not refused:
        numbers = _numbers(signals.compute(one), signals.compute(other), known)
    return Comparison(
        one.bundle_id, other.bundle_id, inputs, derived, observed, refused, numbers,
        _remarks(inputs, refused),
    )  # fmt: skip


def _remarks(inputs: tuple[Difference, ...], refused: tuple[str, ...]) -> tuple[str, ...]:
    if refused:
        return ("The numbers are not shown.",)
    remarks = ["One run a side decides nothing: no difference here is more than a hint."]
    unknown = [d.path for d in inputs if d.one is None and d.other is None]
    if unknown:
        remarks.append(f"Not known on either side: {', '.join(unknown)}.")
    real = [d.path for d in inputs if d.path not in unknown]
    if len(real) > 1:
        remarks.append(
            f"{len(real)} inputs differ ({', '.join(real)}): no difference can be put down to one."
        )
    elif not real:
        remarks.append("No known input differs: what differs is noise, or was not recorded.")
    return tuple(remarks)


def _differences(
    left: Mapping[str, Any], right: Mapping[str, Any], part: str
) -> tuple[Difference, ...]:
    one, other = left.get(part) or {}, right.get(part) or {}
    return tuple(
        Difference(f"{part}.{key}", one.get(key), other.get(key))
        for key in sorted({*one, *other})
        if one.get(key) != other.get(key)
    )


def at(inputs: Mapping[str, Any], path: str) -> Any:
    """Return the value at a dotted path; None where there is none."""
    value: Any = inputs
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _numbers(one: SignalSet, other: SignalSet, known: Catalogue) -> tuple[Number, ...]:
    first = [name for name in NUMBERS if name in known]
    numbers = []
    for name in (*first, *(n for n in known if n not in first)):
        left, right = one.get(name), other.get(name)
        if left is None or right is None or left.value is None or right.value is None:
            continue
        if left.value == right.value and name not in first:
            continue
        numbers.append(
            Number(name, left.unit, left.value, right.value, ratio(left.value, right.value))
        )
    return tuple(numbers)


def ratio(one: Any, other: Any) -> float | None:
    """Return other over one; None where that has no meaning."""
    plain = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (one, other))
    return round(other / one, 4) if plain and one else None

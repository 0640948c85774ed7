"""What earlier bundles say of a run: the baseline that lets it start, and its clean twin.

No scenario runs without a fresh, healthy smoke-default of the same stack. The clean twin of a run
on accumulated data has the same inputs but mode; whether it passed is all that is taken from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from wktriage.bundle import fingerprint
from wktriage.core.errors import TriageError, UsageError
from wktriage.core.json_files import read_object
from wktriage.core.times import parse_time
from wktriage.judging.verdict import verdict_of
from wktriage.request import scenarios
from wktriage.request.request import Request
from wktriage.stack import drivers

BASELINE_SCENARIO = "smoke-default"
HEALTHY = "healthy"
MAX_AGE = timedelta(hours=24)
# A lab run has a fault in it by intention, and an experiment a changed knob.
ACCEPTED_PURPOSES = frozenset({"target", "baseline"})


class BaselineFailedError(TriageError):
    """High-rate work stops here: the stack's smoke-default is not healthy."""

    exit_code = 5


Judge = Callable[[Path], Mapping[str, Any]]


@dataclass(frozen=True)
class Identity:
    """What a baseline must share with the run it vouches for. None is unknown: nothing matches."""

    driver: str
    hosts: tuple[str, ...]
    image_digest: str | None
    node_config_sha256: str | None
    node_env: tuple[tuple[str, str], ...]
    boot_id: str | None

    @classmethod
    def of_run(cls, run: Mapping[str, Any]) -> Identity:
        """Return the identity in a run.json (or in what a driver tells of a stack)."""
        return cls(
            driver=str(run["driver"]),
            hosts=tuple(sorted(map(str, run["hosts"]))),
            image_digest=run.get("image_digest"),
            node_config_sha256=run.get("node_config_sha256"),
            node_env=_pairs(run.get("node_env")),
            boot_id=run.get("boot_id"),
        )

    @classmethod
    def of_fingerprint(cls, fingerprint: Mapping[str, Any]) -> Identity:
        """Return the identity in a bundle's fingerprint.json. Raises KeyError, TypeError."""
        inputs, derived = fingerprint["inputs"], fingerprint["derived"]
        return cls(
            driver=str(inputs["driver"]),
            hosts=tuple(sorted(map(str, inputs["hosts"]))),
            image_digest=derived.get("image_digest"),
            node_config_sha256=inputs.get("node_config_sha256"),
            node_env=_pairs(inputs.get("node_env")),
            boot_id=fingerprint["observed"].get("boot_id"),
        )

    def differs_from(self, other: Identity) -> list[str]:
        """Name what differs or is not known, in words; empty when the other vouches for this."""
        words = {
            "driver": "driver",
            "hosts": "hosts",
            "image_digest": "image",
            "node_config_sha256": "node configuration",
            "node_env": "node environment",
            "boot_id": "boot of the hosts",
        }
        differing = []
        for name, word in words.items():
            one, another = getattr(self, name), getattr(other, name)
            if one is None or another is None:
                differing.append(f"{word} unknown")
            elif one != another:
                differing.append(f"other {word}")
        return differing


@dataclass(frozen=True)
class Search:
    """Outcome of a search: the baseline's bundle, or why each candidate was no baseline.

    ``candidate`` is a baseline that belongs to the stack and is not healthy; ``may_run`` says
    whether a new one can be run.
    """

    baseline: Path | None
    rejected: tuple[tuple[str, str], ...] = ()
    candidate: Path | None = None
    may_run: bool = True


@dataclass(frozen=True)
class Twin:
    """Outcome of a search: references/clean-twin.json, or why each candidate was no twin."""

    reference: dict[str, Any] | None
    rejected: tuple[tuple[str, str], ...] = ()


def _pairs(env: Any) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((str(k), str(v)) for k, v in (env or {}).items()))


def find_baseline(runs_dir: Path, target: Identity, *, now: datetime, judge: Judge) -> Search:
    """Look for a healthy smoke-default bundle that vouches for ``wanted``, newest first.

    ``judge`` returns the verdict of a bundle from its evidence; a verdict.json that lies beside
    is not trusted.
    """
    rejected: list[tuple[str, str]] = []
    for bundle, manifest in _bundles(runs_dir):
        if manifest.get("scenario") != BASELINE_SCENARIO:
            continue
        why = _refuse(bundle, manifest, target, now=now, judge=judge)
        if why is None:
            return Search(bundle, tuple(rejected))
        rejected.append((bundle.name, why))
    return Search(None, tuple(rejected))


def look(request: Request, stack_file: Path, boot_id: str | None) -> Search:
    """Look for the baseline that vouches for a request's stack, here or in its recording.

    ``stack_file`` is what the driver said of the stack (stack.json); without it nothing is found.
    """
    driver = drivers.named(request.driver)
    own = driver.own_baseline(request)
    if own is not None:
        category = verdict_of(own)["category"]
        if category == HEALTHY:
            return Search(own, may_run=driver.runs_baselines)
        why = f"the recorded baseline is not healthy: {category}"
        return Search(None, ((own.name, why),), own, driver.runs_baselines)
    stack = read_object(stack_file)
    if stack is None or not driver.runs_baselines:
        return Search(None, may_run=driver.runs_baselines)
    identity = Identity.of_run({**stack, "boot_id": boot_id})
    return find_baseline(Path(request.runs_dir), identity, now=datetime.now(UTC), judge=verdict_of)


def _bundles(runs_dir: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    if not runs_dir.is_dir():
        return
    # Bundle ids begin with their time, so names sort by age.
    for bundle in sorted(runs_dir.iterdir(), reverse=True):
        if bundle.name.startswith("."):
            continue
        manifest = read_object(bundle / "manifest.json")
        if manifest is not None:
            yield bundle, manifest


def _refuse(
    bundle: Path, manifest: Mapping[str, Any], target: Identity, *, now: datetime, judge: Judge
) -> str | None:
    """Return why this bundle is no baseline for ``wanted``; None when it is one."""
    if manifest.get("purpose") not in ACCEPTED_PURPOSES:
        return f"made for {manifest.get('purpose')}"
    if (unusable := _unusable(manifest, now)) is not None:
        return unusable
    try:
        candidate = Identity.of_fingerprint(read_object(bundle / "fingerprint.json") or {})
    except (KeyError, TypeError, AttributeError):
        return "its fingerprint cannot be read"
    differing = target.differs_from(candidate)
    if differing:
        return ", ".join(differing)
    try:
        category = judge(bundle)["category"]
    except TriageError as exc:
        return f"cannot be judged: {exc}"
    return None if category == HEALTHY else f"not healthy: {category}"


def _unusable(manifest: Mapping[str, Any], now: datetime) -> str | None:
    """Return why a bundle stands for nothing: broken off, or of another day."""
    if manifest.get("interrupted") or not manifest.get("complete"):
        return "interrupted or incomplete"
    created = parse_time(manifest.get("created"))
    if created is None:
        return "its time is unknown"
    age = timedelta(seconds=now.timestamp() - created)
    if age > MAX_AGE or age < -timedelta(minutes=1):
        return "older than 24 h" if age > MAX_AGE else "from the future"
    return None


def find_twin(
    runs_dir: Path, inputs: Mapping[str, Any], image_digest: str | None, *,
    now: datetime, judge: Judge,
) -> Twin:  # fmt: skip
    """Look for the clean twin of a run on accumulated data, newest first.

    ``inputs`` are the run's in the form of fingerprint.json. A twin has the same inputs but
    ``mode``, and the same image. Its scenario may have another name (``accumulated-data`` is
    ``smoke-default`` on old data) as long as the success criteria are the same: what was asked
    counts, not what it is called. Neither boot nor length of the window are inputs.

    A failed lab run is passed over, since its fault is an input that no bundle tells; so is one
    that can't be decided.
    """
    rejected: list[tuple[str, str]] = []
    for bundle, manifest in _bundles(runs_dir):
        why = _unusable(manifest, now) or _other_inputs(bundle, inputs, image_digest)
        if why is None:
            try:
                verdict = judge(bundle)
            except TriageError as exc:
                why = f"cannot be judged: {exc}"
            else:
                if verdict["category"] == "insufficient_evidence":
                    why = "cannot be decided"
                elif verdict["category"] != HEALTHY and manifest.get("purpose") == "lab":
                    why = "failed, with a fault in it"
                else:
                    return Twin(_twin_reference(bundle, manifest, verdict), tuple(rejected))
        rejected.append((bundle.name, why))
    return Twin(None, tuple(rejected))


def _other_inputs(bundle: Path, inputs: Mapping[str, Any], image_digest: str | None) -> str | None:
    """Return in what a bundle differs from a run besides its being clean; None: in nothing."""
    try:
        candidate = read_object(bundle / "fingerprint.json") or {}
        differing = set(fingerprint.compare({"inputs": inputs}, candidate)) - {"mode", "scenario"}
        mode, scenario = candidate["inputs"]["mode"], str(candidate["inputs"]["scenario"])
        its_digest = candidate["derived"]["image_digest"]
        its_bytes = candidate["observed"]["data_bytes_at_start"]
    except (KeyError, TypeError, AttributeError):
        return "its fingerprint cannot be read"
    if mode != "clean":
        return f"its mode is {mode}"
    if its_bytes != 0:
        return "not known to have started on empty data"
    if its_digest is None or its_digest != image_digest:
        differing.add("image_digest")
    if not _ask_the_same(str(inputs["scenario"]), scenario):
        differing.add("success criteria")
    return f"other {', '.join(sorted(differing))}" if differing else None


def _ask_the_same(one: str, other: str) -> bool:
    try:
        return one == other or scenarios.load(one).success == scenarios.load(other).success
    except UsageError:
        return False


FIGURES = ("node_cpu_cores", "node_cpu_max_cores", "node_healthz_p99_ms", "send_server_latency_p99")
"""Signals of the baseline that the report draws as a band behind those of the run."""


def reference(bundle: Path, verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Return references/baseline.json: which bundle stood for the stack, and what it said."""
    return {
        **_told(bundle, verdict),
        "scenario": BASELINE_SCENARIO,
        "healthy": verdict["category"] == HEALTHY,
        "figures": {k: v for k, v in verdict.get("signals", {}).items() if k in FIGURES},
        # Shares only: seconds of two runs are not compared.
        "stages": {s["stage"]: s["share"] for s in verdict.get("ledger", {}).get("stages", ())},
    }


def _twin_reference(
    bundle: Path, manifest: Mapping[str, Any], verdict: Mapping[str, Any]
) -> dict[str, Any]:
    # No figures: those of a clean and an accumulated run are never compared.
    return {
        **_told(bundle, verdict),
        "scenario": manifest.get("scenario"),
        "mode": "clean",
        "passed": verdict["category"] == HEALTHY,
    }


def _told(bundle: Path, verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Return what every reference tells: which bundle, and its verdict in short."""
    manifest = bundle / "manifest.json"
    return {
        "schema_version": 1,
        "bundle_id": bundle.name,
        "created": (read_object(manifest) or {}).get("created"),
        "manifest_sha256": (
            hashlib.sha256(manifest.read_bytes()).hexdigest() if manifest.exists() else None
        ),
        "category": verdict["category"],
        "component": verdict.get("component"),
        "nodes": verdict.get("nodes", []),
        "confidence": verdict.get("confidence"),
        "reasons": [str(r.get("text", ""))[:500] for r in verdict.get("reasons", [])[:5]],
    }

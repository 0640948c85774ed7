"""Did the fix fix it? The test passes, the scenarios are healthy, and the target got better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from wktriage.bundle.bundle import Bundle
from wktriage.core.errors import UsageError
from wktriage.experiments import eligibility
from wktriage.experiments.effects import Outcome
from wktriage.experiments.noise import NOT_MEASURED
from wktriage.experiments.outcomes import ExperimentOutcome
from wktriage.experiments.registration import BundleRef
from wktriage.experiments.regression import TestRun

PROGRESS = "evidence/verification-progress.json"


class Progress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What has been done: both commits, the base's run of the target, the fix's by scenario."""

    base: str
    fix: str
    control: str | None = None
    runs: dict[str, str] = {}


class ScenarioRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One verification run on the fixed build: its bundle and what its verdict says."""

    scenario: str
    bundle: BundleRef
    category: str
    revision: str | None

    @classmethod
    def of(
        cls, scenario: str, bundle: Bundle, verdict: Mapping[str, Any], revision: str | None
    ) -> ScenarioRun:
        """Return the run of a verdict on a bundle; ``revision`` is its fingerprint's."""
        return cls(scenario, BundleRef.of(bundle), str(verdict.get("category")), revision)


class Verification(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a fix is verified, and the first thing that is not as it must be."""

    fix_ref: str
    fix_commit: str
    verified: Literal["yes", "no"]
    reason: str
    runs: tuple[ScenarioRun, ...]
    semantics: tuple[str, ...]
    improvement: str


def verify(
    target: str,
    before: TestRun,
    after: TestRun,
    runs: Sequence[ScenarioRun],
    improvement: ExperimentOutcome | None,
    diff: str,
    because: str | None = None,
) -> Verification:
    """Return whether the fix at ``after.ref`` is verified.

    ``improvement`` is the outcome of base against fix on the target; ``diff`` what the fix changes.
    """
    semantics = tuple(eligibility.semantics_problems(diff))
    problem = eligibility.fixed(before, after, because)
    problem = problem or next(iter(semantics), None)
    problem = problem or no_better(target, improvement)
    problem = problem or _unhealthy(target, runs, after.commit)
    return Verification(
        after.ref,
        after.commit,
        "no" if problem else "yes",
        problem or f"{_better(target, improvement)}, and every scenario is healthy on the fix.",
        tuple(runs),
        semantics,
        improvement.why if improvement else "not compared",
    )


def _better(target: str, improvement: ExperimentOutcome | None) -> str:
    if improvement is None or improvement.noise_measured:
        return f"{target} improved beyond noise"
    return f"{target} improved by more than what matters ({NOT_MEASURED.lower()})"


def _unhealthy(target: str, runs: Sequence[ScenarioRun], commit: str) -> str | None:
    for scenario in dict.fromkeys([target, *eligibility.ALWAYS]):
        mine = [run for run in runs if run.scenario == scenario]
        if not mine:
            return f"{scenario} has not been run on the fix."
        for run in mine:
            if run.revision != commit:
                return f"{scenario} ran on {run.revision or 'an unknown revision'}, not on the fix."
            if run.category != "healthy":
                return f"{scenario} is not healthy on the fix: {run.category}."
    return None


def no_better(target: str, improvement: ExperimentOutcome | None) -> str | None:
    """Return why the target did not get better; None when it did."""
    if improvement is None:
        return f"{target} has not been compared before and after the fix."
    if improvement.outcome is not Outcome.SUPPORTED:
        return f"{target} did not improve: {improvement.why}"
    new = [error.what for error in improvement.errors if error.appeared]
    return f"{target} has errors that it had not before the fix: {new[0]}." if new else None


def read_progress(path: Path) -> Progress | None:
    """Return what a case keeps of a verification, None without. Raises UsageError if damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Progress)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as exc:
        raise UsageError(f"{path}: cannot be read: {exc}") from exc


def encoded(progress: Progress) -> bytes:
    """Return what a case keeps of a verification."""
    data: bytes = msgspec.json.format(msgspec.json.encode(progress, order="sorted"), indent=2)
    return data + b"\n"

"""May code be changed for this case? Five conditions, each of which is there as a file, or not.

A verdict says what one bundle allows (:mod:`wktriage.judging.eligibility`); this says what the case
has proved since. The first condition that is not met is the reason for *no*.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from wktriage.core import categories
from wktriage.core.errors import UsageError
from wktriage.core.text import iter_lines
from wktriage.experiments.effects import Outcome
from wktriage.experiments.noise import NOT_MEASURED
from wktriage.experiments.registration import Kind
from wktriage.experiments.regression import Ran, TestRun
from wktriage.judging.eligibility import SURE_ENOUGH

VERDICT = "evidence/verdict.json"
BASE_TEST = "evidence/regression-base.json"
FIX_TEST = "evidence/regression-fix.json"
SEMANTICS = "evidence/semantics.txt"
PLAN = "evidence/verification-plan.json"
ALWAYS = ("smoke-default", "sampled-correctness")
"""Scenarios that verify every fix, beside the target."""

_LOCAL_ONLY = re.compile(
    r"(single[-_ ]?node|standalone|local[-_ ]?only|is_?local\b"
    r"|len\((nodes|peers|members)\) *== *1)",
    re.IGNORECASE,
)
_WEAKER = re.compile(r"(NoSync\b|\bSync: *false|sync *= *false|min_?isr *= *1\b)", re.IGNORECASE)
_FEWEST_WORDS = 5


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One condition; ``file`` is where in the case it can be checked."""

    id: str
    met: Literal["yes", "no"]
    text: str
    file: str | None = None


class Eligibility(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a code change is needed and allowed."""

    code_change_needed: Literal["yes", "no"]
    reason: str
    first_unmet: str | None
    conditions: tuple[Condition, ...]


class Tried(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One concluded experiment: its number, what kind of variable it turned, what came of it.

    ``noise_measured``: the host's own noise was known for all that was measured.
    """

    number: int
    knob: str
    kind: Kind
    outcome: Outcome
    noise_measured: bool = True


def assess(
    directory: Path, target: str, tried: Sequence[Tried], because: str | None = None
) -> Eligibility:
    """Return whether the case in ``directory`` allows a code change.

    ``target`` is the scenario of the failure, ``because`` what the failing assertion must say.
    """
    conditions = (
        _named(directory),
        _unexplained(tried),
        _fails_before(directory, because),
        _semantics(directory),
        _planned(directory, target),
    )
    unmet = next((c for c in conditions if c.met == "no"), None)
    return Eligibility(
        "no" if unmet else "yes",
        unmet.text if unmet else "All five conditions are met.",
        unmet.id if unmet else None,
        conditions,
    )


def _named(directory: Path) -> Condition:
    name = "named_failure_mode"
    verdict = _read(directory / VERDICT)
    if verdict is None:
        return Condition(name, "no", f"The case holds no verdict ({VERDICT}).")
    category, component = verdict.get("category"), verdict.get("component")
    confidence = verdict.get("confidence")
    sure = isinstance(confidence, int | float) and confidence >= SURE_ENOUGH
    if category not in categories.SERVERS or component in (None, "none") or not sure:
        return Condition(
            name, "no",
            f"No server subsystem is named as the cause: {category}, {component}, confidence "
            f"{confidence}.", VERDICT,
        )  # fmt: skip
    return Condition(name, "yes", f"Evidence points to {component} as {category}.", VERDICT)


def _unexplained(tried: Sequence[Tried]) -> Condition:
    name = "experiments"
    for kind in ("workload", "config"):
        mine = [t for t in tried if t.kind == kind]
        won = next((t for t in mine if t.outcome is Outcome.SUPPORTED), None)
        word = "configuration" if kind == "config" else kind
        if won is not None:
            doubt = "" if won.noise_measured else f"; {NOT_MEASURED.lower()}"
            return Condition(
                name, "no",
                f"A {word} experiment explains it: {won.knob} (experiment {won.number}{doubt}). "
                "Change that instead.", "case.json",
            )  # fmt: skip
        if not any(t.outcome is Outcome.REFUTED for t in mine):
            return Condition(
                name, "no", f"No {word} experiment has been refuted: {word} may still explain it."
            )
    return Condition(
        name, "yes", "Workload and configuration experiments do not explain it.", "case.json"
    )


def _fails_before(directory: Path, because: str | None) -> Condition:
    name = "regression_test"
    run = read_test(directory / BASE_TEST)
    if run is None:
        return Condition(name, "no", "No regression test has been run on the base.")
    problem = fails_for_its_reason(run, because)
    if problem is not None:
        return Condition(name, "no", problem, BASE_TEST)
    return Condition(name, "yes", f"On {run.ref}: {run.text}", BASE_TEST)


def fails_for_its_reason(run: TestRun, because: str | None = None) -> str | None:
    """Return why a run on the base is no failing regression test; None when it is one."""
    if run.ran is Ran.PASSED:
        return f"The regression test passes on {run.ref} already, so that it shows no defect."
    if run.ran is not Ran.FAILED:
        return f"The regression test on {run.ref}: {run.text}"
    if because and because not in run.output:
        return f"The regression test on {run.ref} fails, but not with {because!r}."
    if not _assertion(run.output):
        return f"The regression test on {run.ref} fails without saying what it asserted."
    return None


def fixed(before: TestRun, after: TestRun, because: str | None = None) -> str | None:
    """Return why a fix is not shown by its test; None when it fails before and passes after."""
    problem = fails_for_its_reason(before, because)
    if problem is not None:
        return problem
    if before.command != after.command:
        return "The test that ran on the fix is not the one that failed before it."
    if after.ran is Ran.FAILED:
        return f"The regression test still fails on {after.ref}: {after.text}"
    if after.ran is not Ran.PASSED:
        return f"The regression test on {after.ref}: {after.text}"
    missing = sorted(set(before.tests) - set(after.tests))
    if missing:
        return f"{missing[0]} failed before, and did not run on {after.ref}."
    return None


def _assertion(output: str) -> bool:
    lines = [line.strip() for line in output.splitlines()]
    return any(line and not line.startswith(("=== ", "--- ", "FAIL", "exit ")) for line in lines)


def _semantics(directory: Path) -> Condition:
    name = "semantics"
    path = directory / SEMANTICS
    words = b" ".join(line for _, line in iter_lines(path)).split() if path.is_file() else []
    if len(words) < _FEWEST_WORDS:
        return Condition(
            name, "no",
            f"Nothing says how the fix keeps cluster semantics and adds no local-only branch "
            f"({SEMANTICS}).",
        )  # fmt: skip
    return Condition(name, "yes", "How the fix keeps cluster semantics is written down.", SEMANTICS)


def semantics_problems(diff: str) -> list[str]:
    """Return the added lines of a unified diff that add a local-only branch or weaken durability.

    Tests may do either. A single node is a one-node cluster on the same path.
    """
    problems = []
    file = ""
    for line in diff.splitlines():
        if line.startswith("+++ "):
            file = line[4:].removeprefix("b/").strip()
        elif line.startswith("+") and file.endswith(".go") and not file.endswith("_test.go"):
            code = line[1:].split("//")[0]
            if _LOCAL_ONLY.search(code):
                problems.append(f"{file} adds a local-only branch: {code.strip()[:120]}")
            if _WEAKER.search(code):
                problems.append(f"{file} weakens durability or quorum: {code.strip()[:120]}")
    return problems


def _planned(directory: Path, target: str) -> Condition:
    name = "verification"
    plan = _read(directory / PLAN)
    scenarios = (plan or {}).get("scenarios")
    listed = scenarios if isinstance(scenarios, list) else []
    missing = [s for s in (target, *ALWAYS) if s not in listed]
    if missing:
        return Condition(name, "no", f"Not planned as verification: {', '.join(missing)}.")
    return Condition(name, "yes", f"Planned as verification: {', '.join(listed)}.", PLAN)


def plan_of(target: str) -> bytes:
    """Return the verification plan of a case, as it is kept in PLAN."""
    scenarios = list(dict.fromkeys([target, *ALWAYS]))
    return json.dumps({"schema_version": 1, "scenarios": scenarios}, indent=2).encode() + b"\n"


def read_test(path: Path) -> TestRun | None:
    """Return a test run that a case keeps, None without one. Raises UsageError if damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=TestRun)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as exc:
        raise UsageError(f"{path}: cannot be read: {exc}") from exc


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as exc:
        raise UsageError(f"{path}: cannot be read: {exc}") from exc
    return document if isinstance(document, dict) else None

"""The last steps of a case: may code be changed, and what is written down about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from wktriage.bundle.bundle import Bundle
from wktriage.core.errors import UsageError
from wktriage.core.json_files import read_object
from wktriage.core.suggestions import did_you_mean
from wktriage.experiments import conduct, eligibility, finding, regression
from wktriage.experiments.case import Case
from wktriage.experiments.compare import fingerprint_of
from wktriage.experiments.eligibility import Eligibility, Tried
from wktriage.experiments.finding import Entry, Recorded

ELIGIBLE = ("regression_test", "wukongim_checkout", "base", "tests_from", "because", "semantics")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def tried(case: Case) -> list[Tried]:
    """Return the concluded experiments of a case."""
    done = []
    for experiment in case.document.experiments:
        if experiment.outcomes:
            variable = case.registration(experiment.number).variable
            outcome = experiment.outcomes[-1]
            done.append(
                Tried(experiment.number, variable.knob, variable.kind, outcome.outcome,
                      outcome.noise_measured)
            )  # fmt: skip
    return done


def target_of(case: Case) -> str:
    """Return the scenario of the failure. Raises UsageError when the case does not say it."""
    verdict = read_object(case.directory / eligibility.VERDICT) or {}
    name = (verdict.get("scenario") or {}).get("name")
    if not isinstance(name, str):
        raise UsageError(f"{case.document.id}: holds no verdict ({eligibility.VERDICT})")
    return name


def revision_of(case: Case) -> str:
    """Return the commit that the case's newest control ran on; HEAD where that is not known.

    Raises CaseError for a case without an experiment, or whose control lies nowhere any more.
    """
    made = case.registration()
    control = Bundle.open(conduct.place_of(case, made.control.bundle_id, Path("runs")))
    revision = str(fingerprint_of(control)["inputs"].get("git_revision"))
    return revision if _COMMIT.fullmatch(revision) else "HEAD"


def eligible(case: Case, asked: Mapping[str, Any]) -> Eligibility:
    """Return whether code may be changed for a case, and keep the answer in it.

    With ``regression_test`` and ``wukongim_checkout`` the test is run on the base first and its
    output kept. Raises UsageError for what cannot be used, InfraError without git or go.
    """
    for name in asked:
        if name not in ELIGIBLE:
            raise UsageError(f"unknown extra var {name!r}{did_you_mean(name, ELIGIBLE)}")
    target = target_of(case)
    because = str(asked["because"]) if asked.get("because") else None
    if asked.get("regression_test"):
        if not asked.get("wukongim_checkout"):
            raise UsageError("regression_test needs -e wukongim_checkout=<checkout>")
        run = regression.run(
            Path(str(asked["wukongim_checkout"])).expanduser().resolve(),
            str(asked.get("base") or revision_of(case)),
            str(asked["regression_test"]),
            tests_from=str(asked["tests_from"]) if asked.get("tests_from") else None,
        )
        case.keep(Path(eligibility.BASE_TEST).name, _encoded(run))
        # A test that was run is a plan to run it again: the scenarios that verify the fix with it.
        case.keep(Path(eligibility.PLAN).name, eligibility.plan_of(target))
    if asked.get("semantics"):
        text = str(asked["semantics"]).strip() + "\n"
        case.keep(Path(eligibility.SEMANTICS).name, text.encode())
    answer = eligibility.assess(case.directory, target, tried(case), because)
    case.conclusion(eligibility=answer)
    return answer


def record(case: Case, checkout: Path, *, dry: bool = False) -> Recorded:
    """Write the finding of a case into a checkout's list, once; return the list before and after.

    ``dry`` only tells. Raises UsageError when the case has no outcome, or the list cannot be
    written.
    """
    recorded = finding.record(finding.read(checkout), entry_of(case))
    if not dry:
        finding.write(checkout, recorded)
        case.conclusion(finding=recorded.finding())
    return recorded


def entry_of(case: Case) -> Entry:
    """Return what a case has to say, concisely. Raises UsageError without an outcome."""
    document = case.document
    bullets: list[tuple[str, str]] = []
    for experiment in document.experiments:
        if not experiment.outcomes:
            continue
        made = case.registration(experiment.number)
        outcome = experiment.outcomes[-1]
        variable = made.variable
        before, after = (
            "not set" if value is None else value for value in (variable.before, variable.after)
        )
        bullets.append(
            (
                f"Experiment {experiment.number}",
                f"`{variable.knob}` {before} -> {after}, {experiment.repeats} runs a side, "
                f"expected `{made.expected}`: {outcome.outcome}. {outcome.why}",
            )
        )
    if not bullets:
        raise UsageError(f"{document.id}: no experiment has an outcome yet")
    verdict = read_object(case.directory / eligibility.VERDICT) or {}
    where = ", ".join(map(str, verdict.get("nodes") or ())) or "no single node"
    scenario = verdict.get("scenario") or {}
    first = case.registration(document.experiments[0].number)
    evidence = [
        ("Scenario", f"`{scenario.get('name')}`, {scenario.get('mode')}, control "
                     f"`{first.control.bundle_id}`"),
        ("Classification", f"{verdict.get('category')}, {verdict.get('component')}, {where}, "
                           f"confidence {verdict.get('confidence')}"),
    ]  # fmt: skip
    fix = document.eligibility
    needed = "not assessed" if fix is None else f"{fix.code_change_needed}. {fix.reason}"
    closing = [("Code change needed", needed)]
    if document.verification is not None:
        closing.append(
            ("Fix verified", f"{document.verification.verified}. {document.verification.reason}")
        )
    # Dated by its last outcome's registration: the same text however often it is written.
    last = case.registration(document.experiments[-1].number)
    return Entry(
        document.id, last.registered_at[:10], document.question, (*evidence, *bullets, *closing)
    )


def _encoded(value: Any) -> bytes:
    encoded: bytes = msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2)
    return encoded + b"\n"

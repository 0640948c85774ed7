"""How a triage ended, for people (a sentence) and for shells (an exit code)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wktriage.core.errors import InfraError
from wktriage.core.json_files import read_object
from wktriage.report import words

HEALTHY, CLASSIFIED, INCONCLUSIVE, HARD_STOP = 0, 3, 4, 5
_BY_CATEGORY = {
    "healthy": HEALTHY,
    "insufficient_evidence": INCONCLUSIVE,
    "baseline_health": HARD_STOP,
}


@dataclass(frozen=True)
class Outcome:
    """Exit code of ``wktriage`` and the sentence that a person reads."""

    exit_code: int
    message: str


def exit_code(verdict: Mapping[str, Any]) -> int:
    """Return the exit code for a verdict: 0 healthy, 3 classified, 4 inconclusive, 5 hard stop."""
    return _BY_CATEGORY.get(str(verdict["category"]), CLASSIFIED)


def of_outcome(outcome: str, *, stopped: bool = False) -> int:
    """Return the exit code for an experiment: 0 supported, 3 refuted, 4 inconclusive, 5 stopped."""
    if stopped:
        return HARD_STOP
    return {"supported": HEALTHY, "refuted": CLASSIFIED}.get(outcome, INCONCLUSIVE)


def of_investigation(how: str) -> int:
    """Return the exit code for an investigation: 0 isolated or healthy, 3 nothing left, else 4."""
    return {"isolated": HEALTHY, "healthy": HEALTHY, "nothing_left": CLASSIFIED}.get(
        how, INCONCLUSIVE
    )


def of_reproduction(outcome: str) -> int:
    """Return the exit code for a run done again: 0 agrees, 3 differs, 4 cannot be compared."""
    return {"agree": HEALTHY, "differ": CLASSIFIED}.get(outcome, INCONCLUSIVE)


def read(bundle: Path) -> Outcome:
    """Return how the triage of that bundle ended. Raises InfraError without a verdict."""
    path = bundle / "verdict.json"
    verdict = read_object(path)
    if verdict is None or "category" not in verdict:
        raise InfraError(f"{bundle} has no verdict")
    code = exit_code(verdict)
    report = bundle / "report.html"
    page = report if report.exists() else bundle / "summary.md"
    return Outcome(code, f"{words.headline(verdict)}: see {page}")

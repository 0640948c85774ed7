"""A bisection and the verification of a fix, as a playbook takes their steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

from wktriage.cli import exit_codes
from wktriage.core.terminal import visible
from wktriage.experiments import conduct, fixing
from wktriage.experiments.bisection import bisect
from wktriage.experiments.bisection.bisect import Bisect
from wktriage.experiments.bisection.search import percent
from wktriage.experiments.case import Case
from wktriage.experiments.effects import Outcome
from wktriage.experiments.fixing import Fixing
from wktriage.experiments.grounds import Bench

BISECT, VERIFY = "bisect", "verify"
TEXTS = ("expect", "because")


class Steps(Protocol):
    """What both have in common."""

    case: Case

    def next(self) -> dict[str, dict[str, Any]]:
        """Return the run or the experiment that is due; both empty at the end."""
        ...

    def recorded(self, bundle_id: str) -> None:
        """Take a finished run."""
        ...


def take(
    what: str,
    state: str,
    extra_vars: Mapping[str, Any],
    bench: Bench,
    bundle: str | None,
    *,
    dry: bool,
) -> dict[str, Any]:
    """Take a step by its name; return the task's result. Raises TriageError."""
    if dry:
        _check(what, extra_vars, bench)
        return {"changed": True, "case": "", "most": 0, "run": {}, "experiment": {}}
    steps: Steps = _opened(what, extra_vars, bench)
    if state == "opened":
        return {
            "changed": True,
            "case": steps.case.document.id,
            "most": _most(steps),
            "hides_verdicts": True,
            "say": [f"case {steps.case.document.id}: {_about(steps)}"],
            "tell": {"case": str(steps.case.directory)},
        }
    if state == "next":
        due = steps.next()
        return {"changed": False, **due, "say": _due(steps, due)}
    if state == "recorded":
        steps.recorded(str(bundle))
        return {"changed": True, "say": [f"{bundle} is recorded"]}
    return _told(steps)


def _check(what: str, extra_vars: Mapping[str, Any], bench: Bench) -> None:
    """Refuse what cannot be done; write nothing."""
    if what == BISECT:
        asked = bisect.read(extra_vars, bench.root)
        bisect.plan(asked, bisect.runs_dir_of(asked.run, bench))
    else:
        fixing.open_fixing(fixing.read(extra_vars, bench.root), bench)


def _opened(what: str, extra_vars: Mapping[str, Any], bench: Bench) -> Bisect | Fixing:
    if what == BISECT:
        return bisect.open_bisection(bisect.read(extra_vars, bench.root), bench)
    return fixing.open_fixing(fixing.read(extra_vars, bench.root), bench)


def _most(steps: Steps) -> int:
    """Return how many steps there are at most; a search goes on with the same command."""
    if not isinstance(steps, Bisect):
        return 5
    return 4 + 3 * math.ceil(math.log2(len(steps.state.commits) + 1))


def _about(steps: Steps) -> str:
    if isinstance(steps, Bisect):
        return f"{len(steps.state.commits)} commits to search. {steps.search.answer()}"
    assert isinstance(steps, Fixing)  # noqa: S101 (there is no third kind)
    return f"{steps.asked.fix_ref} ({steps.progress.fix[:12]}) against {steps.progress.base[:12]}"


def _due(steps: Steps, due: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if due["run"]:
        values = due["run"]
        return [f"run {values.get('scenario', 'of the good commit')} on {values['code'][:12]}"]
    if due["experiment"] and isinstance(steps, Bisect):
        return [steps.search.answer()]
    return []


def _told(steps: Steps) -> dict[str, Any]:
    # Pages need templates, which the steps before do without.
    from wktriage.experiments import telling

    outcome, code, lines = _ending(steps)
    page = telling.write(steps.case, conduct.read_places(steps.case))
    return {
        "changed": True,
        "outcome": outcome,
        "outcome_lines": [[label, visible(text)] for label, text in lines],
        "case_file": str(page),
        "tell": {"exit_code": code, "message": lines[0][1]},
    }


def _ending(steps: Steps) -> tuple[str, int, list[tuple[str, str]]]:
    if isinstance(steps, Bisect):
        return _searched(steps)
    assert isinstance(steps, Fixing)  # noqa: S101
    verified = steps.conclude()
    yes = verified.verified == "yes"
    lines = [
        ("verified", f"{verified.verified}. {verified.reason}"),
        ("fix", f"{verified.fix_ref} ({verified.fix_commit[:12]})"),
        ("improved", verified.improvement),
        *(("scenario", f"{run.scenario}: {run.category}") for run in verified.runs),
    ]
    return verified.verified, exit_codes.HEALTHY if yes else exit_codes.CLASSIFIED, lines


def _searched(steps: Bisect) -> tuple[str, int, list[tuple[str, str]]]:
    search = steps.search
    shown = search.shown_by_bad()
    named = search.answered()
    experiments = len(search.tried())
    lines = [
        ("answer", search.answer()),
        ("question", steps.case.document.question),
        ("took", f"{search.runs()} runs in {experiments} experiments"),
        *((("suspect"), f"{search.name(c)}, {percent(p)}") for c, p in search.suspects()[:5]),
        *(("skipped", f"{search.name(skip.commit)}: {skip.why}") for skip in search.state.skipped),
    ]
    if shown is not Outcome.SUPPORTED:
        lines = [line for line in lines if line[0] != "suspect"]
    outcome = "named" if named else "not named"
    code = exit_codes.HEALTHY if named else exit_codes.INCONCLUSIVE
    return outcome, exit_codes.CLASSIFIED if shown is Outcome.REFUTED else code, lines

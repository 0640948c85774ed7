"""The steps of an experiment as a playbook takes them: what each returns, says and shows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from wktriage.cli import exit_codes
from wktriage.experiments import conduct, design
from wktriage.experiments.asking import Asked
from wktriage.experiments.conduct import Conduct
from wktriage.experiments.grounds import Bench
from wktriage.run import record


class Step:
    """One step. Results hold ``say`` (lines to show now) and ``tell`` (facts for the command)."""

    def __init__(self, asked: Asked, bench: Bench, *, dry: bool = False) -> None:
        """Take what was asked and where it runs; ``dry`` writes nothing."""
        self._asked = asked
        self._bench = bench
        self._dry = dry

    def take(self, state: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Take a step by its name. Raises UsageError, TamperedError or CaseError."""
        if state == "registered":
            return self._registered()
        if self._dry:
            return {"changed": False, "run": {}, "outcome": "", "outcome_lines": []}
        under_way = conduct.resume(
            str(arguments["case"]), int(arguments["number"]), self._asked, self._bench
        )
        if state == "next":
            return self._next(under_way, float(arguments.get("ends_by") or 0))
        if state == "recorded":
            return self._recorded(under_way, arguments)
        return self._judged(under_way)

    def _registered(self) -> dict[str, Any]:
        if self._dry:
            if self._asked.extend is None:
                conduct.prepare(self._asked, self._bench)
            return {"changed": True, "case": "", "number": 0, "most": 0}
        under_way = conduct.open_experiment(self._asked, self._bench)
        made, experiment = under_way.registration, under_way.experiment
        case_id = under_way.case.document.id
        self._link(under_way)
        variable = made.variable
        say = [
            f"case {case_id}, experiment {experiment.number}: {made.statement}",
            f"{variable.knob}: {shown(variable.before)} -> {shown(variable.after)}",
            f"expected: {made.expected}; the smallest effect that matters: {made.min_effect}",
            *made.remarks(),
        ]
        if experiment.runs:
            say.append(f"going on: {under_way.progress(self._run_seconds(under_way))}")
        return {
            "changed": True,
            "case": case_id,
            "number": experiment.number,
            "most": 2 * experiment.repeats * design.ATTEMPTS,
            "hides_verdicts": True,
            "say": say,
            "tell": {"case": str(under_way.case.directory)},
        }

    def _next(self, under_way: Conduct, ends_by: float) -> dict[str, Any]:
        following = under_way.next()
        if following is None:
            return {"changed": False, "run": {}}
        experiment = under_way.experiment
        done = sum(run.excluded is None for run in experiment.runs)
        total = 2 * experiment.repeats
        seconds = self._run_seconds(under_way)
        if seconds is None:
            seconds = (under_way.registration.duration or 0) + conduct.OVERHEAD_SECONDS
        if ends_by and time.time() + seconds > ends_by:
            return {"changed": False, "run": {}, "say": ["no further run fits into the budget"]}
        minutes = max(1, round((total - done) * seconds / 60))
        again = f", attempt {following.planned.attempt}" if following.planned.attempt > 1 else ""
        return {
            "changed": False,
            "run": dict(following.values),
            "place": following.planned.place,
            "attempt": following.planned.attempt,
            "say": [
                f"run {following.planned.place + 1} of {total}{again}, about {minutes} min left"
            ],
        }

    def _recorded(self, under_way: Conduct, arguments: Mapping[str, Any]) -> dict[str, Any]:
        run = under_way.record(
            str(arguments["bundle"]), int(arguments["place"]), int(arguments["attempt"])
        )
        say = [f"run {run.place + 1} is recorded"]
        if run.excluded is not None:
            say = [f"run {run.place + 1} does not count and is repeated: {run.excluded}"]
        if under_way.experiment.stop is not None:
            say.append(f"stopped early: {under_way.experiment.stop.reason}")
        return {"changed": True, "say": say}

    def _judged(self, under_way: Conduct) -> dict[str, Any]:
        if not under_way.over:
            # Its time is up: it goes on when it is asked for again.
            return {"changed": False, "outcome": "", "say": [under_way.progress()]}
        outcome = under_way.conclude()
        # Pages need templates, which the steps before do without.
        from wktriage.experiments import telling
        from wktriage.report import case_page

        places = conduct.read_places(under_way.case)
        data = telling.told(under_way.case, places)
        page = telling.write(under_way.case, places, data)
        self._link(under_way)
        lines = case_page.outcome_lines(data, under_way.number)
        return {
            "changed": True,
            "outcome": str(outcome.outcome),
            "outcome_lines": lines,
            "case_file": str(page),
            "tell": {
                "exit_code": exit_codes.of_outcome(
                    str(outcome.outcome), stopped=under_way.experiment.stop is not None
                ),
                "message": outcome.why,
            },
        }

    @staticmethod
    def _link(under_way: Conduct) -> None:
        """Let the control's report link to the case, as it stands."""
        from wktriage.experiments import mentions

        control = under_way.place_of(under_way.registration.control.bundle_id)
        mentions.link(under_way.case, control, under_way.runs_dir)

    @staticmethod
    def _run_seconds(under_way: Conduct) -> float | None:
        """Return what the last run took in seconds, the control before there is one; else None."""
        runs = [run.bundle.bundle_id for run in reversed(under_way.experiment.runs)]
        for name in (*runs, under_way.registration.control.bundle_id):
            took = record.seconds_of(under_way.runs_dir, name)
            if took is not None:
                return took + record.BETWEEN_SECONDS
        return None


def shown(value: object) -> str:
    """Return a setting's value in words."""
    return "not set" if value is None else str(value)

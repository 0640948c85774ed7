"""The steps of an investigation as a playbook takes them: what each returns, says and shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wktriage.cli import exit_codes
from wktriage.experiments import conduct
from wktriage.experiments.grounds import Bench
from wktriage.experiments.investigation import investigate
from wktriage.experiments.investigation.investigate import Investigate
from wktriage.experiments.investigation.journal import Asked


class InvestigateStep:
    """One step. Results hold ``say`` (lines to show now) and ``tell`` (facts for the command)."""

    def __init__(self, asked: Asked, bench: Bench, *, dry: bool = False) -> None:
        """Take what was asked and where it runs; ``dry`` writes nothing."""
        self._asked = asked
        self._bench = bench
        self._dry = dry

    def take(self, state: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Take a step by its name. Raises UsageError, TamperedError or CaseError."""
        if self._dry:
            if state == "opened" and self._asked.document.start is None:
                self._bench.check(self._asked.document.request)
            return {"changed": True, "case": "", "most": 0, "run": {}, "experiment": {}}
        if state == "opened":
            return self._opened()
        under_way = investigate.resume(
            str(arguments["case"]), self._asked.cases_dir, self._bench, float(arguments["ends_at"])
        )
        if state == "next":
            return self._next(under_way)
        if state == "recorded":
            step = under_way.record(str(arguments["bundle"]))
            self._page(under_way)
            return {"changed": True, "say": [f"{step.what}: {step.came_of}"]}
        return self._told(under_way)

    def _opened(self) -> dict[str, Any]:
        under_way = investigate.begin(self._asked, self._bench)
        document, case_id = under_way.document, under_way.case.document.id
        say = [
            f"case {case_id}: {under_way.case.document.question}",
            f"budget: {round(max(0.0, under_way.state.left) / 60)} min; may change: "
            f"{', '.join(document.may_change)}",
        ]
        if document.steps:
            say.append(f"going on after {document.steps[-1].what}")
        return {
            "changed": True,
            "case": case_id,
            "ends_at": under_way.state.ends_at,
            "most": investigate.MOST_STEPS,
            "say": say,
            "tell": {"case": str(under_way.case.directory)},
        }

    def _next(self, under_way: Investigate) -> dict[str, Any]:
        before = len([s for s in under_way.document.steps if s.came_of is not None])
        due = under_way.next()
        finished = [s for s in under_way.document.steps if s.came_of is not None]
        say = [f"{step.what}: {step.came_of}" for step in finished[before:]]
        self._page(under_way)
        if due is None:
            return {"changed": True, "run": {}, "experiment": {}, "say": say}
        left = round(max(0.0, under_way.state.left) / 60)
        say.append(f"step {len(under_way.document.steps)}: {due.step.what} ({left} min left)")
        run, experiment = dict(due.run), dict(due.experiment)
        return {"changed": True, "run": run, "experiment": experiment, "say": say}

    def _told(self, under_way: Investigate) -> dict[str, Any]:
        from wktriage.report import case_page

        data, page = self._page(under_way)
        ended = under_way.document.ended
        how, why = (ended.how, ended.why) if ended is not None else ("budget", "It goes on.")
        return {
            "changed": True,
            "outcome": how,
            "outcome_lines": case_page.investigation_lines(data),
            "case_file": page,
            "tell": {"exit_code": exit_codes.of_investigation(how), "message": why},
        }

    @staticmethod
    def _page(under_way: Investigate) -> tuple[dict[str, Any], str]:
        """Write the case's page as it stands; return its data and its path."""
        from wktriage.experiments import telling

        places = conduct.read_places(under_way.case)
        data = telling.told(under_way.case, places)
        return data, str(telling.write(under_way.case, places, data))

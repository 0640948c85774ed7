"""The project's data files, loaded all at once, so that a mistake in one shows before a run."""

from __future__ import annotations

from pathlib import Path

from wktriage.core.declarations import shown
from wktriage.core.paths import PROJECT
from wktriage.incidents import library
from wktriage.judging import causes, predicates, rules, signals
from wktriage.request import knobs, scenarios


def check_project_data(project: Path = PROJECT) -> None:
    """Load everything that runs and verdicts read: scenarios, knobs, rules, causes and labels.

    Raises UsageError with file, place and a suggestion for the first that is not right. Faults are
    the lab's alone: see ``lab.faults.check_all``.
    """
    catalogue = signals.catalogue()
    for name in scenarios.names(project / "scenarios"):
        scenario = scenarios.load(name, project / "scenarios")
        where = f"{shown(project / 'scenarios' / f'{name}.yml')}: at /success"
        predicates.parse(scenario.success, where, catalogue)
    knobs.load(project / "knobs")
    knobs.hypotheses(project / "knobs")
    criteria = scenarios.load(scenarios.CUSTOM, project / "scenarios").success
    rules.load(catalogue, criteria, project / "rules")
    causes.load(catalogue, project / "causes")
    library.list_incidents(project / "incidents")

"""The project's data files, loaded all at once, so that a mistake in one shows before a run."""

from __future__ import annotations

from pathlib import Path

from wktriage.core.declarations import shown
from wktriage.core.errors import UsageError
from wktriage.core.paths import PROJECT
from wktriage.core.suggestions import did_you_mean
from wktriage.incidents import library
from wktriage.judging import confidence, predicates, rules, signals
from wktriage.request import knobs, scenarios


def check_project_data(project: Path = PROJECT) -> None:
    """Load everything that runs and verdicts read: scenarios, knobs, rules and labels.

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
    loaded = rules.load(catalogue, criteria, project / "rules")
    deciding = [rule.id for rule in loaded if rule.role == "decides"]
    for name in confidence.support(project / "rules"):
        if name not in deciding:
            where = f"{shown(project / 'rules' / 'support.yml')}: at /support/{name}"
            raise UsageError(f"{where}: no rule that decides{did_you_mean(name, deciding)}")
    library.list_incidents(project / "incidents")

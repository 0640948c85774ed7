"""``wktriage case``: what was asked, tried and found; whether code may be changed for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click

from wktriage.cli import console
from wktriage.cli.output import say
from wktriage.core.errors import UsageError
from wktriage.core.paths import work_dir
from wktriage.core.tables import aligned
from wktriage.core.terminal import visible

_CASES = click.option(
    "--cases",
    "cases_dir",
    type=click.Path(path_type=Path),
    help="The directory of cases. Default: cases/ beside runs/.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")


@click.group()
def case() -> None:
    """Cases: one question each, its experiments and what came of them."""


@case.command("list")
@_CASES
@_JSON
def list_command(cases_dir: Path | None, as_json: bool) -> None:
    """List the cases, newest first."""
    from wktriage.experiments.case import listing

    rows = list(listing(_cases(cases_dir)))
    if as_json:
        for row in rows:
            say(json.dumps(row.__dict__, ensure_ascii=False, sort_keys=True))
        return
    lines = [
        [row.id, row.created_at[:16].replace("T", " "), row.standing, row.problem or row.question]
        for row in rows
    ]
    for line in aligned([[visible(cell) for cell in line] for line in lines]):
        say(line)
    if not rows:
        say("no cases yet: wktriage experiment opens one")


@case.command("show")
@click.argument("case_id", metavar="ID")
@_CASES
@_JSON
def show_command(case_id: str, cases_dir: Path | None, as_json: bool) -> None:
    """Tell a case's story; write its case.html and case.md again."""
    from wktriage.experiments import conduct, telling
    from wktriage.experiments.case import Case
    from wktriage.report import case_page

    opened = Case.load(_cases(cases_dir), case_id)
    places = conduct.read_places(opened)
    data = telling.told(opened, places)
    if as_json:
        say(json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False))
        return
    page = telling.write(opened, places, data)
    width = shutil.get_terminal_size((100, 24)).columns
    say(f"{data['question']}\n")
    if data["investigation"]:
        story = case_page.investigation_lines(data)[1:]
        say("\n".join(console.labelled(story, width)) + "\n")
    if data["bisection"]:
        say(f"{visible(data['bisection']['answer'])}\n")
    for experiment in data["experiments"]:
        say(f"experiment {experiment['number']}, {experiment['outcome']}")
        lines = case_page.outcome_lines(data, experiment["number"])[1:]
        shown = [line for line in lines if line[1]]
        say("\n".join(console.labelled(shown, width)) + "\n")
    for belief in data["belief"]:
        say(f"{belief['percent']:>4} %  {visible(belief['cause'].replace('_', ' '))}")
    if data["eligibility"]:
        needed = data["eligibility"]
        say(f"code change needed: {needed['code_change_needed']}. {needed['reason']}")
    if data["verification"]:
        verified = data["verification"]
        say(f"fix verified: {verified['verified']}. {verified['reason']}")
    say(f"page: {page}")


@case.command("eligible")
@click.argument("case_id", metavar="ID")
@_CASES
@click.option("-e", "--extra-vars", "extra", multiple=True, help="regression_test, because, …")
def eligible_command(case_id: str, cases_dir: Path | None, extra: tuple[str, ...]) -> int:
    """Say whether code may be changed for a case; run its regression test on the base first.

    -e regression_test='go test ./... -run X' -e wukongim_checkout=DIR runs the test in a worktree
    of the base (-e base=REF, default the control's revision), with the test files of
    -e tests_from=REF or else the changed ones of the checkout. -e because=TEXT is what its failure
    must say, -e semantics=TEXT how the fix keeps cluster semantics.
    Exit codes: 0 eligible, 3 not.
    """
    from wktriage.cli.commands.triage import parse_extra_vars
    from wktriage.experiments import conclusions, conduct, telling
    from wktriage.experiments.case import Case

    opened = Case.load(_cases(cases_dir), case_id)
    answer = conclusions.eligible(opened, parse_extra_vars(extra))
    telling.write(opened, conduct.read_places(opened))
    say(f"code change needed: {answer.code_change_needed}. {answer.reason}")
    for condition in answer.conditions:
        where = f" ({condition.file})" if condition.file else ""
        say(f"  {condition.met:<3}  {visible(condition.text)}{where}")
    return 0 if answer.code_change_needed == "yes" else 3


def _cases(named: Path | None) -> Path:
    directory = named or work_dir() / "cases"
    if named is not None and not directory.is_dir():
        raise UsageError(f"{directory}: no such directory")
    return directory


def register(group: click.Group) -> None:
    """Add the commands to the group."""
    group.add_command(case)

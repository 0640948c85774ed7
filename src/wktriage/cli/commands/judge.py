"""``wktriage classify|explain|score``: judging, without Ansible."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from wktriage.bundle.archive import opened
from wktriage.bundle.bundle import Bundle
from wktriage.cli import console, exit_codes
from wktriage.cli.output import say
from wktriage.core import budget, paths
from wktriage.core.errors import UsageError
from wktriage.core.json_files import read_object
from wktriage.core.paths import PROJECT
from wktriage.core.suggestions import did_you_mean
from wktriage.judging import verdict_files
from wktriage.judging.verdict import judge, verdict_of
from wktriage.judging.wording import clean, show
from wktriage.report import mechanism, words

PATH = click.Path(path_type=Path)


class OutDirectory(click.ParamType[Path]):
    """A directory to write to. An empty word would mean the working directory: refused."""

    name = "directory"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path."""
        if not str(value):
            self.fail("empty: name a directory", param, ctx)
        return Path(value)


OUT = OutDirectory()
MARKS = {"fired": "+", "not_fired": "-", "unknown": "?"}


@click.command()
@click.argument("bundle", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@click.option("--out", type=OUT, help="Write verdict.json, summary.md, report.html there.")
@click.option("--runs-dir", type=OUT, help="Where this harness keeps its bundles. Default: runs.")
@click.option(
    "--budget-seconds",
    type=click.FloatRange(min=1),
    default=budget.SECONDS,
    show_default=True,
    help="CPU time that reading the bundle may take.",
)
@click.option(
    "--budget-mb",
    type=click.FloatRange(min=10),
    default=budget.MEGABYTES,
    show_default=True,
    help="Memory that what is read may take.",
)
def classify(
    bundle: Path,
    as_json: bool,
    out: Path | None,
    runs_dir: Path | None,
    budget_seconds: float,
    budget_mb: float,
) -> int:
    """Judge BUNDLE, a directory or a tar archive.

    Bundles in WuKongIM's plain layout are taken too, and what had to be inferred is listed.
    Reports are written into a bundle that lies under this harness's directory of runs. An archive,
    and a directory anywhere else, stay as they are: name another directory with --out to get them.
    What cannot be read within the budget is unknown, and the report says so.
    Exit codes: 0 healthy, 3 a classified problem, 4 inconclusive, 5 baseline failed.
    """
    with opened(bundle) as directory:
        evidence = Bundle.open(directory, budget.Budget(budget_seconds, budget_mb))
        verdict = judge(evidence)
        ours = verdict_files.is_ours(bundle, runs_dir or paths.runs_dir())
        target = out or (bundle if bundle.is_dir() and ours else None)
        if target is not None:
            _write(evidence, verdict, target, runs_dir or paths.runs_dir())
    if as_json:
        say(verdict_files.dump(verdict).decode("utf-8"), nl=False)
        return exit_codes.exit_code(verdict)
    width = shutil.get_terminal_size((100, 24)).columns
    say("\n".join(console.verdict_lines(verdict, width)))
    for line in console.command_lines(verdict):
        say(line)
    say(f"Reports: {target or 'not written; add --out DIR to get them'}")
    return exit_codes.exit_code(verdict)


def _write(bundle: Bundle, verdict: Mapping[str, Any], where: Path, runs_dir: Path) -> None:
    # Rendering needs templates and plots, which judging alone does without.
    from wktriage import report
    from wktriage.experiments import mentions

    verdict_files.write(where, verdict)
    cases = mentions.of(where, runs_dir) if where.resolve() == bundle.root.resolve() else []
    report.write_all(bundle, verdict, where, cases)


@click.command()
@click.argument("bundle", type=PATH)
@click.option(
    "--all", "everything", is_flag=True, help="Every rule and cause, not only those that hold."
)
@click.option(
    "--rule", "rule_id", metavar="ID", help="This rule or cause only, whatever its result."
)
@click.option("--json", "as_json", is_flag=True, help="Print the chosen ones as JSON.")
def explain(bundle: Path, everything: bool, rule_id: str | None, as_json: bool) -> int:
    """Show how the verdict on BUNDLE was found.

    From what the users felt to what did it: symptom, where a message's time goes, what is abnormal,
    and every candidate with its score and why it lost. Then the rules and causes that hold, each
    with its values, thresholds and evidence, marked: + holds, - does not, ? unknown. BUNDLE is a
    directory or a tar archive.
    """
    with opened(bundle) as directory:
        verdict = verdict_of(directory)
    rules = chosen(verdict["rules"], everything=everything, rule_id=rule_id)
    if as_json:
        say(json.dumps(rules, indent=2, sort_keys=True, ensure_ascii=False))
        return 0
    say(f"{words.headline(verdict)} (confidence {verdict['confidence']:.2f})\n")
    if rule_id is None:
        say("\n".join(mechanism.lines(verdict)) + "\n")
    say("\n".join(explained(rules)))
    if left := len(verdict["rules"]) - len(rules):
        say(f"\n{words.counted(left, 'more rule')}: wktriage explain --all BUNDLE")
    return 0


def chosen(
    rules: Sequence[Mapping[str, Any]], *, everything: bool, rule_id: str | None
) -> list[Mapping[str, Any]]:
    """Return the rules that were asked for: one by its id, all, or else those that fired.

    Raises UsageError for an id that no rule has.
    """
    if rule_id is not None:
        named = [rule for rule in rules if rule["id"] == rule_id]
        if not named:
            hint = did_you_mean(rule_id, [rule["id"] for rule in rules])
            raise UsageError(f"no rule {rule_id!r} (--all lists them){hint}")
        return named
    return [rule for rule in rules if everything or rule["result"] == "fired"]


def explained(rules: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the rules with values, thresholds and citations, and what would have decided."""
    lines: list[str] = []
    category = ""
    for rule in rules:
        if rule["category"] != category:
            category = rule["category"]
            lines.append(f"{category}:")
        nodes = f" on {', '.join(rule['nodes'])}" if rule["nodes"] else ""
        lines.append(f"  {MARKS[rule['result']]} {rule['id']}{nodes}")
        for leaf in rule["trace"]:
            where = f"[{leaf['node']}]" if leaf["node"] else ""
            text = (
                f"      {leaf['signal']}{where} = {show(leaf['value'])} {leaf['op']} "
                f"{show(leaf['threshold'])}: {leaf['result']}"
            )
            if leaf["value"] is None:
                text += f" ({clean(leaf.get('why_unknown') or 'not recorded', 120)})"
            for citation in leaf["citations"][:1]:
                text += f"  <- {_place(citation)}"
            lines.append(text)
        if rule["result"] == "unknown" and rule["missing"]:
            lines.append(f"      would decide: {', '.join(rule['missing'])}")
    return lines or ["No rule fired."]


def _place(citation: Mapping[str, Any]) -> str:
    place = clean(citation["file"], 200)
    if citation["line"] is not None:
        place += f":{citation['line']}"
    if citation["pointer"]:
        place += f"#{clean(citation['pointer'], 80)}"
    if citation["series"]:
        place += f" {clean(citation['series'], 120)}"
    return place


@click.command("score")
@click.argument("directories", nargs=-1, type=PATH)
@click.option("--labels", type=PATH, help="Labels file. Default: labels.jsonl in the directory.")
@click.option(
    "--beside",
    type=PATH,
    help="Verdicts of other tools: JSON that maps tool to bundle to class.",
)
def score_command(directories: tuple[Path, ...], labels: Path | None, beside: Path | None) -> int:
    """Judge labelled incidents and score the verdicts.

    Prints what each was called, how often that is right, and how well confidence is calibrated.
    DIRECTORIES hold <bundle>.tar.xz or <bundle>/ and labels.jsonl. Default: the project's own
    incidents.
    """
    sources = directories or tuple(
        d
        for d in (PROJECT / "incidents", PROJECT / "incidents" / "shared")
        if (d / "labels.jsonl").is_file()
    )
    if not sources:
        raise UsageError("no incidents here: name a directory that holds labels.jsonl")
    if labels is not None and len(sources) != 1:
        raise UsageError("--labels needs exactly one directory")
    others: dict[str, dict[str, str]] = {}
    if beside is not None:
        answers = read_object(beside)
        if answers is None:
            raise UsageError(f"{beside} is no JSON object")
        others = answers
    # Reading archives and counting is of no use to judging one bundle.
    from wktriage.evaluation import score

    cases = [case for directory in sources for case in score.cases(directory, labels)]
    say(score.report(score.run(cases), others), nl=False)
    return 0


def register(group: click.Group) -> None:
    """Add the judging commands to ``wktriage``."""
    for command in (classify, explain, score_command):
        group.add_command(command)

"""``wktriage classify|explain|verify-citations|score``: judging, without Ansible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from wktriage.bundle.bundle import Bundle
from wktriage.bundle.citations import verify_citation
from wktriage.cli import exit_codes
from wktriage.core.errors import UsageError
from wktriage.core.json_files import read_object
from wktriage.core.model import Citation
from wktriage.core.paths import PROJECT
from wktriage.judging.verdict import dump_verdict, is_ours, judge, verdict_of, writable, write
from wktriage.judging.wording import clean, show

DIRECTORY = click.Path(path_type=Path)
MARKS = {"fired": "+", "not_fired": "-", "unknown": "?"}


@click.command()
@click.argument("bundle", type=DIRECTORY)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@click.option("--out", type=DIRECTORY, help="Write verdict.json, summary.md, report.html there.")
def classify(bundle: Path, as_json: bool, out: Path | None) -> int:
    """Judge the bundle in directory BUNDLE, also one in WuKongIM's plain layout.

    Reports are written into a bundle of this harness; one that someone else made stays as it is
    unless --out names another directory. Exit codes: 0 healthy, 3 a classified problem,
    4 inconclusive, 5 baseline failed.
    """
    opened = Bundle.open(bundle)
    verdict = judge(opened)
    where: Path | None = None
    if out is not None or is_ours(opened):
        where = writable(opened, out)
        _write(opened, verdict, where)
    if as_json:
        click.echo(dump_verdict(verdict).decode("utf-8"), nl=False)
    else:
        click.echo("\n".join(human(verdict)))
        if where is not None:
            click.echo(f"written    {where}")
    return exit_codes.exit_code(verdict)


def _write(bundle: Bundle, verdict: Mapping[str, Any], where: Path) -> None:
    # Rendering needs templates and plots, which judging alone does without.
    from wktriage import report

    write(where, verdict)
    try:
        report.write_all(bundle, verdict, where)
    except OSError as exc:
        raise UsageError(f"{where}: cannot be written: {exc}") from exc


def human(verdict: Mapping[str, Any]) -> list[str]:
    """Return a verdict as lines for a person."""
    nodes = ", ".join(verdict["nodes"]) or "no particular node"
    replayed = f" (REPLAY of {verdict['replay_of']})" if verdict["replay_of"] else ""
    lines = [
        f"bundle     {verdict['bundle']}{replayed}",
        f"category   {verdict['category']} (confidence {verdict['confidence']:.2f})",
        f"where      {verdict['component']}, {nodes}",
    ]
    if verdict["since"]:
        lines.append(
            f"since      {verdict['since']} (not before {verdict['since_not_before'] or 'unknown'})"
        )
    lines += [f"because    {r['text']}" for r in verdict["reasons"]]
    lines += [f"HARD STOP  {s['text']}" for s in verdict["hard_stops"]]
    for other in verdict["alternatives"][:1]:
        lines.append(f"rather than {other['category']}: {other['why_not']}")
    if verdict["unknown"]:
        lines.append("unknown    " + ", ".join(u["what"] for u in verdict["unknown"]))
    experiment = verdict["next_experiment"]
    lines += [
        f"hypothesis {verdict['hypothesis']['statement']}",
        f"next       {experiment['variable']}: {experiment['from']} -> {experiment['to']}",
        f"           {experiment['command']}",
        f"code       change needed: {verdict['fix_eligibility']['code_change_needed']} "
        f"({verdict['fix_eligibility']['reason']})",
    ]
    return lines


@click.command()
@click.argument("bundle", type=DIRECTORY)
def explain(bundle: Path) -> int:
    """List every rule for BUNDLE: fired (+), not fired (-), unknown (?), with its evidence."""
    verdict = verdict_of(bundle)
    click.echo("\n".join(explained(verdict)))
    return 0


def explained(verdict: Mapping[str, Any]) -> list[str]:
    """Return every rule with values, thresholds and citations, and what would have decided."""
    lines = [f"{verdict['category']} (confidence {verdict['confidence']:.2f})", ""]
    category = ""
    for rule in verdict["rules"]:
        if rule["category"] != category:
            category = rule["category"]
            lines.append(f"{category}:")
        nodes = f" on {', '.join(rule['nodes'])}" if rule["nodes"] else ""
        lines.append(f"  {MARKS[rule['result']]} {rule['id']} ({rule['role']}){nodes}")
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
    return lines


def _place(citation: Mapping[str, Any]) -> str:
    place = clean(citation["file"], 200)
    if citation["line"] is not None:
        place += f":{citation['line']}"
    if citation["pointer"]:
        place += f"#{clean(citation['pointer'], 80)}"
    if citation["series"]:
        place += f" {clean(citation['series'], 120)}"
    return place


@click.command("verify-citations")
@click.argument("bundle", type=DIRECTORY)
def verify_citations(bundle: Path) -> int:
    """Check every citation of BUNDLE's verdict again, against the files as they are now.

    A verdict.json that lies in the bundle is what is checked; without one, a fresh verdict.
    """
    opened = Bundle.open(bundle)
    written = bundle / "verdict.json"
    if written.is_file():
        verdict = read_object(written)
        if verdict is None:
            raise UsageError(f"{written} is no JSON object: delete it or classify again")
    else:
        verdict = judge(opened)
    checked: dict[Citation, str | None] = {}
    for citation in citations(verdict):
        if citation not in checked:
            checked[citation] = verify_citation(opened, citation)
    wrong = sorted({why for why in checked.values() if why is not None})
    for why in wrong:
        click.echo(clean(why, 400), err=True)
    bare = [r["rule"] for r in verdict["reasons"] if not r["citations"]]
    for rule in bare:
        click.echo(f"{clean(rule, 80)}: a reason without a citation", err=True)
    click.echo(f"{len(checked)} citations, {len(wrong)} wrong")
    return 3 if wrong or bare else 0


def citations(value: Any) -> Iterator[Citation]:
    """Yield every citation anywhere in a verdict."""
    keys = set(Citation("", "").as_dict())
    if isinstance(value, Mapping):
        if set(value) == keys:
            yield Citation(**value)
            return
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from citations(item)


@click.command("score")
@click.argument("directories", nargs=-1, type=DIRECTORY)
@click.option("--labels", type=DIRECTORY, help="Labels, when not labels.jsonl in the directory.")
@click.option(
    "--beside",
    type=DIRECTORY,
    help="What other tools said: a JSON mapping of tool to a mapping of bundle to class.",
)
def score_command(directories: tuple[Path, ...], labels: Path | None, beside: Path | None) -> int:
    """Judge labelled incidents and print the confusion matrix and how calibrated it is.

    DIRECTORIES hold <bundle>.tar.xz or <bundle>/ and labels.jsonl; without any, the project's own
    incidents.
    """
    chosen = directories or tuple(
        d
        for d in (PROJECT / "incidents", PROJECT / "incidents" / "shared")
        if (d / "labels.jsonl").is_file()
    )
    if not chosen:
        raise UsageError("no incidents here: name a directory that holds labels.jsonl")
    if labels is not None and len(chosen) != 1:
        raise UsageError("--labels goes with exactly one directory")
    others: dict[str, dict[str, str]] = {}
    if beside is not None:
        given = read_object(beside)
        if given is None:
            raise UsageError(f"{beside}: no JSON object")
        others = given
    # Reading archives and counting is of no use to judging one bundle.
    from wktriage.evaluation import score

    found = [case for directory in chosen for case in score.cases(directory, labels)]
    click.echo(score.report(score.run(found), others), nl=False)
    return 0


def register(group: click.Group) -> None:
    """Add the judging commands to ``wktriage``."""
    for command in (classify, explain, verify_citations, score_command):
        group.add_command(command)

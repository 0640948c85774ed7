"""``wktriage runs|compare``: the bundles that are there, and two of them side by side."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import click
import msgspec

from wktriage.cli.output import say
from wktriage.core.categories import CATEGORIES
from wktriage.core.errors import UsageError
from wktriage.core.paths import work_dir
from wktriage.core.tables import aligned
from wktriage.core.terminal import visible
from wktriage.report.words import counted

PATH = click.Path(path_type=Path)
PURPOSES = ("target", "baseline", "experiment", "lab")
CLASSES = (*CATEGORIES, "not classified")
_RUNS = click.option(
    "--runs", "runs_dir", type=PATH, help="The directory of bundles. Default: runs/."
)
_CASES = click.option(
    "--cases", "cases_dir", type=PATH, help="The directory of cases. Default: cases/."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")


@click.group("runs", invoke_without_command=True)
@_RUNS
@click.option("--scenario", help="Of this scenario only.")
@click.option("--category", type=click.Choice(CLASSES), help="Of this category only.")
@click.option("--purpose", type=click.Choice(PURPOSES), help="Made for this only.")
@_JSON
@click.pass_context
def runs(
    context: click.Context,
    runs_dir: Path | None,
    scenario: str | None,
    category: str | None,
    purpose: str | None,
    as_json: bool,
) -> None:
    """List the runs, newest first; prune removes old ones."""
    if context.invoked_subcommand is not None:
        return
    from wktriage.experiments import shelf

    rows = shelf.runs(_existing(runs_dir) or work_dir() / "runs")
    for name, only in (("scenario", scenario), ("category", category), ("purpose", purpose)):
        rows = [row for row in rows if only is None or getattr(row, name) == only]
    if as_json:
        for row in rows:
            say(msgspec.json.encode(row).decode())
        return
    if not rows:
        say("no run matches" if scenario or category or purpose else "no runs yet")
        return
    table = [["run", "purpose", "mode", "category", "sure", "where", "size"]]
    for row in rows:
        sure = "" if row.confidence is None else f"{row.confidence:.2f}"
        where = ", ".join(row.nodes)
        cells = [row.id, row.purpose, row.mode, row.category, sure, where, _size(row.bytes)]
        table.append([visible(cell) for cell in cells])
    say("\n".join(aligned(table, right=(4, 6))))


@runs.command("prune")
@_RUNS
@_CASES
@click.option("--keep", type=click.IntRange(min=0), required=True, help="So many newest runs stay.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@_JSON
def prune_command(
    runs_dir: Path | None, cases_dir: Path | None, keep: int, dry_run: bool, as_json: bool
) -> None:
    """Remove all but the newest runs, and builds of git refs that no run needs any more.

    Runs that a case or another run's baseline needs stay.
    """
    from wktriage.experiments import shelf

    where = _existing(runs_dir) or work_dir() / "runs"
    plan = shelf.plan_prune(where, cases_dir or work_dir() / "cases", keep)
    for path in [*(where / row.id for row in plan.removed), *(b.path for b in plan.builds)]:
        if not dry_run:
            _remove(path)
    if as_json:
        kept = [{"id": row.id, "why": why} for row, why in plan.needed]
        removed = [{"id": row.id, "bytes": row.bytes} for row in plan.removed]
        built = [{"path": str(build.path), "bytes": build.bytes} for build in plan.builds]
        document = {"builds": built, "dry_run": dry_run, "kept": kept, "removed": removed}
        say(json.dumps(document, sort_keys=True))
        return
    done = "would remove" if dry_run else "removed"
    for row in plan.removed:
        say(f"{done} {row.id}")
    for build in plan.builds:
        say(f"{done} build {visible(str(build.path.relative_to(where)))}")
    for row, why in plan.needed:
        say(f"kept {row.id}: {visible(why)}")
    runs_bytes = _size(sum(row.bytes for row in plan.removed))
    builds_bytes = _size(sum(build.bytes for build in plan.builds))
    say(
        f"{done} {counted(len(plan.removed), 'run')} ({runs_bytes}) and "
        f"{counted(len(plan.builds), 'build')} ({builds_bytes})"
    )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@click.command()
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@_RUNS
@_JSON
def compare(one: str, other: str, runs_dir: Path | None, as_json: bool) -> int:
    """Compare the bundles A and B: what differs in what was chosen first, numbers second.

    A and B are directories, or ids in runs/. What may not be compared is refused (exit code 2).
    """
    from wktriage.experiments import compare as comparing
    from wktriage.experiments import shelf

    where = runs_dir or work_dir() / "runs"
    comparison = comparing.compare(shelf.bundle(one, where), shelf.bundle(other, where))
    if as_json:
        say(msgspec.json.format(msgspec.json.encode(comparison), indent=2).decode())
    else:
        _tell(comparison)
    return 2 if comparison.refused else 0


def _existing(directory: Path | None) -> Path | None:
    """Return a directory that a person named. Raises UsageError when it is not there."""
    if directory is not None and not directory.is_dir():
        raise UsageError(f"{directory}: no such directory")
    return directory


def _tell(comparison: Any) -> None:
    say(f"A  {comparison.one}\nB  {comparison.other}\n")
    rows = [
        [d.path, _text(d.one), _text(d.other)]
        for d in (*comparison.inputs, *comparison.derived, *comparison.observed)
    ]
    say("\n".join(aligned([["differs", "A", "B"], *rows])) if rows else "nothing differs")
    for reason in comparison.refused:
        say(f"\nrefused: {reason}")
    if comparison.numbers:
        numbers = [
            [n.signal, _text(n.one), _text(n.other), "" if n.ratio is None else f"{n.ratio:.3g}"]
            for n in comparison.numbers
        ]
        table = [["signal", "A", "B", "B/A"], *numbers]
        say("\n" + "\n".join(aligned(table, right=(1, 2, 3))))
    say("\n" + "\n".join(comparison.remarks))


def _text(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else str(value)
    return visible(text if len(text) <= 60 else f"{text[:57]}…")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def register(group: click.Group) -> None:
    """Add the commands to the group."""
    for command in (runs, compare):
        group.add_command(command)

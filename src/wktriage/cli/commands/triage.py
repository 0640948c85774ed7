"""``wktriage triage|collect|teardown``: the playbooks, with exit codes that say how they ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml

from wktriage.cli import exit_codes, inventories
from wktriage.cli.ansible import Outcome, run_playbook
from wktriage.cli.output import say
from wktriage.core.errors import InfraError, UsageError
from wktriage.run import interruption, recovery


def parse_extra_vars(values: tuple[str, ...]) -> dict[str, Any]:
    """Return what ``-e`` gave: ``key=value``, a JSON or YAML mapping, or ``@file`` with one.

    Later ones win. Raises UsageError for anything else.
    """
    variables: dict[str, Any] = {}
    for value in values:
        if value.startswith("@"):
            variables.update(_mapping(_read(Path(value[1:])), value))
        elif value.lstrip().startswith("{"):
            variables.update(_mapping(value, value))
        else:
            key, sep, text = value.partition("=")
            if not sep or not key.isidentifier():
                raise UsageError(f"-e {value!r}: write key=value, a JSON mapping, or @file")
            variables[key] = text
    return variables


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"-e @{path}: cannot be read: {exc}") from exc


def _mapping(text: str, shown: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise UsageError(f"-e {shown}: neither JSON nor YAML") from exc
    if not isinstance(value, dict):
        raise UsageError(f"-e {shown}: not a mapping")
    return {str(k): v for k, v in value.items()}


def run_to_end(playbook: str, extra: dict[str, Any], inventory: str | None) -> Outcome:
    """Run a playbook; what an interrupted run leaves is made a bundle. Raises Exit on Ctrl-C."""
    ended = run_playbook(playbook, extra, inventory=inventory)
    if ended.interrupted:
        if ended.bundle is not None:
            recovery.finalise_all(ended.bundle.parent, reason=interruption.BY_USER)
            if (ended.bundle / "summary.md").exists():
                say(f"The bundle is finished: see {ended.bundle / 'summary.md'}", err=True)
        raise click.exceptions.Exit(130)
    return ended


EXTRA = click.option(
    "-e",
    "--extra-vars",
    "extra",
    multiple=True,
    help="A variable of the run (see docs/how-to.md): key=value, a JSON mapping, or @file.",
)
INVENTORY = click.option(
    "-i",
    "--inventory",
    shell_complete=lambda _context, _parameter, typed: [
        name for name in inventories.names() if name.startswith(typed)
    ],
    help="Which stack: compose (default), replay, or the path of an inventory.",
)


def register(group: click.Group) -> None:
    """Add the commands to the group."""
    for command in (triage, collect, teardown):
        group.add_command(command)


@click.command()
@EXTRA
@INVENTORY
def triage(extra: tuple[str, ...], inventory: str | None) -> int:
    """Run a scenario, judge it and write the report."""
    ended = run_to_end("triage.yml", parse_extra_vars(extra), inventory)
    if ended.bundle is not None and (ended.bundle / "verdict.json").exists():
        return exit_codes.read(ended.bundle).exit_code
    return ended.exit_code or InfraError.exit_code


@click.command()
@EXTRA
@INVENTORY
def collect(extra: tuple[str, ...], inventory: str | None) -> int:
    """Run a scenario and keep its bundle, without a verdict."""
    return code_of(run_to_end("playbooks/collect.yml", parse_extra_vars(extra), inventory))


@click.command()
@EXTRA
@INVENTORY
def teardown(extra: tuple[str, ...], inventory: str | None) -> int:
    """Stop and remove the harness's own stack; data stays."""
    return code_of(run_to_end("playbooks/teardown.yml", parse_extra_vars(extra), inventory))


def code_of(ended: Outcome) -> int:
    """Return the exit code of a playbook that gives no verdict."""
    return 0 if ended.rc == 0 else ended.exit_code or InfraError.exit_code

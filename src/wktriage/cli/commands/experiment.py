"""``wktriage experiment``: one registered experiment, from its refusals to its outcome."""

from __future__ import annotations

import click

from wktriage.cli.commands.triage import EXTRA, INVENTORY, parse_extra_vars, run_to_end
from wktriage.core.errors import InfraError


@click.command()
@EXTRA
@INVENTORY
def experiment(extra: tuple[str, ...], inventory: str | None) -> int:
    """Change one variable against a control, repeat, and say what came of it.

    Needs -e control=BUNDLE with -e variable=, value=, expect= and min_effect=, or with -e
    proposal=1; or -e extend=CASE. The same command goes on where it was interrupted.
    Exit codes: 0 supported, 2 refused, 3 refuted, 4 inconclusive, 5 stopped early.
    """
    ended = run_to_end("playbooks/experiment.yml", parse_extra_vars(extra), inventory)
    if ended.exit_code is not None:
        return ended.exit_code
    return 0 if ended.rc == 0 else InfraError.exit_code


def register(group: click.Group) -> None:
    """Add the command to the group."""
    group.add_command(experiment)

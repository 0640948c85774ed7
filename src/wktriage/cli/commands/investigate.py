"""``wktriage investigate``: from a failure to its cause, experiment by experiment."""

from __future__ import annotations

import click

from wktriage.cli.commands.triage import EXTRA, INVENTORY, parse_extra_vars, run_to_end
from wktriage.core.errors import InfraError


@click.command()
@EXTRA
@INVENTORY
def investigate(extra: tuple[str, ...], inventory: str | None) -> int:
    """Run, repeat, and try one experiment after another until the cause is isolated.

    Needs -e scenario=NAME, -e bundle=BUNDLE or -e case=CASE (to go on); -e budget=45m and
    -e may_change=settings,workload,configuration bound it. The same command goes on where it was
    interrupted. Exit codes: 0 isolated or healthy, 2 refused, 3 nothing left to try, 4 budget
    spent or undecided.
    """
    ended = run_to_end("playbooks/investigate.yml", parse_extra_vars(extra), inventory)
    if ended.exit_code is not None:
        return ended.exit_code
    return 0 if ended.rc == 0 else InfraError.exit_code


def register(group: click.Group) -> None:
    """Add the command to the group."""
    group.add_command(investigate)

"""``wktriage reproduce``: a run done once more, on another stack."""

from __future__ import annotations

from pathlib import Path

import click

from wktriage.cli.commands.triage import EXTRA, INVENTORY, parse_extra_vars, run_to_end
from wktriage.core.errors import InfraError


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@EXTRA
@INVENTORY
def reproduce(bundle: Path, extra: tuple[str, ...], inventory: str | None) -> int:
    """Run once more what BUNDLE, a directory or a tar archive, is the evidence of.

    Scenario, workload, node variables, mode and length are those of BUNDLE; -e says where and how
    the stack runs. What could not be the same is said field by field, and whether verdict and
    cause agree.
    Exit codes: 0 they agree, 3 they differ, 4 other classes of evidence, which are not compared.
    """
    asked = {**parse_extra_vars(extra), "bundle": str(bundle.expanduser().absolute())}
    ended = run_to_end("playbooks/reproduce.yml", asked, inventory)
    if ended.exit_code is not None:
        return ended.exit_code
    return 0 if ended.rc == 0 else InfraError.exit_code


def register(group: click.Group) -> None:
    """Add the command to the group."""
    group.add_command(reproduce)

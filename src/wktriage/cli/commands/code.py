"""``wktriage bisect|verify-fix``: which commit did it, and does a fix fix it."""

from __future__ import annotations

import click

from wktriage.cli.commands.triage import EXTRA, INVENTORY, parse_extra_vars, run_to_end
from wktriage.core.errors import InfraError


@click.command()
@EXTRA
@INVENTORY
def bisect(extra: tuple[str, ...], inventory: str | None) -> int:
    """Find the commit that did it, and say how sure that is.

    Needs -e good=REF, bad=REF, expect=..., stack_build_command=... and
    wukongim_checkout=REPOSITORY, and -e scenario=NAME. Each step is an experiment against the good
    commit; commits that do not build are skipped. The same command goes on where it was
    interrupted.
    Exit codes: 0 named, 2 refused, 3 the bad commit is like the good one, 4 not decided.
    """
    return _run("playbooks/bisect.yml", extra, inventory)


@click.command("verify-fix")
@EXTRA
@INVENTORY
def verify_fix(extra: tuple[str, ...], inventory: str | None) -> int:
    """Say whether a fix fixes what a case is about.

    Needs -e case=ID, fix_ref=REF, stack_build_command=... and wukongim_checkout=REPOSITORY. The
    case's regression test has to pass on the fix, its scenario to improve beyond noise, and
    smoke-default and sampled-correctness to be healthy. The same command goes on where it was
    interrupted.
    Exit codes: 0 verified, 2 refused, 3 not verified.
    """
    return _run("playbooks/verify.yml", extra, inventory)


def _run(playbook: str, extra: tuple[str, ...], inventory: str | None) -> int:
    ended = run_to_end(playbook, parse_extra_vars(extra), inventory)
    if ended.exit_code is not None:
        return ended.exit_code
    return 0 if ended.rc == 0 else InfraError.exit_code


def register(group: click.Group) -> None:
    """Add the commands to the group."""
    group.add_command(bisect)
    group.add_command(verify_fix)

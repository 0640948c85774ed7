"""The ``wktriage`` command: its subcommands, and errors as one line with an exit code."""

from __future__ import annotations

import io
import sys

import click

from wktriage import __version__
from wktriage.cli.commands import Commands
from wktriage.cli.output import say
from wktriage.core.errors import TriageError, UsageError


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="wktriage")
def group() -> None:
    """Evidence-first performance triage for WuKongIM clusters.

    Exit codes: 0 healthy, 2 usage, 3 a problem was classified, 4 inconclusive, 5 hard stop
    (the baseline failed), 6 infrastructure.
    """


def main() -> None:
    """Run the command; an error of ours is one line on stderr, never a traceback."""
    try:
        code = group.main(prog_name="wktriage", standalone_mode=False)
    except click.exceptions.Abort:
        say("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as exc:
        told = io.StringIO()
        exc.show(file=told)
        say(told.getvalue(), err=True, nl=False)
        sys.exit(UsageError.exit_code)
    except TriageError as exc:
        say(f"wktriage: {exc}", err=True)
        sys.exit(exc.exit_code)
    sys.exit(code if isinstance(code, int) else 0)

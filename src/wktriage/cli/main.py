"""The ``wktriage`` command: its subcommands, and errors as one line with an exit code."""

from __future__ import annotations

import io
import os
import sys
import traceback
from pathlib import Path

import click

from wktriage import __version__
from wktriage.cli.commands import Commands
from wktriage.cli.output import say
from wktriage.core.errors import InfraError, TriageError, UsageError

DEBUG = "WKTRIAGE_DEBUG"
"""The environment variable that asks for tracebacks."""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="wktriage")
def group() -> None:
    """Evidence-first performance triage for WuKongIM clusters.

    Exit codes: 0 healthy, 2 usage, 3 a problem was classified, 4 inconclusive, 5 hard stop
    (the baseline failed), 6 infrastructure.
    """


def unexpected(exc: Exception) -> str:
    """Return what to tell of an error that nobody foresaw: a mistake in this program.

    With WKTRIAGE_DEBUG set it has the traceback, too.
    """
    if os.environ.get(DEBUG):
        return "".join(traceback.format_exception(exc))
    last = traceback.extract_tb(exc.__traceback__)[-1:]
    where = f" in {Path(last[0].filename).name}:{last[0].lineno}" if last else ""
    reason = " ".join(str(exc).split())[:200]
    return (
        f"unexpected {type(exc).__name__}{where}{': ' if reason else ''}{reason}. This is a "
        f"mistake in wktriage: report it (SECURITY.md says where) with what {DEBUG}=1 shows"
    )


def main() -> None:
    """Run the command; an error is one line on stderr, never a traceback."""
    try:
        code = group.main(prog_name="wktriage", standalone_mode=False)
    except click.exceptions.Abort:
        say("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as exc:
        message = io.StringIO()
        exc.show(file=message)
        say(message.getvalue(), err=True, nl=False)
        sys.exit(UsageError.exit_code)
    except TriageError as exc:
        say(f"wktriage: {exc}", err=True)
        sys.exit(exc.exit_code)
    except Exception as exc:  # noqa: BLE001 (the last resort: whatever it is, one line says so)
        say(f"wktriage: {unexpected(exc)}", err=True)
        sys.exit(InfraError.exit_code)
    sys.exit(code if isinstance(code, int) else 0)

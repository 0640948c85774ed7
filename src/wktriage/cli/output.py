"""The one way to print: text of evidence reaches no terminal raw."""

from __future__ import annotations

import click

from wktriage.core.terminal import visible


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print a text, from wherever it comes, with nothing in it that drives the terminal."""
    click.echo(visible(text), err=err, nl=nl)

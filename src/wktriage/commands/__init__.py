"""Subcommands of ``wktriage``, each module with its own ``register``."""

from __future__ import annotations

import click

from wktriage.commands import incidents, judge, lab, triage


def register_all(group: click.Group) -> None:
    """Add every subcommand to the group."""
    for module in (triage, judge, incidents, lab):
        module.register(group)

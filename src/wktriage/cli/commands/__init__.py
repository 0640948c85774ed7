"""Subcommands of ``wktriage``, each module with its own ``register``."""

from __future__ import annotations

from importlib import import_module

import click

MODULES = {
    "bisect": "code",
    "case": "case",
    "classify": "judge",
    "collect": "triage",
    "compare": "runs",
    "experiment": "experiment",
    "explain": "judge",
    "incidents": "incidents",
    "investigate": "investigate",
    "lab": "lab",
    "reproduce": "reproduce",
    "runs": "runs",
    "score": "judge",
    "teardown": "triage",
    "triage": "triage",
    "verify": "verify",
    "verify-citations": "verify",
    "verify-fix": "code",
}
"""Which module has which subcommand."""


class Commands(click.Group):
    """A group that imports a subcommand when it is asked for: judging needs no Ansible."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all subcommands."""
        return sorted(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a subcommand, importing its module the first time; None for an unknown name."""
        if cmd_name in MODULES and cmd_name not in self.commands:
            import_module(f"{__name__}.{MODULES[cmd_name]}").register(self)
        return super().get_command(ctx, cmd_name)

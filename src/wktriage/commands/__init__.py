"""Subcommands of ``wktriage``, each module with its own ``register``."""

from __future__ import annotations

import importlib
import importlib.util

import click

MODULES = ("triage", "judge", "incidents", "lab")


def register_all(group: click.Group) -> None:
    """Add every subcommand to the group."""
    for name in MODULES:
        if importlib.util.find_spec(f"{__name__}.{name}") is not None:
            importlib.import_module(f"{__name__}.{name}").register(group)

"""Inventories: those of the project by their short names, anybody's by path."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from wktriage.core.errors import UsageError
from wktriage.core.paths import PROJECT
from wktriage.core.suggestions import did_you_mean

DIRECTORY = PROJECT / "inventory"


def names() -> list[str]:
    """Return the short names of the project's inventories; examples to copy are none."""
    return sorted(
        path.name
        for path in DIRECTORY.iterdir()
        if path.is_dir() and not path.name.endswith(".example")
    )


def resolve(inventory: str) -> str:
    """Return what Ansible takes for an inventory: ours by its name, or by its path in the project.

    A path that exists and a list of hosts (``a,b``) stay as they are. Raises UsageError, with the
    known names, for anything else.
    """
    if "," in inventory or Path(inventory).exists():
        return inventory
    for ours in (DIRECTORY / inventory, PROJECT / inventory):
        if ours.exists():
            return str(ours)
    hint = did_you_mean(Path(inventory).name, names())
    raise UsageError(f"no inventory {inventory!r}: it is neither a path nor a known name{hint}")


def no_hosts(group: str, inventories: Iterable[str]) -> str:
    """Return the error of a playbook that found no host of its group in these inventories."""
    places = ", ".join(inventories) or "the inventory"
    known = ", ".join(f"inventory/{name}" for name in names())
    return (
        f"no host of group {group} in {places}. Name an inventory with -i: {known}, "
        f"or one of your own that has the group."
    )

"""Where things lie: the project's own files, what a run leaves behind, and what can be made again.

In a checkout all of it is in the checkout. An installed wheel carries its files inside the package
and writes nothing there: runs and data go to the current directory, caches to the user's cache.
"""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_CARRIED = _PACKAGE / "project"

INSTALLED = _CARRIED.is_dir()
"""Whether this is an installed wheel, not a checkout."""

PROJECT = _CARRIED if INSTALLED else _PACKAGE.parents[1]
"""Holds playbooks, roles, plugins, inventories, scenarios, rules, knobs, faults and schemas."""


def work_dir() -> Path:
    """Return the directory of ``runs`` and ``.data``, where the user names no other."""
    return Path.cwd() if INSTALLED else PROJECT


def runs_dir(named: str | None = None) -> Path:
    """Return the directory of this installation's bundles: the named one, else ``runs``."""
    return Path.cwd() / Path(named).expanduser() if named else work_dir() / "runs"


def cache_dir() -> Path:
    """Return the directory of what can be made again. It may not exist yet."""
    if not INSTALLED:
        return PROJECT / ".cache"
    # The XDG specification says to ignore a relative path.
    home = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (home if home.is_absolute() else Path.home() / ".cache") / "wktriage"

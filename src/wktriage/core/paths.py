"""Where the project's own files lie: beside ``src`` in a checkout, in the package in a wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_CARRIED = _PACKAGE / "project"

PROJECT = _CARRIED if _CARRIED.is_dir() else _PACKAGE.parents[1]
"""Holds playbooks, roles, plugins, inventories, scenarios, rules, knobs, faults and schemas."""

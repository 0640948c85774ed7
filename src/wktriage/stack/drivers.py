"""Finds drivers: each subpackage of this room with a module ``driver`` is one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from wktriage.core.errors import UsageError
from wktriage.request.request import Asked, Request, StackHost, given
from wktriage.stack.driver import Driver

_ROOM = Path(__file__).parent


def names() -> list[str]:
    """Return the names of all drivers."""
    return sorted(
        module.name
        for module in iter_modules([str(_ROOM)])
        if module.ispkg and (_ROOM / module.name / "driver.py").is_file()
    )


def named(name: str | None) -> Driver:
    """Return a driver. Raises UsageError, with the names there are, for an unknown one."""
    if name not in names():
        raise UsageError(
            f"the inventory sets stack_driver to {name!r}: it must be one of "
            f"{', '.join(names())} (see inventory/)"
        )
    driver: Driver = import_module(f"wktriage.stack.{name}.driver").DRIVER
    return driver


def check_request(
    raw: Mapping[str, Any],
    *,
    driver: str | None,
    benchmark_host: bool,
    root: Path,
    needs_stack: bool = True,
    hosts: Iterable[StackHost] = (),
) -> Request:
    """Check everything that was asked, before anything starts; see :class:`Asked`.

    ``raw`` holds the known extra vars; ``driver``, ``benchmark_host`` and ``hosts`` come from the
    inventory.
    Raises UsageError for the first thing that cannot be done as asked.
    """
    asked = Asked(given(raw), root, benchmark_host, needs_stack, tuple(hosts))
    return named(driver).check_request(asked)

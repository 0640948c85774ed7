"""Sentences of a verdict: trusted templates over values that came from evidence.

Templates are the project's own data. Values are plain text by the time they get here: control
characters are gone and length is capped, and they are never templated themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import SandboxedEnvironment

from wktriage.core.model import SignalSet, Value

TEXT_CAP = 500
_ENVIRONMENT = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
# autoescape is off because this is text: whoever shows it escapes it for where it is shown.


def clean(value: object, cap: int = TEXT_CAP) -> str:
    """Return one printable line of at most ``cap`` characters."""
    text = str(value)[: 4 * cap]
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:cap]


def show(value: Value, unit: str = "") -> str:
    """Return a value as a person reads it, with its unit; unknown for None."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return clean(value, 120)
    if unit == "s":
        return f"{value * 1000:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    if unit == "bytes":
        return f"{value / 1e6:.3g} MB"
    number = f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"
    suffix = {"1/s": "/s", "ms": " ms", "cores": " cores", "percent": " %"}.get(unit, "")
    return number + suffix


class Shown:
    """Signals of the whole cluster by name, each as :func:`show` has it."""

    def __init__(self, signals: SignalSet) -> None:
        """Take the signals of a bundle."""
        self._signals = signals

    def __getattr__(self, name: str) -> str:
        if name.startswith("_"):
            raise AttributeError(name)
        found = self._signals.get(name)
        return show(found.value, found.unit) if found is not None else "unknown"


def join(names: tuple[str, ...] | list[str]) -> str:
    """Return ``a, b and c``."""
    items = list(names)
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


@cache
def _template(text: str) -> Template:
    return _ENVIRONMENT.from_string(text)


def render(template: str, values: Mapping[str, Any]) -> str:
    """Return a template of ours with values filled in, as one clean line."""
    return clean(_template(template).render(**values))

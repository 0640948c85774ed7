"""Sentences of a verdict: trusted templates over values that came from evidence.

Templates are the project's own data. Values are plain text by the time they get here: control
characters are gone and length is capped, and they are never templated themselves.

A template may use ``s`` (the signals, see :class:`Shown`), ``agree`` and ``join``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import SandboxedEnvironment

from wktriage.bundle.redaction import redact_excerpt
from wktriage.core.model import SignalSet, Value
from wktriage.core.terminal import blanked

TEXT_CAP = 500


def clean(value: object, cap: int = TEXT_CAP) -> str:
    """Return one line of at most ``cap`` characters: no secret in it, and no control character."""
    # Secrets go before the text is cut: of a part of one nobody can tell that it is one.
    text = redact_excerpt(str(value)[: 4 * max(cap, TEXT_CAP)])[: 4 * cap]
    return " ".join(blanked(text).split())[:cap]


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
    if unit == "share":
        return f"{100 * value:.3g} %"
    if unit == "bytes":
        return f"{value / 1e6:.3g} MB"
    number = f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"
    suffix = {"1/s": "/s", "ms": " ms", "cores": " cores", "percent": " %"}.get(unit, "")
    return number + suffix


def counted(number: float, one: str, many: str = "") -> str:
    """Return a number with its noun: ``1 send``, ``290 sends``. ``many`` is ``one`` with an s."""
    return f"{show(number)} {one if number == 1 else many or one + 's'}"


class Names(str):
    """Names joined to text, which knows whether there is more than one."""

    __slots__ = ("plural",)
    plural: bool

    def __new__(cls, names: Iterable[str]) -> Names:
        """Join the names."""
        items = list(names)
        made = super().__new__(cls, join(items))
        made.plural = len(items) > 1
        return made


def agree(subject: str, one: str, many: str) -> str:
    """Return the word that agrees with the subject: ``agree(nodes, 'does', 'do')``."""
    return many if isinstance(subject, Names) and subject.plural else one


def join(names: Iterable[str]) -> str:
    """Return ``a, b and c``; empty names are left out."""
    items = [name for name in names if name]
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


class Shown:
    """Signals of the whole cluster by name, each as :func:`show` has it.

    A name that is not in the catalogue raises UnknownSignalError.
    """

    def __init__(self, signals: SignalSet) -> None:
        """Take the signals of a bundle."""
        self._signals = signals

    def __getattr__(self, name: str) -> str:
        if name.startswith("_"):
            raise AttributeError(name)
        signal = self._signals.get(name)
        return show(signal.value, signal.unit) if signal is not None else "unknown"

    def _number(self, name: str) -> float | None:
        signal = self._signals.get(name)
        value = signal.value if signal is not None else None
        return value if isinstance(value, int | float) else None

    def known(self, name: str) -> bool:
        """Tell whether the signal has a value."""
        signal = self._signals.get(name)
        return signal is not None and signal.value is not None

    def some(self, name: str) -> bool:
        """Tell whether a number is known and not zero."""
        return bool(self._number(name))

    def count(self, name: str, one: str, many: str = "") -> str:
        """Return a count with its noun (see :func:`counted`)."""
        number = self._number(name)
        return (
            f"an unknown number of {many or one + 's'}"
            if number is None
            else (counted(number, one, many))
        )

    def times(self, name: str) -> str:
        """Return how often: ``once``, ``twice``, ``3 times``."""
        number = self._number(name)
        return {1: "once", 2: "twice"}.get(round(number or 0)) or self.count(name, "time")

    def below(self, name: str, limit: float) -> bool:
        """Tell whether a number is known and below a limit."""
        number = self._number(name)
        return number is not None and number < limit

    def above(self, name: str, limit: float) -> bool:
        """Tell whether a number is known and at least a limit."""
        number = self._number(name)
        return number is not None and number >= limit


_ENVIRONMENT = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
# autoescape is off because this is text: whoever shows it escapes it for where it is shown.
_ENVIRONMENT.globals.update(agree=agree, join=join)


@cache
def _template(text: str) -> Template:
    return _ENVIRONMENT.from_string(text)


def render(template: str, values: Mapping[str, Any]) -> str:
    """Return a template of ours with values filled in, as one clean line."""
    return clean(_template(template).render(**values))

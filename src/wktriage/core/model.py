"""The types that signals, rules, verdicts and reports share."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from wktriage.core.errors import UnknownSignalError
from wktriage.core.suggestions import did_you_mean

Value = float | int | bool | str | None


class Tri(Enum):
    """Kleene's three truth values. Missing evidence is UNKNOWN, never NO."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"

    @classmethod
    def of(cls, value: bool | None) -> Tri:
        """Map True/False/None to YES/NO/UNKNOWN."""
        return cls.UNKNOWN if value is None else cls.YES if value else cls.NO

    def __invert__(self) -> Tri:
        return {Tri.YES: Tri.NO, Tri.NO: Tri.YES, Tri.UNKNOWN: Tri.UNKNOWN}[self]


@dataclass(frozen=True)
class Citation:
    """Where in a bundle a claim can be checked again.

    ``file`` is relative to the bundle, ``sha256`` covers it. ``line`` is 1-based. ``pointer`` is a
    JSON pointer into the JSON document of that line (or of the file when ``line`` is None).
    ``series`` is a Prometheus series as written in the file. ``value`` is what is found there.
    """

    file: str
    sha256: str
    line: int | None = None
    pointer: str | None = None
    series: str | None = None
    value: Value = None
    excerpt: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form used in verdict.json."""
        return {
            "file": self.file,
            "sha256": self.sha256,
            "line": self.line,
            "pointer": self.pointer,
            "series": self.series,
            "value": self.value,
            "excerpt": self.excerpt,
        }


@dataclass(frozen=True)
class Signal:
    """One named measurement computed from a bundle.

    ``node`` is set for node-scoped signals. ``value`` None means unknown, and then ``why_unknown``
    says what is missing. ``since``/``since_not_before`` (ISO UTC) bound the moment when an
    event-like signal began, given the sampling.
    """

    name: str
    unit: str
    value: Value
    node: str | None = None
    citations: tuple[Citation, ...] = ()
    since: str | None = None
    since_not_before: str | None = None
    why_unknown: str | None = None


@dataclass
class SignalSet:
    """All signals of one bundle, by name and node.

    ``names`` are those that there are (the catalogue's): any other is a mistake in the program, and
    stating or asking for it raises UnknownSignalError.
    """

    names: Collection[str]
    nodes: tuple[str, ...] = ()
    signals: list[Signal] = field(default_factory=list)
    _index: dict[tuple[str, str | None], Signal] = field(default_factory=dict, repr=False)
    _by_node: dict[str, dict[str, Signal]] = field(default_factory=dict, repr=False)

    def add(self, signal: Signal) -> None:
        """Add one signal. Raises ValueError when the (name, node) pair is there already."""
        self.require(signal.name)
        key = (signal.name, signal.node)
        if key in self._index:
            raise ValueError(f"signal {key} computed twice")
        self._index[key] = signal
        self.signals.append(signal)
        if signal.node is not None:
            self._by_node.setdefault(signal.name, {})[signal.node] = signal

    def get(self, name: str, node: str | None = None) -> Signal | None:
        """Return the signal, or None when nothing computed it (which rules treat as unknown)."""
        self.require(name)
        return self._index.get((name, node))

    def value(self, name: str, node: str | None = None) -> Value:
        """Return the signal's value, None when it is unknown."""
        signal = self.get(name, node)
        return signal.value if signal is not None else None

    def require(self, name: str) -> None:
        """Raise UnknownSignalError for a name that is not among those that there are."""
        if name not in self.names:
            raise UnknownSignalError(
                f"no signal is called {name!r}{did_you_mean(name, self.names)}"
            )

    def per_node(self, name: str) -> Mapping[str, Signal]:
        """Return the node-scoped signals of that name by node name."""
        self.require(name)
        return self._by_node.get(name, {})

    def __iter__(self) -> Iterator[Signal]:
        return iter(self.signals)

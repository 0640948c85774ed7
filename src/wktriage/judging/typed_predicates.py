"""Predicates as a person types them: ``achieved_rate_ratio >= 0.95 and send_errors == 0``.

The text becomes a predicate of :mod:`wktriage.judging.predicates`. Grammar::

    P    = term {"or" term}            term = part {"and" part}
    part = "not" part | "(" P ")" | ("any_node" | "all_nodes") "(" P ")" | "known" "(" signal ")"
         | signal op (number | true | false | 'text' | signal)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from wktriage.core.errors import UsageError
from wktriage.judging import predicates
from wktriage.judging.predicates import Catalogue, Predicate

_TOKEN = re.compile(
    r"\s*(?:(?P<op>>=|<=|==|!=|>|<)|(?P<paren>[()])|(?P<number>-?\d+(?:\.\d+)?(?:[eE]-?\d+)?)"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|'(?P<text>[^']*)')"
)
_LONGEST = 1000
_DEEPEST = 20
_QUANTIFIERS = ("any_node", "all_nodes")
_KEYWORDS = {"and", "or", "not", "known", *_QUANTIFIERS}


def parse(text: str, what: str, catalogue: Catalogue) -> Predicate:
    """Return the predicate that ``text`` says; ``what`` begins every error.

    Raises UsageError for text that is none, and for an unknown signal.
    """
    return predicates.parse(tree(text, what), what, catalogue)


def tree(text: str, what: str) -> Mapping[str, Any]:
    """Return the predicate as the mapping that rules write it as. Raises UsageError."""
    if not text.strip():
        raise UsageError(f"{what}: is empty; write it such as 'achieved_rate_ratio >= 0.95'")
    if len(text) > _LONGEST:
        raise UsageError(f"{what}: is longer than {_LONGEST} characters")
    reader = _Reader(text, what)
    result = reader.either(0)
    reader.end()
    return result


class _Reader:
    """Reads tokens from left to right."""

    def __init__(self, text: str, what: str) -> None:
        self._text = text
        self._what = what
        self._at = 0
        self._kind = ""
        self._token = ""
        self._advance()

    def end(self) -> None:
        """Raise UsageError unless all was read."""
        if self._kind:
            raise self._error(f"{self._token!r} was not expected")

    def either(self, depth: int) -> Mapping[str, Any]:
        """Read parts joined by "or"."""
        if depth > _DEEPEST:
            raise UsageError(f"{self._what}: nested deeper than {_DEEPEST}")
        parts = [self._both(depth)]
        while self._take("or"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else {"any": parts}

    def _both(self, depth: int) -> Mapping[str, Any]:
        parts = [self._part(depth)]
        while self._take("and"):
            parts.append(self._part(depth))
        return parts[0] if len(parts) == 1 else {"all": parts}

    def _part(self, depth: int) -> Mapping[str, Any]:
        if depth > _DEEPEST:
            raise UsageError(f"{self._what}: nested deeper than {_DEEPEST}")
        if self._take("not"):
            return {"not": self._part(depth + 1)}
        if self._kind == "paren":
            return self._bracketed(depth)
        if self._take("known"):
            self._need("(")
            name = self._name()
            self._need(")")
            return {"known": name}
        for quantifier in _QUANTIFIERS:
            if self._take(quantifier):
                return {quantifier: self._bracketed(depth)}
        return self._comparison()

    def _bracketed(self, depth: int) -> Mapping[str, Any]:
        self._need("(")
        inner = self.either(depth + 1)
        self._need(")")
        return inner

    def _comparison(self) -> Mapping[str, Any]:
        name = self._name()
        if self._kind != "op":
            raise self._error(f"{name} needs a comparison such as {name} >= 0.95")
        op = self._token
        self._advance()
        if self._kind == "word" and self._token not in ("true", "false"):
            return {"signal": name, "op": op, "other_signal": self._name()}
        value: float | int | bool | str
        if self._kind == "word":
            value = {"true": True, "false": False}[self._token]
        elif self._kind == "number":
            whole = self._token.lstrip("-").isdigit()
            value = int(self._token) if whole else float(self._token)
        elif self._kind == "text":
            value = self._token
        else:
            raise self._error(f"{name} {op} needs a number, true, false or 'text'")
        self._advance()
        return {"signal": name, "op": op, "value": value}

    def _name(self) -> str:
        if self._kind != "word" or self._token in _KEYWORDS:
            raise self._error("the name of a signal is missing")
        name = self._token
        self._advance()
        return name

    def _take(self, word: str) -> bool:
        if self._kind != "word" or self._token != word:
            return False
        self._advance()
        return True

    def _need(self, bracket: str) -> None:
        if self._kind != "paren" or self._token != bracket:
            raise self._error(f"{bracket!r} is missing")
        self._advance()

    def _advance(self) -> None:
        rest = self._text[self._at :]
        match = _TOKEN.match(rest)
        if match is None:
            if rest.strip():
                raise UsageError(f"{self._what}: cannot read {rest.strip()[:40]!r}")
            self._kind = self._token = ""
            return
        self._at += match.end()
        self._kind = str(match.lastgroup)
        self._token = match[self._kind]

    def _error(self, why: str) -> UsageError:
        return UsageError(f"{self._what}: {why} in {self._text[:200]!r}")

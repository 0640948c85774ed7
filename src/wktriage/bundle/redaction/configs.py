"""Redaction of configuration: YAML, TOML, JSON, env files. Read line by line, never parsed.

Lines keep their number and their newline. A value over several lines (block scalars, lists and
mappings, triple quotes, continuation lines) is hidden line by line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from wktriage.bundle.redaction import names
from wktriage.bundle.redaction.keys import PrivateKeys
from wktriage.bundle.redaction.lines import (
    Secrets,
    hides_nothing,
    is_harmless,
    is_open,
    redact_line,
    value_span,
)
from wktriage.bundle.redaction.values import HIDDEN

RULE = "config-key"
_NAME = re.compile(
    rb"""(?P<lead>[ \t]*+(?:-[ \t]++)*+)(?:export[ \t]++)?(?P<open>["']?)"""
    rb"""(?P<name>[A-Za-z0-9_.-]++)(?P<close>["']?)"""
    rb"""(?P<sign>[ \t]*+(?:=>|:=|=(?!=)|:(?!:))[ \t]*+)"""
)
_TWO_WORDS = re.compile(
    rb"""[ \t]*+(?:ENV[ \t]++)?(?P<name>[A-Za-z][A-Za-z0-9_-]*+)[ \t]++"""
    rb"""(?P<value>"[^"]*+"|[^\s"'#:=]++)[ \t]*+$"""
)
_OPTION_ALONE = re.compile(
    rb"""[ \t]*+(?:-[ \t]++)?["']?--?(?P<name>[A-Za-z][A-Za-z0-9_.-]*+)["']?,?[ \t]*+$"""
)
_ITEM = re.compile(rb"""(?P<lead>[ \t]*+(?:-[ \t]++)?)(?P<value>\S.*+)$""", re.S)
_BLOCK = re.compile(rb"[|>][+-]?[0-9]?[+-]?(?:[ \t]++#.*+)?$")
_QUOTED = re.compile(rb"""(?P<text>"(?:[^"\\]|\\.)*+"|'(?:[^']|'')*+')(?P<rest>.*+)$""", re.S)
_STRING = re.compile(rb""""(?:[^"\\]|\\.)*+"|'[^']*+'""")
_BRACKETS = re.compile(rb"[ \t\[\]{}(),]*+$")
_JSON_NUMBER = re.compile(rb"-?[0-9][0-9.eE+-]{0,40}+$")
_QUOTED_CAP = 500
"""Lines of one quoted value; a quote that never closes hides no more than these."""


class Configuration:
    """What the lines so far of one configuration file say of the next one."""

    def __init__(self, secrets: Secrets, counts: Counter[str]) -> None:
        """``secrets`` learns the values; ``counts`` grows by rule."""
        self._secrets, self._counts = secrets, counts
        self._keys = PrivateKeys()
        self._closing = b""
        self._closing_lines = 0
        self._continued = False
        self._depth = 0
        self._column: int | None = None
        self._nested = False
        self._item_follows = False
        self._value_follows = False

    def line(self, body: bytes) -> bytes:
        """Return a line (without its newline) without its secrets."""
        if (hidden := self._keys.line(body)) is not None:
            self._counts["private-key"] += 1
            return hidden
        if self._closing:
            return self._until_closed(body)
        if self._continued:
            self._continued = body.endswith(b"\\")
            self._secrets.learn(body.rstrip(b"\\"))
            return HIDDEN + (b"\\" if self._continued else b"")
        if self._depth > 0:
            self._depth += _balance(body)
            return self._strings(body)
        if self._column is not None and self._belongs(body, self._column):
            return self._inside(body)
        self._column = None
        if self._item_follows:
            self._item_follows = False
            return self._item(body)
        return self._fresh(body)

    # -- values over several lines ------------------------------------------------------------

    def _until_closed(self, body: bytes) -> bytes:
        self._closing_lines += 1
        at = body.find(self._closing)
        if at < 0 and self._closing_lines < _QUOTED_CAP:
            self._secrets.learn(body)
            return HIDDEN
        closing, self._closing = self._closing, b""
        if at < 0:
            return HIDDEN
        self._secrets.learn(body[:at])
        rest = redact_line(body[at + len(closing) :], self._secrets, self._counts)
        return closing + rest

    def _belongs(self, body: bytes, column: int) -> bool:
        """Tell whether a line is part of the value that began on an earlier line."""
        text = body.lstrip()
        depth = len(body) - len(text)
        if not text or depth > column:
            return True
        return self._nested and depth == column and (text[:2] == b"- " or text == b"-")

    def _inside(self, body: bytes) -> bytes:
        text = body.strip()
        if not text or (self._nested and text[:1] == b"#"):
            return body
        if not self._nested:
            self._secrets.learn(text)
            return body[: len(body) - len(body.lstrip())] + HIDDEN
        match = _NAME.match(body)
        if match is None:
            return self._item(body)
        value = body[match.end() :]
        if not value or value[:1] in b"{[&" or is_harmless(match["name"], value.rstrip(b", ")):
            return redact_line(body, self._secrets, self._counts, rule=RULE)
        return self._named(body, match, value)

    def _item(self, body: bytes) -> bytes:
        match = _ITEM.match(body)
        if match is None or _BRACKETS.match(body):
            return body
        quoted = _QUOTED.match(match["value"])
        value, rest = (quoted["text"], quoted["rest"]) if quoted else (match["value"], b"")
        if is_open(value):
            return body
        return match["lead"] + self._hidden(value) + rest

    def _strings(self, body: bytes) -> bytes:
        """Hide the elements of a list or table that was opened on an earlier line."""
        if _BRACKETS.match(body):
            return body
        if _STRING.search(body):
            return _STRING.sub(lambda m: self._hidden(m[0]), body)
        return self._item(body)

    # -- one line -----------------------------------------------------------------------------

    def _fresh(self, body: bytes) -> bytes:
        match = _NAME.match(body)
        awaited, self._value_follows = self._value_follows, False
        if match is not None:
            name, value = match["name"], body[match.end() :]
            low = name.lower()
            if names.is_secret(name) or (awaited and low == b"value"):
                return self._named(body, match, value)
            if low in (b"name", b"key"):
                # Kubernetes: "- name: DB_PASSWORD" and "value: x" on the next line.
                bare = value.strip().rstrip(b",").strip(b"\"'")
                self._value_follows = names.is_secret(bare)
        two = _TWO_WORDS.match(body)
        if two is not None and names.is_secret(two["name"]) and not is_open(two["value"]):
            return body[: two.start("value")] + self._hidden(two["value"])
        option = _OPTION_ALONE.match(body)
        self._item_follows = option is not None and names.is_secret(option["name"])
        body = redact_line(body, self._secrets, self._counts, rule=RULE, learn=self._secrets.learn)
        self._keys.begin(body)
        return body

    def _named(self, body: bytes, match: re.Match[bytes], value: bytes) -> bytes:
        """Hide the value of a name that says that it is secret; remember how it goes on."""
        lead, value = body[: match.end()], value.rstrip()
        column = match.start("open")
        wrapped = match["open"] and not match["close"]
        if wrapped:
            # A quoted NAME=value: the quote closes behind the value.
            end = value.rfind(match["open"])
            inner, rest = (value[:end], value[end:]) if end >= 0 else (value, b"")
            return lead + (inner if is_open(inner) else self._hidden(inner)) + rest
        if not value or value[:1] == b"#":
            self._column, self._nested = column, True
            return body
        if _BLOCK.match(value):
            self._counts[RULE] += 1
            self._column, self._nested = column, False
            return body
        if value[:3] in (b'"""', b"'''") and value.count(value[:3]) == 1:
            self._open(value[:3], value[3:])
            return lead + value[:3] + HIDDEN
        if value[:1] in (b"[", b"{") and value[:2] != b"{{":
            self._depth = max(0, _balance(value))
            if not _STRING.search(value):
                # Bare elements: what stands between the brackets is one value.
                start, end = value_span(value, 0) if value[:1] == b"[" else (0, 0)
                inner = value[start:end]
                if inner.strip() and not is_open(inner):
                    return lead + value[:start] + self._hidden(inner) + value[end:]
                return redact_line(body, self._secrets, self._counts, rule=RULE)
            return lead + self._object(value)
        quoted = _QUOTED.match(value)
        if quoted is not None:
            text = quoted["text"] if is_open(quoted["text"]) else self._hidden(quoted["text"])
            return lead + text + redact_line(quoted["rest"], self._secrets, self._counts)
        if value[:1] in (b'"', b"'"):
            self._open(value[:1], value[1:])
            return lead + value[:1] + HIDDEN
        return lead + self._bare(match, value, column)

    def _object(self, value: bytes) -> bytes:
        """Hide the strings of a list or mapping on one line, but those that say how, not what."""

        def replace(match: re.Match[bytes]) -> bytes:
            after = value[match.end() : match.end() + 2].lstrip()
            before = value[: match.start()].rstrip()
            label = re.search(rb"""([A-Za-z0-9_.-]{1,60})["']?\s?[:=]$""", before[-64:])
            if after[:1] in (b":", b"=") or is_open(match[0]):
                return match[0]
            if label is not None and is_harmless(label[1], match[0]):
                return match[0]
            return self._hidden(match[0])

        return redact_line(_STRING.sub(replace, value), self._secrets, self._counts, rule=RULE)

    def _bare(self, match: re.Match[bytes], value: bytes, column: int) -> bytes:
        """Return a value without quotes, and what stands behind it, without its secret."""
        text = value.partition(b" #")[0].rstrip()
        if match["open"] and text.endswith(b","):
            text = text[:-1]
        rest = value[len(text) :]
        if is_open(text) or hides_nothing(match["name"], text):
            return redact_line(value, self._secrets, self._counts)
        if text.endswith(b"\\") and not rest:
            self._continued = True
            return self._hidden(text[:-1]) + b"\\"
        if b":" in match["sign"]:
            # What is indented deeper goes on with a plain scalar.
            self._column, self._nested = column, False
        hidden = self._hidden(text)
        if match["open"] and _JSON_NUMBER.match(text):
            hidden = b'"' + hidden + b'"'
        return hidden + rest

    def _open(self, mark: bytes, value: bytes) -> None:
        self._counts[RULE] += 1
        self._closing, self._closing_lines = mark, 0
        self._secrets.learn(value)

    def _hidden(self, value: bytes) -> bytes:
        self._counts[RULE] += 1
        mark = value[:1] if value[:1] in (b'"', b"'") and value[-1:] == value[:1] else b""
        self._secrets.learn(value[1:-1] if mark and len(value) > 1 else value)
        return mark + HIDDEN + mark


def _balance(body: bytes) -> int:
    plain = _STRING.sub(b"", body)
    return sum(plain.count(c) for c in (b"[", b"{")) - sum(plain.count(c) for c in (b"]", b"}"))


def redact_config(
    lines: Iterable[bytes], secrets: Secrets, counts: Counter[str]
) -> Iterator[bytes]:
    """Yield the lines of a configuration file without its secrets, which ``secrets`` learns."""
    configuration = Configuration(secrets, counts)
    for line in lines:
        body = line.rstrip(b"\r\n")
        yield configuration.line(body) + line[len(body) :]

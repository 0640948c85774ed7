"""Private keys in PEM form over several lines, also between other lines of a log."""

from __future__ import annotations

import re

from wktriage.bundle.redaction.lines import open_private_key, private_key_end
from wktriage.bundle.redaction.values import HIDDEN

_BODY = re.compile(rb"[A-Za-z0-9+/]{1,80}+={0,2}(?:\\[nr])*+[\"',]*+\Z")
_HEADER = re.compile(rb"(?:Proc-Type|DEK-Info|Version|Comment|Hash)\b.*+\Z", re.S)
_LONG = 32
_LINES = 400
_STRANGERS = 8
"""Lines in a row that are no key's: the rest of the key was not written."""


class PrivateKeys:
    """Tells which lines lie inside a private key."""

    def __init__(self) -> None:
        self._left = 0
        self._strangers = 0

    def begin(self, line: bytes) -> None:
        """Look whether a private key begins on a line and goes on after it."""
        if b"-----BEGIN " in line and open_private_key(line):
            self._left, self._strangers = _LINES, 0

    def line(self, body: bytes) -> bytes | None:
        """Return what to show of a line (without newline) of a key; None when it is none's."""
        if self._left <= 0:
            return None
        self._left -= 1
        end = private_key_end(body)
        if end >= 0:
            self._left = 0
            begin = body.find(b"-----END ")
            before = body[:begin].rstrip()
            # The end may stand behind the key's last line, or behind a log's prefix.
            lead = (
                body[:begin]
                if not _BODY.match(before.rsplit(None, 1)[-1] if before else b"")
                else HIDDEN
            )
            return lead + body[begin:]
        text = body.rstrip()
        if not text:
            return body
        last = re.split(rb"[\s|]", text)[-1]
        alone = text.rpartition(b"|")[2].strip(b" \t\"'-,") == last.strip(b"\"',")
        if _BODY.match(last.lstrip(b"\"'")) and (alone or len(last) >= _LONG or last[-1:] == b"="):
            self._strangers = 0
            return text[: len(text) - len(last)] + HIDDEN
        if _HEADER.match(text.strip()):
            return HIDDEN
        self._strangers += 1
        if self._strangers >= _STRANGERS:
            self._left = 0
        return None

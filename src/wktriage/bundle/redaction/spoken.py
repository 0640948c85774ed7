"""Secrets that a sentence names: ``invalid password 'x'``, ``token x expired``, ``密码：x``.

Such sentences mostly name no secret at all, so that only values which look like one count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from wktriage.bundle.redaction import names

_LOOSE = re.compile(
    rb"""(?<![A-Za-z0-9_.-])(?P<name>[A-Za-z][A-Za-z0-9_.-]*+)"""
    rb"""(?:[ \t]{1,4}(?:(?:is|was)[ \t]{1,4})?|[(\[<|])(?P<quote>["'`]?)"""
    rb"""(?P<value>[A-Za-z0-9+/_=.~!@%^*-]{8,}+)"""
)
_WEAK = re.compile(
    rb"""(?<![A-Za-z0-9_.-])(?:auth|jwt|otp)["']?[ \t]{0,2}[:=][ \t]{0,2}["']?"""
    rb"""(?P<value>[A-Za-z0-9+/_=.~-]{8,}+)""",
    re.I,
)
# Password, pass phrase, token, key and secret key, as WuKongIM's authors write them.
_CHINESE = tuple(word.encode() for word in ("密码", "口令", "令牌", "密钥", "秘钥"))
_COLON = "：".encode()
_CHINESE_NAMED = re.compile(
    rb"(?:" + b"|".join(_CHINESE) + rb")[\"']?[ \t]{0,4}"
    rb"(?:[:=]|" + b"|".join((_COLON, "为".encode(), "是".encode())) + rb")"
    rb"[ \t]{0,4}[\"']?(?P<value>[!-~]{1,500}+)"
)
_HASH = re.compile(rb"[0-9a-f]{32,}\Z|[0-9A-F]{32,}\Z")
_TIME = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,2}:[0-9]{2}")

HINTS = (*_CHINESE, b"jwt", b"otp")
"""One of these or of the names' hints is in every line in which :func:`spans` finds something."""

SIGNS = (rb"%3[AaDd]", _COLON)
"""Signs between a name and its value besides those of configuration: in URLs, in Chinese."""


def spans(line: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the secrets are that a line speaks of."""
    position = 0
    while match := _LOOSE.search(line, position):
        # The value may be the next name.
        position = match.start("value")
        value, quoted = match["value"], bool(match["quote"])
        if not quoted and (b"/" in value or b"." in value):
            # A file, a package, a function.
            continue
        if names.is_secret(match["name"]) and looks_random(value, quoted=quoted):
            yield match.span("value")
            position = match.end()
    for match in _WEAK.finditer(line):
        if looks_random(match["value"], quoted=False):
            yield match.span("value")
    if not line.isascii():
        for match in _CHINESE_NAMED.finditer(line):
            start, end = match.span("value")
            yield start, start + len(line[start:end].rstrip(b"\"',;.)]}"))


def looks_random(value: bytes, *, quoted: bool) -> bool:
    """Tell whether a value looks made up by chance: letters of both cases and digits.

    In quotes, letters of one case do. A hash or a time does not look so.
    """
    if _HASH.match(value) or _TIME.match(value):
        return False
    digit = any(48 <= c <= 57 for c in value)
    lower = any(97 <= c <= 122 for c in value)
    upper = any(65 <= c <= 90 for c in value)
    return digit and ((lower and upper) or (quoted and (lower or upper)))

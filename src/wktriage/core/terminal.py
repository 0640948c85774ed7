"""Text from evidence on its way to a terminal: nothing in it can drive one.

C0 and C1 controls, DEL, bidirectional marks, other invisible format characters, line and paragraph
separators and lone surrogates never pass raw.
"""

from __future__ import annotations

import re
import unicodedata

_ODD = re.compile(r"[^\n\t -~]")
_DRIVING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# All that JSON leaves raw in a string of its text. Those below U+0020 it escapes itself.
_OUTSIDE_ASCII = re.compile("[\x7f-\U0010ffff]")


def drives(character: str) -> bool:
    """Tell whether a terminal may act on a character instead of showing it."""
    return unicodedata.category(character) in _DRIVING


def visible(text: str) -> str:
    """Return the text with what could drive the terminal as escapes; newlines and tabs stay."""
    return _ODD.sub(
        lambda m: (
            m[0].encode("unicode_escape", "surrogatepass").decode("ascii") if drives(m[0]) else m[0]
        ),
        text.replace("\r\n", "\n"),
    )


def blanked(text: str) -> str:
    """Return the text with a blank for every character that could drive the terminal."""
    return "".join(" " if drives(c) else c for c in text)


def json_visible(text: str) -> str:
    """Return JSON text that means the same and has nothing in it that could drive a terminal."""

    def escaped(match: re.Match[str]) -> str:
        character = match[0]
        if not drives(character):
            return character
        units = character.encode("utf-16-be", "surrogatepass")
        return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))

    return _OUTSIDE_ASCII.sub(escaped, text)

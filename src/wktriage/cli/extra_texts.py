"""Extra vars as they were typed: Ansible takes ``expect=a >= 1`` apart at its spaces."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

_QUOTES = "'\""


def repaired(
    parsed: Mapping[str, Any], typed: Iterable[str], texts: Collection[str]
) -> dict[str, Any]:
    """Return extra vars with whole texts.

    ``parsed`` is what Ansible made of ``typed``, the values of ``-e``; ``texts`` are the names of
    variables that hold text with spaces. Of such an option nothing but its text is taken.
    """
    result = dict(parsed)
    for option in map(str, typed):
        name, equals, text = option.partition("=")
        if not equals or name.strip() not in texts:
            continue
        # What Ansible took for variables of their own: ">= 0.95" is one named ">", and the rest.
        for word in (*text.split()[1:], "_raw_params"):
            result.pop(word[0] + word[1:].partition("=")[0], None)
        text = text.strip()
        if len(text) > 1 and text[0] in _QUOTES and text[-1] == text[0]:
            text = text[1:-1]
        result[name.strip()] = text
    return result

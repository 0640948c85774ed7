"""Check a citation again: is that value at that place of that very file?"""

from __future__ import annotations

import math
from typing import Any

from wktriage.bundle import redaction
from wktriage.bundle.bundle import Bundle
from wktriage.bundle.readers.jsonl import number
from wktriage.core import json_files
from wktriage.core.model import Citation
from wktriage.core.text import LINE_CAP


def verify_citation(bundle: Bundle, citation: Citation) -> str | None:
    """Return None when the citation holds, else what is wrong with it."""
    where = citation.file
    if not bundle.exists(where):
        return f"{where}: not in the bundle"
    if bundle.sha256(where) != citation.sha256:
        return f"{where}: sha256 differs, the file was changed after the claim"
    if citation.series is not None:
        return _check_series(bundle, citation)
    document: Any = None
    text = ""
    if citation.line is not None:
        line = _line(bundle, where, citation.line)
        if line is None:
            return f"{where}:{citation.line}: no such line"
        text = line
    if citation.pointer is not None:
        source = text if citation.line is not None else bundle.read_text(where) or ""
        try:
            document = json_files.parse(source)
        except ValueError:
            return f"{where}: no JSON at the cited place"
        try:
            value = resolve(document, citation.pointer)
        except (KeyError, IndexError, ValueError, TypeError):
            return f"{where}: nothing at {citation.pointer}"
        if isinstance(value, str):
            value = bundle.shown(value)
        if not _same(value, citation.value):
            return f"{where}: {citation.pointer} is {value!r}, not {citation.value!r}"
    if (
        citation.line is not None
        and citation.excerpt
        and citation.excerpt not in bundle.shown(text)
    ):
        return f"{where}:{citation.line}: the excerpt is not in that line"
    return None


def resolve(document: Any, pointer: str) -> Any:
    """Return what a JSON pointer (RFC 6901) names; KeyError, IndexError or ValueError if none."""
    if pointer == "":
        return document
    if not pointer.startswith("/"):
        raise ValueError(pointer)
    for token in pointer[1:].split("/"):
        token = token.replace("~1", "/").replace("~0", "~")
        document = document[int(token)] if isinstance(document, list) else document[token]
    return document


def _check_series(bundle: Bundle, citation: Citation) -> str | None:
    data = bundle.read_bytes(citation.file)
    if data is None:
        return f"{citation.file}: cannot be read"
    mark = (citation.series or "").encode("utf-8", errors="replace") + b" "
    if redaction.HIDDEN in mark:
        data = _shown_lines(bundle, data, mark.partition(redaction.HIDDEN)[0])
    start = 0 if data.startswith(mark) else data.find(b"\n" + mark) + 1
    if start == 0 and not data.startswith(mark):
        return f"{citation.file}: no series {citation.series}"
    end = data.find(b"\n", start)
    text = data[start + len(mark) : end if end >= 0 else len(data)].split()
    try:
        value = float(text[0])
    except (ValueError, IndexError):
        return f"{citation.file}: series {citation.series} has no value"
    if not _same(value, citation.value):
        return f"{citation.file}: {citation.series} is {value!r}, not {citation.value!r}"
    return None


def _shown_lines(bundle: Bundle, data: bytes, begin: bytes) -> bytes:
    """Return the lines that begin so, as they are cited: without their secrets."""
    lines = (line for line in data.splitlines() if line.startswith(begin))
    return b"\n".join(bundle.shown(line.decode("utf-8", "replace")).encode() for line in lines)


def _line(bundle: Bundle, rel: str, line_number: int) -> str | None:
    for at, raw in bundle.lines(rel, LINE_CAP):
        if at == line_number:
            return raw.decode("utf-8", errors="replace")
    return None


def _same(actual: Any, claimed: Any) -> bool:
    if isinstance(actual, bool) or isinstance(claimed, bool):
        return actual is claimed
    left, right = number(actual), number(claimed)
    if left is not None and right is not None:
        return math.isclose(left, right, rel_tol=1e-12, abs_tol=0.0)
    return bool(actual == claimed)

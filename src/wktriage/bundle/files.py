"""The files of an evidence directory: bounded, read-only access, and citations into them."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from wktriage.bundle import redaction
from wktriage.bundle.layout import DERIVED
from wktriage.core import json_files
from wktriage.core.text import LINE_CAP, iter_lines

T = TypeVar("T")

READ_CAP = 64 * 1024 * 1024
"""Bytes read of any other file that is read whole, after decompression."""

EXCERPT_CAP = 200

CONFIGS_CAP, CONFIG_CAP = 64, 1024 * 1024
"""Configuration files, and bytes of each, that are searched for secrets to look for elsewhere."""


@dataclass
class EvidenceFiles:
    """The regular files of one directory, as names relative to it. Nothing is ever written."""

    root: Path
    files: tuple[str, ...] = ()
    _file_set: frozenset[str] = field(default_factory=frozenset, repr=False)
    _read: dict[str, Any] = field(default_factory=dict, repr=False)

    def list_files(self) -> None:
        """Take the names of the regular files that lie there now; links are passed over."""
        self.files = tuple(sorted(_walk(self.root)))
        self._file_set = frozenset(self.files)

    def once(self, what: str, read: Callable[[], T]) -> T:
        """Return what ``read`` returned the first time: judging and the report read the same."""
        if what not in self._read:
            self._read[what] = read()
        value: T = self._read[what]
        return value

    def path(self, rel: str) -> Path | None:
        """Return the path of a bundle file, or None when it is absent, a link or outside."""
        if rel not in self._file_set:
            return None
        return self.root / rel

    def exists(self, rel: str) -> bool:
        """Tell whether the bundle holds that file."""
        return rel in self._file_set

    def size(self, rel: str) -> int:
        """Return the size in bytes, 0 when absent."""
        path = self.path(rel)
        try:
            return path.stat().st_size if path else 0
        except OSError:
            return 0

    def error(self, rel: str) -> str | None:
        """Return the first line of ``<rel>.err`` (why a file could not be fetched), or None."""
        if not self.exists(rel + ".err"):
            return None
        text = self.read_text(rel + ".err", cap=2000) or ""
        return text.splitlines()[0][:EXCERPT_CAP] if text.strip() else "no reason recorded"

    def read_bytes(self, rel: str, cap: int = READ_CAP) -> bytes | None:
        """Return at most ``cap`` bytes (decompressed when .gz); None when absent or unreadable.

        A compressed file that is truncated or damaged yields what could be decompressed.
        """
        path = self.path(rel)
        if path is None:
            return None
        try:
            if not rel.endswith(".gz"):
                with path.open("rb") as handle:
                    return handle.read(cap)
            return _gunzip(path, cap)
        except OSError:
            return None

    def read_text(self, rel: str, cap: int = READ_CAP) -> str | None:
        """Return text with invalid bytes replaced; None when absent or unreadable."""
        data = self.read_bytes(rel, cap)
        return None if data is None else data.decode("utf-8", errors="replace")

    def read_json(self, rel: str) -> dict[str, Any] | None:
        """Return a JSON object; None when absent, too large, damaged or no object."""
        data = self.read_bytes(rel, json_files.CAP)
        return None if data is None else json_files.parse_object(data)

    def lines(self, rel: str, cap: int = LINE_CAP) -> Iterator[tuple[int, bytes]]:
        """Stream (1-based line number, line without newline cut at ``cap`` bytes)."""
        path = self.path(rel)
        if path is not None:
            yield from iter_lines(path, cap)

    def shown(self, text: str) -> str:
        """Return a text of these files as it may be shown: without secrets.

        Evidence of this harness has none any more; that of someone else may.
        """
        return redaction.redact_excerpt(text, self._secrets)

    @cached_property
    def _secrets(self) -> tuple[str, ...]:
        """What the configuration here gives away, to be looked for in what is shown."""
        configs = [
            f for f in self.files if redaction.is_config(Path(f)) and not f.endswith(".json")
        ]
        known, counts = redaction.Secrets(), Counter[str]()
        for file in configs[:CONFIGS_CAP]:
            lines = (self.read_bytes(file, CONFIG_CAP) or b"").splitlines(keepends=True)
            for _ in redaction.redact_config(lines, known, counts):
                pass
        return tuple(sorted(v.decode("utf-8", "replace") for v in known.values))


def _walk(root: Path) -> Iterator[str]:
    """Yield the regular files under ``root``, following no link."""
    for name, directories, files in os.walk(root, followlinks=False):
        directory = Path(name)
        directories[:] = sorted(d for d in directories if not (directory / d).is_symlink())
        for file in files:
            path = directory / file
            rel = path.relative_to(root).as_posix()
            if rel not in DERIVED and not path.is_symlink() and path.is_file():
                yield rel


def _gunzip(path: Path, cap: int) -> bytes | None:
    """Return at most ``cap`` decompressed bytes; what was readable of a damaged file, else None."""
    chunks: list[bytes] = []
    total = 0
    stream = zlib.decompressobj(wbits=31)
    with path.open("rb") as handle:
        try:
            while total < cap and not stream.eof:
                data = stream.unconsumed_tail or handle.read(64 * 1024)
                if not data:
                    break
                chunks.append(stream.decompress(data, cap - total))
                total += len(chunks[-1])
        except zlib.error:
            pass
    return b"".join(chunks) if total or stream.eof else None

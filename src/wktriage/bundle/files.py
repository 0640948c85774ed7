"""The files of an evidence directory: bounded, read-only access, and citations into them."""

from __future__ import annotations

import hashlib
import itertools
import os
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from wktriage.bundle import redaction
from wktriage.bundle.layout import DERIVED
from wktriage.core import json_files
from wktriage.core.budget import Budget
from wktriage.core.text import LINE_CAP, AnyOf, grep, iter_lines

T = TypeVar("T")

READ_CAP = 64 * 1024 * 1024
"""Bytes read of any other file that is read whole, after decompression."""

FILES_CAP, DEPTH_CAP = 100_000, 16
"""Files that are looked at, and how many directories deep; a run of an hour leaves thousands."""

SIZE_CAP = 2 * 1024 * 1024 * 1024
"""Bytes of the largest file that is evidence: it is to be hashed, and may be one great hole."""

OBJECT_FACTOR = 12
"""Bytes of memory that a byte of JSON takes as objects."""

EXCERPT_CAP = 200
_BLOCK = 1024 * 1024

CONFIGS_CAP, CONFIG_CAP = 64, 1024 * 1024
"""Configuration files, and bytes of each, that are searched for secrets to look for elsewhere."""


@dataclass
class EvidenceFiles:
    """The regular files of one directory, as names relative to it. Nothing is ever written."""

    root: Path
    files: tuple[str, ...] = ()
    budget: Budget = field(default_factory=Budget, repr=False)
    more_files: bool = False
    too_large: tuple[str, ...] = ()
    _file_set: frozenset[str] = field(default_factory=frozenset, repr=False)
    _read: dict[str, Any] = field(default_factory=dict, repr=False)

    def list_files(self) -> None:
        """Take the names of the regular files that lie there now; links are passed over."""
        walked = list(itertools.islice(_walk(self.root), FILES_CAP + 1))
        self.more_files = len(walked) > FILES_CAP
        self.too_large = tuple(sorted(rel for rel, size in walked[:FILES_CAP] if size > SIZE_CAP))
        self.keep_only(sorted(rel for rel, size in walked[:FILES_CAP] if size <= SIZE_CAP))

    def keep_only(self, files: Iterable[str]) -> None:
        """Take these files, of those that lie there, as the evidence."""
        self.files = tuple(files)
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
        if path is None or self.budget.late(rel):
            return None
        try:
            if not rel.endswith(".gz"):
                with path.open("rb") as handle:
                    return handle.read(cap)
            return _gunzip(path, cap)
        except OSError:
            return None

    def sha256(self, rel: str) -> str:
        """Return the hex digest of a file as it is now; "" when it is absent or unreadable."""
        path = self.path(rel)
        if path is None:
            return ""
        digest = hashlib.sha256()
        try:
            with path.open("rb") as handle:
                while block := handle.read(_BLOCK):
                    digest.update(block)
                    if len(block) == _BLOCK and self.budget.late(rel):
                        return ""
        except OSError:
            return ""
        return digest.hexdigest()

    def read_text(self, rel: str, cap: int = READ_CAP) -> str | None:
        """Return text with invalid bytes replaced; None when absent or unreadable."""
        data = self.read_bytes(rel, cap)
        return None if data is None else data.decode("utf-8", errors="replace")

    def read_json(self, rel: str) -> dict[str, Any] | None:
        """Return a JSON object; None when absent, too large, damaged or no object."""
        data = self.read_bytes(rel, json_files.CAP)
        if data is None or not self.budget.keep(rel, OBJECT_FACTOR * len(data)):
            return None
        return json_files.parse_object(data)

    def lines(self, rel: str, cap: int = LINE_CAP) -> Iterator[tuple[int, bytes]]:
        """Stream (1-based line number, line without newline cut at ``cap`` bytes)."""
        path = self.path(rel)
        if path is not None:
            yield from iter_lines(path, cap, lambda: self.budget.late(rel))

    def grep(self, rel: str, finder: AnyOf) -> Iterator[tuple[int, bytes]]:
        """Stream (1-based line number, line) of the lines in which the finder finds something."""
        path = self.path(rel)
        if path is not None:
            yield from grep(path, finder, lambda: self.budget.late(rel))

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


def _walk(root: Path) -> Iterator[tuple[str, int]]:
    """Yield the regular files under ``root`` with their sizes, following no link."""
    below = deque([(root, "", 0)])
    while below:
        directory, prefix, depth = below.popleft()
        try:
            with os.scandir(directory) as entries:
                ordered = sorted(entries, key=lambda entry: entry.name)
            for entry in ordered:
                rel = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    if depth < DEPTH_CAP:
                        below.append((directory / entry.name, rel + "/", depth + 1))
                elif entry.is_file(follow_symlinks=False) and rel not in DERIVED:
                    yield rel, entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue


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

"""Takes secrets out of evidence before it becomes a bundle, and says what was taken out, not what.

Configuration (YAML, TOML, JSON, env), logs, scrapes and profiles pass here when a bundle is made;
excerpts pass when a bundle of someone else is cited. Files are hostile: they are read as bytes,
line by line, and never parsed. Matching is linear in the input, with ``re`` alone: its patterns
here are bounded or possessive. RE2 would promise the same for any pattern, but knows neither
possessive repetition nor what stands before a match, and has no wheels for older macOS.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO

from wktriage.bundle.redaction import profiles
from wktriage.bundle.redaction.configs import redact_config
from wktriage.bundle.redaction.keys import PrivateKeys
from wktriage.bundle.redaction.lines import (
    Secrets,
    hide_known,
    hints_in,
    redact_line,
    suspicious,
)
from wktriage.bundle.redaction.values import HIDDEN

__all__ = [
    "HIDDEN", "LINE_CAP", "Secrets", "is_config", "redact_config", "redact_excerpt",
    "redact_line", "redact_lines", "redact_text", "redact_tree",
]  # fmt: skip

SCHEMA_VERSION = 1
CONFIG_SUFFIXES = frozenset(
    {".yml", ".yaml", ".toml", ".env", ".conf", ".json", ".ini", ".cfg", ".properties"}
)
CONFIG_NAMES = frozenset({"env.txt"})
PACKED_CAP = 256 * 1024 * 1024
LINE_CAP = 1024 * 1024
EXCERPT_CAP = 64 * 1024
_BLOCK = 64 * 1024

RULES: dict[str, str] = {
    "config-key": "value of a key that names a secret, in a configuration file",
    "named-value": "value of a name that names a secret, in a log, a label or an option",
    "known-secret": "a value that is secret elsewhere (in a configuration file, or by the caller)",
    "authorization": "credentials of an Authorization header or of a command",
    "jwt": "JSON Web Token",
    "url-credentials": "user and password in a URL or in the name of a data source",
    "signed-url": "signature of a URL that gives access",
    "bare-token": "token of a cloud, a forge or another service, known by its form",
    "private-key": "private key in PEM form",
    "packed-file": "compressed file that held a secret and could not be rewritten: left out",
    "cut-line": "rest of a line too long to be searched",
}


def redact_lines(lines: Iterable[bytes], secrets: Secrets, counts: Counter[str]) -> Iterator[bytes]:
    """Yield the lines of a log or another text without their secrets."""
    keys = PrivateKeys()
    for batch in _batches(lines):
        # Looking for eighty hints costs more than the rest: most are nowhere in so much text.
        hints = hints_in(b"".join(batch).lower())
        for line in batch:
            body = line.rstrip(b"\r\n")
            hidden = keys.line(body)
            if hidden is not None:
                counts["private-key"] += hidden != body
                yield hidden + line[len(body) :]
                continue
            keys.begin(line)
            if suspicious(line.lower(), hints):
                yield redact_line(line, secrets, counts)
            else:
                yield hide_known(line, secrets, counts)


def _batches(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line)
        if size >= _BLOCK:
            yield batch
            batch, size = [], 0
    yield batch


def redact_text(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text that is shown or stored on its own (an error message) without its secrets."""
    known, counts = Secrets.of(secrets), Counter[str]()
    lines = text.encode("utf-8", "surrogatepass").splitlines(keepends=True)
    return b"".join(redact_lines(lines, known, counts)).decode("utf-8", "replace")


@lru_cache(maxsize=4096)
def redact_excerpt(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Return a piece of evidence, as it is shown, without known secrets and evident ones."""
    text = text[:EXCERPT_CAP]
    if suspicious(text.lower().encode("utf-8", "replace")) or any(s in text for s in secrets):
        return redact_text(text, secrets)
    return text


def is_config(path: Path) -> bool:
    """Tell whether a file is read as configuration."""
    return path.suffix in CONFIG_SUFFIXES or path.name in CONFIG_NAMES


def redact_tree(root: Path, secrets: Iterable[str] = ()) -> dict[str, Any]:
    """Redact every file under ``root`` in place; return the document for redaction.json.

    Configuration comes first: what is secret there is looked for in all other files.
    """
    known = Secrets.of(secrets)
    files = sorted(p for p in root.rglob("*") if p.is_file() and not p.is_symlink())
    redactions: list[dict[str, Any]] = []

    def report(path: Path, counts: Counter[str]) -> None:
        name = path.relative_to(root).as_posix()
        redactions.extend(
            {"file": name, "rule": rule, "count": count}
            for rule, count in sorted(counts.items())
            if count
        )

    configs = [p for p in files if is_config(p)]
    totals: dict[Path, Counter[str]] = {p: Counter() for p in configs}
    for path in configs:
        _rewrite(path, partial(_config, secrets=known, counts=totals[path]))
    for path in configs:
        # Once more: a value learnt in a later file may stand in an earlier one.
        again: Counter[str] = Counter()
        _rewrite(path, partial(_config, secrets=known, counts=again))
        totals[path]["known-secret"] += again["known-secret"]
        report(path, totals[path])
    for path in files:
        if is_config(path):
            continue
        counts: Counter[str] = Counter()
        if path.suffix == ".gz":
            _packed(path, known, counts)
        elif path.suffix == ".prom":
            _whole(path, known, counts)
        else:
            _rewrite(path, partial(_text, secrets=known, counts=counts))
        report(path, counts)
    return {
        "schema_version": SCHEMA_VERSION,
        "files_scanned": len(files),
        "secrets_known": len(known.values),
        "rules": [{"id": key, "text": text} for key, text in RULES.items()],
        "redactions": sorted(redactions, key=lambda r: (r["file"], r["rule"])),
    }


def _config(handle: BinaryIO, secrets: Secrets, counts: Counter[str]) -> Iterator[bytes]:
    return redact_config(_lines(handle, counts), secrets, counts)


def _text(handle: BinaryIO, secrets: Secrets, counts: Counter[str]) -> Iterator[bytes]:
    return redact_lines(_lines(handle, counts), secrets, counts)


def _lines(handle: BinaryIO, counts: Counter[str]) -> Iterator[bytes]:
    """Yield lines of at most LINE_CAP bytes; the rest of a longer one is left out, unsearched."""
    while line := handle.readline(LINE_CAP):
        if len(line) == LINE_CAP and not line.endswith(b"\n"):
            while (rest := handle.readline(LINE_CAP)) and not rest.endswith(b"\n"):
                pass
            counts["cut-line"] += 1
            line = line[:-1024] + b" ...[line cut]\n"
        yield line


def _rewrite(path: Path, redacted: Callable[[BinaryIO], Iterable[bytes]]) -> None:
    """Replace a file by its redacted lines; leave it alone when nothing changes."""
    fresh = path.with_name(path.name + ".redacting")
    changed = False
    with path.open("rb") as source, fresh.open("wb") as target:
        for line in redacted(source):
            target.write(line)
        changed = target.tell() != source.tell()
    if changed or path.read_bytes() != fresh.read_bytes():
        fresh.replace(path)
    else:
        fresh.unlink()


def _searched(data: bytes, secrets: Secrets, counts: Counter[str]) -> bytes:
    """Return a text that is held whole without its secrets.

    Hundreds of kilobytes of numbers: where nothing may be secret, lines are not even told apart.
    """
    data = hide_known(data, secrets, counts)
    if not suspicious(data.lower()):
        return data
    return b"".join(redact_lines(data.splitlines(keepends=True), Secrets(), counts))


def _whole(path: Path, secrets: Secrets, counts: Counter[str]) -> None:
    data = path.read_bytes()
    if (fresh := _searched(data, secrets, counts)) != data:
        path.write_bytes(fresh)


def _packed(path: Path, secrets: Secrets, counts: Counter[str]) -> None:
    """Search a compressed file and write it anew; drop one with secrets that can't be."""
    data = _unpacked(path)
    if data is None:
        # No reader gets anything out of it, but somebody who looks into it does.
        raw = path.read_bytes()
        if _searched(raw, secrets, Counter()) != raw:
            _drop(path, counts, "it held a secret")
        return
    if len(data) > PACKED_CAP:
        _drop(path, counts, "too large to be searched for secrets")
        return
    try:
        fresh = (
            profiles.redact(data, partial(_searched, secrets=secrets, counts=counts))
            if path.name.endswith(".pb.gz")
            else _searched(data, secrets, counts)
        )
    except profiles.NoProfileError:
        if _searched(data, secrets, Counter()) != data:
            counts.clear()
            _drop(path, counts, "it held a secret")
        return
    if fresh != data:
        counts["named-value"] += not counts
        path.write_bytes(gzip.compress(fresh, 1, mtime=0))


def _unpacked(path: Path) -> bytes | None:
    """Return what can be unpacked of a file, also of a damaged one, and one byte over the cap.

    None when that is nothing.
    """
    pieces: list[bytes] = []
    size = 0
    stream = zlib.decompressobj(wbits=31)
    with path.open("rb") as handle:
        try:
            while size <= PACKED_CAP:
                data = stream.unconsumed_tail or stream.unused_data or handle.read(_BLOCK)
                if not data:
                    break
                if stream.eof:
                    stream = zlib.decompressobj(wbits=31)
                pieces.append(stream.decompress(data, PACKED_CAP + 1 - size))
                size += len(pieces[-1])
        except zlib.error:
            pass
    return b"".join(pieces) if size or stream.eof else None


def _drop(path: Path, counts: Counter[str], why: str) -> None:
    counts["packed-file"] += 1
    path.unlink()
    path.with_name(path.name + ".err").write_text(f"left out: {why}\n")

"""Takes secrets out of evidence before it becomes a bundle, and says what was taken out, not what.

Two kinds of places: configuration (YAML, TOML, env), where a key tells that its value is secret;
and everything else, where known secret values, credentials in headers and URLs, and JSON Web
Tokens are looked for. Files are hostile: they are read as bytes, line by line, and never parsed.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

SCHEMA_VERSION = 1
HIDDEN = b"REDACTED"
CONFIG_SUFFIXES = frozenset({".yml", ".yaml", ".toml", ".env", ".conf"})
CONFIG_NAMES = frozenset({"env.txt"})
PACKED_CAP = 256 * 1024 * 1024
LINE_CAP = 1024 * 1024

RULES: dict[str, str] = {
    "config-key": "value of a key that names a secret, in a configuration file",
    "json-key": "value of a JSON key that names a secret",
    "known-secret": "a value that is secret elsewhere (in a configuration file, or by the caller)",
    "authorization": "credentials of an Authorization header",
    "jwt": "JSON Web Token",
    "url-credentials": "user and password in a URL",
    "packed-file": "compressed file that held a secret and could not be rewritten: left out",
    "cut-line": "rest of a line too long to be searched",
}

_WORD = rb"(?:password|passwd|passphrase|secret|token|credential|(?:api|access|private)[_-]?key)s?"
_KEY = rb"[A-Za-z0-9_.-]*" + _WORD
# A line that begins with the key: YAML mapping, TOML, KEY=value, and list items of these.
_LINE_KEY = re.compile(
    rb"""^(?P<lead>\s*(?:-\s+)?(?:export\s+)?["']?"""
    + _KEY
    + rb"""["']?\s*[:=]\s*)(?P<value>\S.*?)"""
    rb"""(?P<tail>\s*)$""",
    re.I | re.S,
)
# The same inside a line: inline tables, flow mappings, --token=value.
_INNER_KEY = re.compile(
    rb"""(?P<lead>(?<![A-Za-z0-9_.-])-{0,2}["']?"""
    + _KEY
    + rb"""["']?\s*[:=]\s*)(?P<value>"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,}\]"'#]+)""",
    re.I,
)
_JSON_KEY = re.compile(
    rb'(?P<lead>\\?"' + _KEY + rb'\\?"\s*:\s*\\?")(?P<value>[^"\\]{1,4000})', re.I
)
_AUTHORIZATION = re.compile(
    rb"""(?P<lead>\bauthorization["']?\s*[:=]\s*\[?["']?(?:(?:bearer|basic|digest|token)\s+)?|"""
    rb"""\bbearer\s+)(?P<value>[A-Za-z0-9._~+/=-]{6,})""",
    re.I,
)
_JWT = re.compile(rb"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")
_URL = re.compile(
    rb"(?P<lead>\b[a-z][a-z0-9+.-]{1,20}://)(?P<value>[^\s/@:\"']{1,200}:[^\s/@\"']{1,200})(?=@)",
    re.I,
)
# Values that hide nothing: empty, placeholders, truth values.
_OPEN = re.compile(
    rb"""^(?:""|''|null|~|none|true|false|\$\{[^}]*\}|\$[A-Z_][A-Z0-9_]*|"\$\{[^}]*\}"|"""
    + HIDDEN + rb"|\"" + HIDDEN + rb"\")$",
    re.I,
)  # fmt: skip
_BLOCK = re.compile(rb"^[|>][+-]?\d*$")
_HINT = re.compile(
    _WORD + rb"|authorization|bearer|eyJ|://[^\s/@]{0,400}@",
    re.I,
)


@dataclass
class Secrets:
    """Secret values to look for. ``given`` come from the caller; others are found in configs."""

    values: set[bytes] = field(default_factory=set)
    _pattern: re.Pattern[bytes] | None = None

    @classmethod
    def of(cls, given: Iterable[str]) -> Secrets:
        """Take values that the caller knows to be secret; shorter than 4 bytes hide nothing."""
        return cls({v for v in (str(g).strip().encode() for g in given) if len(v) >= 4})

    def learn(self, value: bytes) -> None:
        """Take a value found in a configuration, when it is distinctive enough to search for.

        A password such as ``wukongim`` is a word of every metric name: hiding that word
        everywhere would destroy the evidence and tell the password.
        """
        value = value.strip()
        distinctive = len(value) >= 16 or (len(value) >= 8 and not value.isalpha())
        if distinctive and value not in self.values:
            self.values.add(value)
            self._pattern = None

    def pattern(self) -> re.Pattern[bytes] | None:
        """Return a pattern for all values, the longest first; None when there are none."""
        if self._pattern is None and self.values:
            ordered = sorted(self.values, key=lambda v: (-len(v), v))
            self._pattern = re.compile(b"|".join(re.escape(v) for v in ordered))
        return self._pattern


def redact_line(line: bytes, secrets: Secrets, counts: Counter[str]) -> bytes:
    """Return a line of any evidence file without its secrets; ``counts`` grows by rule."""
    pattern = secrets.pattern()
    if pattern is not None:
        line, found = pattern.subn(HIDDEN, line)
        _count(counts, "known-secret", found)
    if _HINT.search(line) is None:
        return line
    for rule, expression in (
        ("authorization", _AUTHORIZATION),
        ("jwt", _JWT),
        ("url-credentials", _URL),
        ("json-key", _JSON_KEY),
    ):
        line = _hide(expression, line, rule, counts)
    return line


def _hide(
    expression: re.Pattern[bytes], line: bytes, rule: str, counts: Counter[str],
    found: Callable[[bytes], None] | None = None,
) -> bytes:  # fmt: skip
    def replace(match: re.Match[bytes]) -> bytes:
        groups = match.groupdict()
        value = groups.get("value", match[0])
        if _OPEN.match(value.strip()):
            return match[0]
        counts[rule] += 1
        bare = _unquoted(value)
        if found is not None:
            found(bare)
        quote = value[:1] if value[:1] in (b'"', b"'") and value[-1:] == value[:1] else b""
        return groups.get("lead", b"") + quote + HIDDEN + quote + groups.get("tail", b"")

    return expression.sub(replace, line)


def _count(counts: Counter[str], rule: str, number: int) -> None:
    if number:
        counts[rule] += number


def _unquoted(value: bytes) -> bytes:
    value = value.strip()
    if len(value) >= 2 and value[:1] in b"\"'" and value[-1:] == value[:1]:
        return value[1:-1]
    return value.strip(b"\"'")


def redact_config(
    lines: Iterable[bytes], secrets: Secrets, counts: Counter[str]
) -> Iterator[bytes]:
    """Yield the lines of a configuration file without its secrets, which ``secrets`` learns.

    Lines keep their number and their newline. Values over several lines (YAML block scalars, TOML
    triple quotes) are hidden line by line.
    """
    indent: int | None = None
    closing: bytes | None = None
    for line in lines:
        body = line.rstrip(b"\r\n")
        newline = line[len(body) :]
        if closing is not None:
            end = closing in body
            secrets.learn(body.replace(closing, b""))
            yield (closing if end else HIDDEN) + newline
            closing = None if end else closing
            continue
        depth = len(body) - len(body.lstrip())
        if indent is not None and (not body.strip() or depth > indent):
            secrets.learn(body)
            yield (body[:depth] + HIDDEN if body.strip() else body) + newline
            continue
        indent = None
        match = _LINE_KEY.match(body)
        if match:
            value = match["value"]
            if _BLOCK.match(value):
                indent = depth
                counts["config-key"] += 1
                yield line
                continue
            if value[:3] in (b'"""', b"'''") and value.count(value[:3]) == 1:
                closing = value[:3]
                counts["config-key"] += 1
                secrets.learn(value[3:])
                yield match["lead"] + closing + HIDDEN + newline
                continue
            quoted = re.match(rb"""("(?:[^"\\]|\\.)*"|'[^']*')(\s*(?:#.*)?)$""", value)
            if quoted:
                body = match["lead"] + quoted[1]
                comment = quoted[2]
            else:
                body, _, comment = body.partition(b" #")
                comment = b" #" + comment if comment else b""
            body = _hide(_LINE_KEY, body, "config-key", counts, secrets.learn) + comment
        else:
            body = _hide(_INNER_KEY, body, "config-key", counts, secrets.learn)
        yield redact_line(body, secrets, counts) + newline


def redact_text(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text that is shown or stored on its own (an error message) without its secrets."""
    known, counts = Secrets.of(secrets), Counter[str]()
    lines = text.encode("utf-8", "replace").splitlines(keepends=True)
    return b"".join(redact_line(line, known, counts) for line in lines).decode("utf-8", "replace")


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
            {"file": name, "rule": rule, "count": count} for rule, count in sorted(counts.items())
        )

    configs = [p for p in files if is_config(p)]
    totals: dict[Path, Counter[str]] = {p: Counter() for p in configs}
    for path in configs:
        _rewrite(path, partial(_config, secrets=known, counts=totals[path]))
    for path in configs:
        # Once more: a value learnt in a later file may stand in an earlier one.
        again: Counter[str] = Counter()
        _rewrite(path, partial(_config, secrets=known, counts=again))
        _count(totals[path], "known-secret", again["known-secret"])
        report(path, totals[path])
    for path in files:
        if is_config(path):
            continue
        counts: Counter[str] = Counter()
        if path.suffix == ".gz":
            _packed(path, known, counts)
        elif path.suffix == ".prom":
            # Hundreds of kilobytes of numbers: only values known to be secret could be in there.
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
    return (redact_line(line, secrets, counts) for line in _lines(handle, counts))


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


def _whole(path: Path, secrets: Secrets, counts: Counter[str]) -> None:
    pattern = secrets.pattern()
    data = path.read_bytes()
    if pattern is not None and pattern.search(data):
        data, found = pattern.subn(HIDDEN, data)
        _count(counts, "known-secret", found)
        path.write_bytes(data)


def _packed(path: Path, secrets: Secrets, counts: Counter[str]) -> None:
    """Search a compressed file; rewrite a scrape, drop anything else that holds a secret."""
    pattern = secrets.pattern()
    if pattern is None:
        return
    try:
        with gzip.open(path, "rb") as handle:
            data = handle.read(PACKED_CAP)
    except (OSError, EOFError, zlib.error):
        # Not readable for a reader either.
        return
    if not pattern.search(data):
        return
    if path.name.endswith(".prom.gz"):
        data, found = pattern.subn(HIDDEN, data)
        _count(counts, "known-secret", found)
        path.write_bytes(gzip.compress(data, 1, mtime=0))
        return
    counts["packed-file"] += 1
    path.unlink()
    path.with_name(path.name + ".err").write_text("left out: it held a secret\n")

"""Random damage of bundles, and what judging one must never do: raise anything but its own errors.

A trial is fully given by its number: the same number is the same damage on any machine.
"""

from __future__ import annotations

import contextlib
import io
import json
import lzma
import random
import shutil
import tarfile
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from wktriage.bundle import manifest
from wktriage.cli import main
from wktriage.core.errors import TriageError

FIXTURES = Path(__file__).parent / "fixtures"
SOURCES = ("replay/full", "replay/plain", "signals/paused")
COMMANDS = ("classify", "explain", "verify-citations", "verify")

TOKENS = (
    b"NaN", b"Infinity", b"1e999", b"-1", b"9" * 400, b"null", b"true", b'"x"', b"[]", b"{}",
    b"[" * 3000, b'{"a":' * 3000, b"\x00", b"\xff\xfe", b"\n", b"\r", b"\t", b'"', b"\\", b"{{",
    b"9999-12-31T23:59:59Z", b"0001-01-01T00:00:00Z", b"2026-13-01", b"wk-node1", b"x" * 70_000,
    b"&a [*a, *a]", b"<<: *a", b"# TYPE ", b'{a="', b"\x1b[2J", "\u202e".encode(), b"\x80" * 20,
)  # fmt: skip

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10**400, -(10**18), 1.5, 1e308, -1e308, 1e-308, float("nan"),
    float("inf"), "", "x", "1", "1e999", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", [], {},
    [[]], [None], {"a": {}}, "x" * 5000, "wk-node1", "\ud800", "\x00", "{{ 1 }}", "../../x",
)  # fmt: skip


def damaged_bytes(data: bytes, source: random.Random) -> bytes:
    """Return bytes with one to four places flipped, cut, repeated or replaced."""
    for _ in range(source.randint(1, 4)):
        at = source.randrange(len(data) + 1)
        end = min(len(data), at + source.choice((0, 1, 4, 20, 200)))
        how = source.randrange(5)
        if how == 0:
            data = data[:at]
        elif how == 1:
            data = data[:at] + source.choice(TOKENS) + data[end:]
        elif how == 2:
            data = data[:at] + data[at:end] * source.choice((2, 50)) + data[end:]
        elif how == 3 and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << source.randrange(8))]) + data[at + 1 :]
        else:
            data = data[:at] + source.randbytes(end - at) + data[end:]
    return data


def damaged_value(value: Any, source: random.Random) -> Any:
    """Return a JSON value in which something, anywhere, was replaced, dropped or added."""
    if isinstance(value, dict) and value and source.random() < 0.9:
        key = source.choice(list(value))
        if source.random() < 0.15:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: damaged_value(value[key], source)}
    if isinstance(value, list) and value and source.random() < 0.9:
        at = source.randrange(len(value))
        return [*value[:at], damaged_value(value[at], source), *value[at + 1 :]]
    return source.choice(VALUES)


def damaged_text(data: bytes, source: random.Random) -> bytes:
    """Return a JSON document, or some lines of JSON, with odd values in it."""
    try:
        return json.dumps(damaged_value(json.loads(data), source)).encode()
    except (ValueError, RecursionError):
        pass
    lines = data.splitlines()
    for _ in range(source.randint(1, 6)):
        at = source.randrange(len(lines)) if lines else 0
        try:
            row = json.loads(lines[at])
            lines[at] = json.dumps(damaged_value(row, source)).encode()
        except (ValueError, IndexError, RecursionError):
            return damaged_bytes(data, source)
    return b"\n".join(lines) + b"\n"


def damage(root: Path, source: random.Random) -> None:
    """Damage one to three files of a bundle."""
    files = sorted(p for p in root.rglob("*") if p.is_file())
    for path in source.choices(files, k=source.randint(1, 3)):
        data = path.read_bytes()
        structured = path.suffix in (".json", ".jsonl") and source.random() < 0.8
        path.write_bytes((damaged_text if structured else damaged_bytes)(data, source))


def archived(root: Path, source: random.Random) -> Path:
    """Return a damaged archive of a bundle, compressed or not."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(root, "bundle")
    data = out.getvalue()
    if source.random() < 0.5:
        data = damaged_bytes(data, source)
    if source.random() < 0.7:
        data = lzma.compress(data, preset=0)
        if source.random() < 0.8:
            data = damaged_bytes(data, source)
    path = root.with_suffix(".tar.xz")
    path.write_bytes(data)
    return path


def run(words: list[str]) -> str | None:
    """Run ``wktriage``; return None when it ended as it may, else what it raised."""
    ended = CliRunner().invoke(main.group, words, standalone_mode=False)
    error = ended.exception
    if error is None or isinstance(error, (TriageError, click.ClickException)):
        return None
    return f"{' '.join(words[:1])}: {main.unexpected(error)}" if isinstance(
        error, Exception
    ) else repr(error)  # fmt: skip


def trial(number: int, where: Path) -> list[str]:
    """Damage a bundle, give it to the commands, and return what they raised: nothing, if well.

    ``where`` is a new directory; it is removed.
    """
    source = random.Random(number)
    root = where / "bundle"
    shutil.copytree(FIXTURES / source.choice(SOURCES), root)
    raised: list[str | None] = []
    try:
        if source.random() < 0.2:
            raised.append(run(["classify", str(root), "--out", str(where / "out")]))
            if raised[0] is not None:
                return [raised[0]]
            shutil.copy(where / "out" / "verdict.json", root / "verdict.json")
            verdict = root / "verdict.json"
            verdict.write_bytes(damaged_text(verdict.read_bytes(), source))
            raised += [run([command, str(root)]) for command in ("verify-citations", "verify")]
            return [text for text in raised if text is not None]
        damage(root, source)
        if source.random() < 0.7:
            # Otherwise nearly all of it would be left out as tampered with.
            with contextlib.suppress(TriageError, KeyError, TypeError):
                manifest.reseal(root)
        if source.random() < 0.25:
            root = archived(root, source)
        raised.append(run(["classify", str(root), "--out", str(where / "out")]))
        raised.append(run([source.choice(COMMANDS), str(root)]))
    finally:
        shutil.rmtree(where, ignore_errors=True)
    return [text for text in raised if text is not None]

"""The planted secrets and their look-alikes of tests/fixtures/secrets.yml, as files."""

from __future__ import annotations

import base64
import gzip
import random
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parent / "fixtures" / "secrets.yml"
ALNUM = string.ascii_letters + string.digits


def _chars(alphabet: str, length: int) -> Callable[[random.Random], str]:
    return lambda source: "".join(source.choice(alphabet) for _ in range(length))


def _word(source: random.Random) -> str:
    # Begins with a letter and holds a digit: 20 letters could be a word.
    return source.choice(string.ascii_letters) + "7" + _chars(ALNUM, 18)(source)


FORMS: dict[str, Callable[[random.Random], str]] = {
    "word": _word,
    "digits": _chars("123456789", 12),
    "upper16": _chars(string.ascii_uppercase + string.digits, 16),
    "alnum35": _chars(ALNUM, 35),
    "alnum36": lambda source: "4" + _chars(ALNUM, 35)(source),
    "base64": lambda source: "Ab0" + _chars(ALNUM + "+/", 61)(source),
    "basic": lambda source: base64.b64encode(f"wk:{_word(source)}".encode()).decode(),
}


@dataclass(frozen=True)
class Case:
    """One file with one secret in it; of a look-alike, ``secret`` is empty."""

    file: str
    text: str
    secret: str
    label: str = ""

    @property
    def data(self) -> bytes:
        """The file's content before it is packed."""
        if not self.file.endswith(".pb.gz"):
            return self.text.encode()
        return profile(["", self.label or "kind", self.text, "main.run"])

    def plant(self, root: Path) -> Path:
        """Write the file under ``root`` and return its path."""
        path = root / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        packed = self.file.endswith(".gz")
        path.write_bytes(gzip.compress(self.data, mtime=0) if packed else self.data)
        return path


def read(path: Path) -> bytes:
    """Return a file's content, unpacked; nothing when the file was left out."""
    if not path.exists():
        return b""
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def profile(strings: list[str]) -> bytes:
    """Return a pprof profile with a string table and a sample that has label 1 = 2."""
    label = bytes([0x08, 1, 0x10, 2])
    sample = b"\x0a\x01\x01\x12\x01\x05" + b"\x1a" + bytes([len(label)]) + label
    table = b"".join(b"\x32" + _varint(len(t.encode())) + t.encode() for t in strings)
    return b"\x12" + bytes([len(sample)]) + sample + table + b"\x48" + _varint(1_700_000_000)


def _varint(value: int) -> bytes:
    done = bytearray()
    while value > 0x7F:
        done.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*done, value])


def _cases(part: str) -> list[Case]:
    rows: list[dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))[part]
    source = random.Random(13)
    found = []
    for row in rows:
        secret = FORMS[row.get("make", "word")](source) if part == "secrets" else ""
        text = row["text"].replace("@@", secret, 1) if secret else row["text"]
        found.append(Case(row["file"], text, secret, row.get("label", "")))
    return found


SECRETS = _cases("secrets")
LOOKALIKES = _cases("lookalikes")

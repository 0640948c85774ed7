"""Fetches a file of a host in pieces. One that was cut off goes on where it stopped."""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from wktriage.bundle.host_evidence import LIMITS
from wktriage.core.errors import InfraError

PIECE_BYTES = 4 << 20
"""Bytes asked for at once: a second on a slow link, and little memory on the controller."""

PAUSES = (1.0, 4.0, 10.0)
"""Seconds before a piece that did not come is asked for again."""

PART = ".part"

SEND = """\
import base64, sys
with open(sys.argv[1], "rb") as source:
    source.seek(int(sys.argv[2]))
    sys.stdout.write(base64.b64encode(source.read(int(sys.argv[3]))).decode("ascii"))"""
"""Python on the host that prints a piece of a file: path, offset and length are its arguments."""

Ask = Callable[[int, int], str]
"""Asks the host for so many bytes from an offset, and returns what it printed."""


def fetch(
    ask: Ask,
    size: int,
    sha256: str,
    target: Path,
    *,
    broken: type[Exception] = OSError,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Fetch a file of ``size`` bytes to ``target``; return how many of them came over the link.

    What came before lies beside the target, under a name that holds the hash: only a part of the
    same file is gone on with. Raises InfraError when the file is too large, or is not what the host
    said. ``ask`` raises ``broken`` for a link that broke: after all ``PAUSES`` it is raised on.
    """
    if not 0 <= size <= LIMITS.total_bytes:
        raise InfraError(f"the host has {size} bytes to hand in: too many to be evidence of a run")
    part = target.with_name(f"{target.name}.{sha256[:16]}{PART}")
    target.parent.mkdir(parents=True, exist_ok=True)
    fetched = 0
    with part.open("ab") as out:
        if out.tell() > size:
            out.truncate(0)
        while (have := out.tell()) < size:
            piece = _piece(ask, have, min(PIECE_BYTES, size - have), broken, pause)
            out.write(piece)
            out.flush()
            fetched += len(piece)
    with part.open("rb") as source:
        total = hashlib.file_digest(source, "sha256").hexdigest()
    if total != sha256:
        part.unlink()
        raise InfraError("what was fetched is not what the host packed: its sha256 is another")
    part.replace(target)
    return fetched


def _piece(
    ask: Ask,
    offset: int,
    length: int,
    broken: type[Exception],
    pause: Callable[[float], None],
) -> bytes:
    for wait in PAUSES:
        try:
            return _decoded(ask(offset, length), length)
        except (broken, InfraError):
            pause(wait)
    return _decoded(ask(offset, length), length)


def _decoded(printed: str, length: int) -> bytes:
    """Return the piece that a host printed, on its last line: login scripts may print before."""
    last = (printed.strip().splitlines() or [""])[-1]
    try:
        piece = base64.b64decode(last, validate=True)
    except binascii.Error:
        piece = b""
    if len(piece) != length:
        raise InfraError(f"the host sent {len(piece)} of {length} bytes that were asked for")
    return piece

"""Fetches a file of a host in pieces. One that was cut off goes on where it stopped."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wktriage.bundle.host_evidence import LIMITS
from wktriage.core.errors import InfraError
from wktriage.core.json_files import parse_object

_SHA256 = re.compile("[0-9a-f]{64}")

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

NOTHING = "nothing"
"""What a host prints that has nothing to hand in."""

Ask = Callable[[int, int], str]
"""Asks the host for so many bytes from an offset, and returns what it printed."""


@dataclass(frozen=True)
class Offer:
    """What a host has to hand in: bytes, their hash, and the first piece as the host printed it."""

    size: int
    sha256: str
    first: str = ""


def offered(printed: str) -> Offer | None:
    """Return what a host offers on the last two lines that it printed, None when it has nothing.

    They are the offer and the first piece. Raises InfraError for anything else, and for more than
    a run can leave.
    """
    *_, line, first = ["", "", *printed.strip().splitlines()]
    if first == NOTHING:
        return None
    document = parse_object(line) or {}
    size, sha256 = document.get("bytes"), document.get("sha256")
    if type(size) is not int or not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise InfraError(f"the host said what is no offer of evidence: {line[:80]!r}")
    if not 0 <= size <= LIMITS.total_bytes:
        raise InfraError(f"the host has {size} bytes to hand in: too many to be evidence of a run")
    return Offer(size, sha256, first)


def fetch(
    ask: Ask,
    offer: Offer,
    target: Path,
    *,
    broken: type[Exception] = OSError,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Fetch what a host offers to ``target``; return how many bytes came over the link.

    What came before lies beside the target, under a name that holds the hash: only a part of the
    same file is gone on with. Raises InfraError when it is not what the host said. ``ask`` raises
    ``broken`` for a link that broke: after all ``PAUSES`` it is raised on.
    """
    part = target.with_name(f"{target.name}.{offer.sha256[:16]}{PART}")
    target.parent.mkdir(parents=True, exist_ok=True)
    fetched = 0
    with part.open("ab") as out:
        while (have := out.tell()) < offer.size:
            length = min(PIECE_BYTES, offer.size - have)
            piece = _printed_first(offer, length) if have == 0 else b""
            piece = piece or _piece(ask, have, length, broken, pause)
            out.write(piece)
            out.flush()
            fetched += len(piece)
    with part.open("rb") as source:
        total = hashlib.file_digest(source, "sha256").hexdigest()
    if total != offer.sha256:
        part.unlink()
        raise InfraError("what was fetched is not what the host packed: its sha256 is another")
    part.replace(target)
    return fetched


def _printed_first(offer: Offer, length: int) -> bytes:
    """Return the piece that came with the offer, nothing when it is not whole."""
    try:
        return _decoded(offer.first, length)
    except InfraError:
        return b""


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

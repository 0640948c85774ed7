"""How many planted secrets survive redaction, how many look-alikes it takes, and how fast it is.

    python -m bench.redaction

Prints each secret that is left and each look-alike that was changed, then the two counts (both
are to be 0), and megabytes a second of ordinary and of hostile lines.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.secretcases import LOOKALIKES, SECRETS, Case, read

from wktriage.bundle import redaction

HOSTILE = {
    "eyJ- over and over": b"eyJ-" * (256 * 1024),
    "32 KB of blanks": b"password: x" + b" " * (32 * 1024),
    "token= over and over": b"token=" * (170 * 1024),
    "a://b:c@ over and over": b"a://b:c@" * (128 * 1024),
    "quotes that never close": b'token="\\' * (128 * 1024),
    "token=[ over and over": b"token=[" * (146 * 1024),
    "x@a( over and over": b"x:y@a(" * (170 * 1024),
    "key begins over and over": b"-----BEGIN PRIVATE KEY-----" * (38 * 1024),
    "token,; over and over": b"token=a,;&|" * (95 * 1024),
}
ORDINARY = (
    b'2026-01-01T00:00:00.000Z\tINFO\tchannel/append.go:42\tappended\t{"channelKey": "p:u1",'
    b' "message_id": 1893847562910384756, "took": "3.2ms"}\n'
)


def redacted(case: Case) -> bytes:
    """Return what a case's file holds after redaction."""
    with tempfile.TemporaryDirectory() as root:
        path = case.plant(Path(root))
        redaction.redact_tree(Path(root))
        return read(path)


def seconds(line: bytes) -> float:
    """Return the longer of the times that a line takes, as a log's and as a configuration's."""
    took = []
    for redact in (redaction.redact_lines, redaction.redact_config):
        begun = time.process_time()
        list(redact([line], redaction.Secrets(), Counter()))
        took.append(time.process_time() - begun)
    return max(took)


def main() -> int:
    """Print it all; 1 when a secret is left or a look-alike was changed."""
    left = [c for c in SECRETS if c.secret.encode() in redacted(c)]
    lost = [c for c in LOOKALIKES if redacted(c) != c.data]
    for case in left:
        print(f"left     {case.file}: {case.text!r}")
    for case in lost:
        print(f"changed  {case.file}: {case.text!r} -> {redacted(case)!r}")
    print(f"{len(left)} of {len(SECRETS)} secrets left")
    print(f"{len(lost)} of {len(LOOKALIKES)} look-alikes changed")
    lines = [ORDINARY] * 20_000
    begun = time.process_time()
    list(redaction.redact_lines(lines, redaction.Secrets(), Counter()))
    took = time.process_time() - begun
    print(f"ordinary log lines: {len(ORDINARY) * len(lines) / took / 1e6:.1f} MB/s")
    for name, line in HOSTILE.items():
        print(f"{name} ({len(line) // 1024} KiB): {seconds(line):.2f} s")
    return 1 if left or lost else 0


if __name__ == "__main__":
    sys.exit(main())

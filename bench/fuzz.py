"""Damage bundles at random and judge them, for as long as asked; print what was raised.

    python -m bench.fuzz --minutes 10 [--from 0]

Prints the number of every trial that found something: `--from N --trials 1` repeats it. Ends with
1 when there was one.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

from tests import fuzzing


def main() -> int:
    """Run trials until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--trials", type=int, default=sys.maxsize)
    asked = parser.parse_args()
    until = time.monotonic() + 60 * asked.minutes
    number, found, slowest = asked.first, 0, 0.0
    with tempfile.TemporaryDirectory(prefix="wktriage-fuzz-") as temporary:
        while time.monotonic() < until and number < asked.first + asked.trials:
            began = time.process_time()
            for text in fuzzing.trial(number, Path(temporary) / str(number)):
                found += 1
                print(f"{number}: {text}", flush=True)
            slowest = max(slowest, time.process_time() - began)
            number += 1
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{number - asked.first} trials, {found} findings, the slowest {slowest:.1f} s of CPU, "
        f"{memory:.0f} MB"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

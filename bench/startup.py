"""Set-up, the first triage and judging: two checkouts beside each other, in one run.

    python bench/startup.py BEFORE AFTER [--rounds 2] [--incident paused-node]

Each round clones both checkouts as they are committed (uncommitted changes stay behind) and
measures in each clone ``make setup``, ``make triage`` right after it, and ``wktriage classify`` of
one recorded incident. The order turns from round to round, and the fastest of all rounds counts:
whatever else runs on the machine only makes things slower. Package caches are filled first.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

JUDGED = 5  # times a round: it takes a second only


@dataclass(frozen=True)
class Cost:
    """Seconds of wall time, and of CPU in all processes that were waited for."""

    wall: float
    cpu: float


def measure(command: list[str], cwd: Path, log: Path) -> Cost:
    """Run a command and return what it took. SystemExit, with its last lines, when it fails."""
    start = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=cwd, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    # A verdict that is not healthy is what a recorded incident is for.
    if process.returncode not in (0, 3):
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        sys.exit("\n".join([f"{' '.join(command)} in {cwd} failed:", *tail]))
    return Cost(wall, usage.ru_utime + usage.ru_stime)


def clone(checkout: Path, target: Path) -> Path:
    """Clone what is committed in the checkout."""
    subprocess.run(
        ["git", "clone", "-c", "advice.detachedHead=false", "--quiet", checkout, target], check=True
    )
    return target


def costs(checkout: Path, incident: str) -> Iterator[tuple[str, Cost]]:
    """Yield what each step costs in a fresh clone of the checkout."""
    with tempfile.TemporaryDirectory(prefix="startup-") as directory:
        log = Path(directory) / "log"
        project = clone(checkout, Path(directory) / "clone")
        yield "set-up", measure(["make", "setup"], project, log)
        yield "triage", measure(["make", "triage"], project, log)
        command = str(project / ".venv" / "bin" / "wktriage")
        bundle = Path(directory) / "bundle"
        measure([command, "incidents", "unpack", incident, str(bundle)], project, log)
        judge = [command, "classify", "--json", "--out", f"{directory}/verdict", str(bundle)]
        for _ in range(JUDGED):
            yield "judging", measure(judge, project, log)


def main(arguments: list[str] | None = None) -> int:
    """Measure both and print the fastest of each, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", type=Path, nargs=2, metavar="CHECKOUT")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--incident", default="paused-node")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="startup-") as directory:
        for number, checkout in enumerate(asked.checkouts):
            project = clone(checkout, Path(directory) / str(number))
            measure(["make", "setup"], project, Path(directory) / "log")
    taken: list[dict[str, list[Cost]]] = [{}, {}]
    for turn in range(asked.rounds):
        for number in (0, 1) if turn % 2 == 0 else (1, 0):
            for step, cost in costs(asked.checkouts[number], asked.incident):
                taken[number].setdefault(step, []).append(cost)
                print(f"{number + 1} {step}: {cost.wall:.2f} s, CPU {cost.cpu:.2f} s", flush=True)
    print(f"\n{'':<8} {'':<5} {'first':>8} {'second':>8} {'ratio':>6}")
    for step in taken[0]:
        for kind in ("wall", "cpu"):
            first, second = (min(getattr(c, kind) for c in t[step]) for t in taken)
            print(f"{step:<8} {kind:<5} {first:>7.2f}s {second:>7.2f}s {second / first:>6.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

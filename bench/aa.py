"""Resample A/A comparisons from recorded runs; print false "supported" and power for a planted one.

python bench/aa.py runs.json                 A/A runs as kept in noise/ (see --write)
python bench/aa.py runs/2026*-smoke-*        bundles of equal inputs, one stack instance each
python bench/aa.py --synthetic 0.01 0.05     made-up runs with that scatter: what power to expect
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from wktriage.bundle.bundle import Bundle
from wktriage.core.errors import TriageError
from wktriage.experiments import aa, noise
from wktriage.experiments.effects import MinEffect
from wktriage.experiments.noise import NoiseRuns

SIGNALS = ("achieved_rate_ratio", "sent_rate", "sendack_mean", "value")
FALSE_ALLOWED = 0.05
POWER_WANTED = 0.8


def main() -> int:
    """Print the shares. Returns 1 when too many A/A comparisons are supported, 2 for bad input."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--signal", nargs="*", default=list(SIGNALS))
    parser.add_argument("--repeats", type=int, default=4, help="runs a side")
    parser.add_argument("--min-effect", default="5%", help="below the planted effect")
    parser.add_argument("--planted", type=float, default=0.10, help="size of the planted effect")
    parser.add_argument("--comparisons", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--synthetic", nargs="*", type=float, default=[], metavar="SIGMA")
    parser.add_argument("--write", type=Path, help="write the runs of the bundles to a file")
    asked = parser.parse_args()
    try:
        held = read(asked.paths) + [aa.synthetic(sigma, 60) for sigma in asked.synthetic]
        if asked.write:
            asked.write.write_bytes(aa.dump(held[0]))
        honest = [told(runs, asked) for runs in held]
    except (TriageError, IndexError) as error:
        print(error or "give A/A runs, bundles or --synthetic", file=sys.stderr)
        return 2
    return 0 if all(honest) and honest else 1


def read(paths: list[Path]) -> list[NoiseRuns]:
    """Return the A/A runs of files, and those of all directories together."""
    files = [noise.load(path) for path in paths if path.is_file()]
    bundles = [Bundle.open(path) for path in paths if not path.is_file()]
    return files + ([aa.runs_of(bundles)] if bundles else [])


def told(runs: NoiseRuns, asked: argparse.Namespace) -> bool:
    """Print what one set of runs says; tell whether it is honest."""
    instances = len({run.instance for run in runs.runs})
    days = len({run.day for run in runs.runs})
    print(f"{runs.key}: {len(runs.runs)} runs of {instances} stack instances on {days} days")
    honest = True
    for signal in asked.signal:
        if not any(run.values.get(signal) for run in runs.runs):
            continue
        floor = noise.floor(runs.runs, signal, asked.repeats, relative=True).size
        for scheme in aa.SCHEMES:
            plan = aa.Plan(
                signal, asked.repeats, MinEffect.parse(asked.min_effect), asked.comparisons,
                asked.seed, scheme=scheme,
            )  # fmt: skip
            false = aa.share(runs.runs, plan)
            found = aa.share(runs.runs, aa.planted(plan, 1 + asked.planted))
            honest = honest and false.share <= FALSE_ALLOWED
            low, high = false.interval
            print(
                f"  {signal}, {scheme}: noise floor "
                f"{'unknown' if floor is None else f'{floor:.1%}'}; A/A supported "
                f"{false.supported} of {false.comparisons} ({false.share:.1%}, {low:.1%} to "
                f"{high:.1%}); planted {asked.planted:+.0%} found in {found.share:.0%}"
                f"{'' if found.share >= POWER_WANTED else ' (too noisy for these repeats)'}"
            )
    return honest


if __name__ == "__main__":
    sys.exit(main())

"""Drop, truncate or garble each evidence file of each incident, and count what is still right.

python bench/robustness.py [--incidents DIR] [--sample N] [--seed S]
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from pathlib import Path

from wktriage.evaluation import robustness, score

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Run the trials, print what went wrong, and retention by damage. Returns 1 for a lie."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--incidents", type=Path, default=ROOT / "incidents" / "shared")
    parser.add_argument("--damage", nargs="*", default=list(robustness.DAMAGES))
    parser.add_argument("--sample", type=int, default=0, help="trials drawn; 0 is all")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    chosen = list(robustness.trials(score.cases(asked.incidents), asked.damage))
    if asked.sample:
        chosen = random.Random(asked.seed).sample(chosen, min(asked.sample, len(chosen)))
    kept: Counter[str] = Counter()
    total: Counter[str] = Counter()
    bad = 0
    for finding in robustness.run(chosen, asked.seed):
        trial = finding.trial
        group = trial.damage + (" (deciding)" if trial.file in robustness.DECIDING else "")
        total[group] += 1
        kept[group] += finding.kept
        if finding.error or finding.lie:
            bad += 1
        if finding.error or not finding.kept:
            word = "CRASH" if finding.error else "LIE" if finding.lie else "lost"
            print(
                f"{word:6} {trial.case.name} {trial.damage} {trial.file}: "
                f"{finding.error or finding.category} {finding.confidence:.2f}",
                flush=True,
            )
    for group in sorted(total):
        print(f"{group:24} kept {kept[group]} of {total[group]} = {kept[group] / total[group]:.1%}")
    print(f"crashes and lies: {bad}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

"""Fit the parameters of confidence and say how they do on mechanisms they have not seen.

python -m bench.calibration [DIR...]
"""

from __future__ import annotations

import sys
from pathlib import Path

from wktriage.bundle.bundle import Bundle
from wktriage.evaluation import calibration, score
from wktriage.judging import signals

ROOT = Path(__file__).resolve().parents[1]


def main(directories: list[Path]) -> None:
    """Judge every run of the directories and print the report."""
    chosen: list[calibration.Sample] = []
    for directory in directories:
        for case in score.cases(directory):
            with score.opened(case) as path:
                chosen += calibration.samples(case, signals.compute(Bundle.open(path)))
    print(calibration.report(chosen))


if __name__ == "__main__":
    main([Path(a) for a in sys.argv[1:]] or [ROOT / "incidents", ROOT / "incidents" / "shared"])

"""Count in how many incidents each rule decided the verdict, and in how many rightly.

python bench/support.py [DIR...] > rules/support.yml
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from wktriage.evaluation import score
from wktriage.judging.verdict import verdict_of

ROOT = Path(__file__).resolve().parents[1]


def main(directories: list[Path]) -> None:
    """Judge every incident and print support.yml."""
    results = []
    deciding: dict[str, list[str]] = {}
    for directory in directories:
        for case in score.cases(directory):
            with score.opened(case) as path:
                verdict = verdict_of(path)
            results.append(score.Result(case, verdict["category"], verdict["confidence"], ()))
            deciding[case.name] = [
                r["id"]
                for r in verdict["rules"]
                if r["role"] == "decides"
                and r["category"] == verdict["category"]
                and r["result"] == "fired"
            ]
    print("---")
    print("# Incidents in which each rule decided the verdict, and rightly so: bench/support.py.")
    print(yaml.safe_dump(score.support(results, deciding), sort_keys=True), end="")


if __name__ == "__main__":
    own = [
        d
        for d in (ROOT / "incidents", ROOT / "incidents" / "shared")
        if (d / "labels.jsonl").is_file()
    ]
    main([Path(a) for a in sys.argv[1:]] or own)

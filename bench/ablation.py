"""What each cause, and each threshold of it, is good for on the labelled incidents.

python -m bench.ablation [DIR...]

Every cause is left out, and every number in its signs is halved and doubled; what changes is
printed: how many verdicts are no longer right. A cause that changes nothing is found by others too,
or was never met; a threshold that changes nothing has room on both sides, or is never asked.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec

from wktriage.bundle.bundle import Bundle
from wktriage.core.model import SignalSet
from wktriage.evaluation import calibration, score
from wktriage.judging import causes, signals
from wktriage.judging.decision import decide
from wktriage.request import scenarios

ROOT = Path(__file__).resolve().parents[1]
SUCCESS = scenarios.load(scenarios.CUSTOM).success
Run = tuple[score.Case, SignalSet]


def loaded(directories: Sequence[Path]) -> list[Run]:
    """Return every labelled run with its signals."""
    runs = []
    for directory in directories:
        for case in score.cases(directory):
            with score.opened(case) as path:
                runs.append((case, signals.compute(Bundle.open(path))))
    return runs


def wrong(runs: Sequence[Run], left_out: tuple[str, ...] = ()) -> set[str]:
    """Return the names of the runs whose category or nodes are not those of the label."""
    return {
        case.name
        for case, signal_set in runs
        if not calibration.right(case, decide(signal_set, SUCCESS, left_out))
    }


def thresholds(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield the comparisons of a predicate tree with a number that can be halved and doubled."""
    if isinstance(tree, Mapping):
        value = tree.get("value")
        if isinstance(value, int | float) and not isinstance(value, bool) and value:
            yield dict(tree)
        for child in tree.values():
            yield from thresholds(child)
    elif isinstance(tree, list):
        for child in tree:
            yield from thresholds(child)


def scaled(tree: Any, leaf: Mapping[str, Any], factor: float) -> Any:
    """Return a predicate tree with the value of one comparison multiplied."""
    if isinstance(tree, Mapping):
        if dict(tree) == leaf:
            return {**tree, "value": tree["value"] * factor}
        return {key: scaled(child, leaf, factor) for key, child in tree.items()}
    return [scaled(child, leaf, factor) for child in tree] if isinstance(tree, list) else tree


def varied(file: causes.CauseFile) -> Iterator[tuple[dict[str, Any], float, causes.CauseFile]]:
    """Yield each threshold of a cause, the factor, and the cause with it halved or doubled."""
    for position, sign in enumerate(file.signs):
        for leaf in thresholds(sign.when):
            for factor in (0.5, 2.0):
                changed = msgspec.structs.replace(
                    sign, when=scaled(copy.deepcopy(sign.when), leaf, factor)
                )
                signs = (*file.signs[:position], changed, *file.signs[position + 1 :])
                yield leaf, factor, msgspec.structs.replace(file, signs=signs)


def main(directories: Sequence[Path]) -> None:
    """Print what changes without each cause, and with each threshold halved and doubled."""
    runs = loaded(directories)
    before = wrong(runs)
    print(f"{len(runs)} runs, {len(before)} wrong as it is")
    known = causes.files()
    for element in known:
        fell = wrong(runs, (element,)) - before
        print(f"without {element:20} {len(fell):2} fall {' '.join(sorted(fell))}".rstrip())
    for element, file in known.items():
        for leaf, factor, changed in varied(file):
            files = {**known, element: changed}
            with mock.patch.object(causes, "files", return_value=files):
                made = causes.read(causes.DIRECTORY, signals.catalogue())
            with mock.patch.object(causes, "load", return_value=made):
                fell = wrong(runs) - before
            name = f"{element}: {leaf['signal']} {leaf['op']} {leaf['value']:g} x {factor:g}"
            print(f"{name:70} {len(fell):2} fall {' '.join(sorted(fell))}".rstrip(), flush=True)


if __name__ == "__main__":
    main([Path(a) for a in sys.argv[1:]] or [ROOT / "incidents", ROOT / "incidents" / "shared"])

"""Take evidence away from labelled bundles and see what is still said.

The verdict may become less sure or abstain; it may never be confidently wrong, and never a crash.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wktriage import judge, score
from wktriage.errors import UsageError

DAMAGES = ("drop", "truncate", "garbage")
CONFIDENT = 0.7
"""A wrong category said with more than this is a lie, not a guess."""

DECIDING = ("status.jsonl",)
"""Files without which the run itself is unknown; taking them away may end in abstaining."""


@dataclass(frozen=True)
class Trial:
    """One file of one bundle, and what is done to it."""

    case: score.Case
    file: str
    damage: str


@dataclass(frozen=True)
class Finding:
    """What was said after the damage. ``error`` is set when judging raised."""

    trial: Trial
    category: str
    confidence: float
    error: str | None = None

    @property
    def kept(self) -> bool:
        """Whether the category is still the label, or one that it accepts."""
        return self.category in (self.trial.case.label, *self.trial.case.also_ok)

    @property
    def lie(self) -> bool:
        """Whether a wrong category was said with confidence (abstaining is never a lie)."""
        return not (self.kept or self.category == score.ABSTAIN or self.confidence <= CONFIDENT)


def trials(cases: Sequence[score.Case], damages: Sequence[str] = DAMAGES) -> Iterator[Trial]:
    """Yield every file of every case with every damage; .err files are damaged like any other."""
    for case in cases:
        with score.opened(case) as root:
            files = sorted(
                p.relative_to(root).as_posix()
                for p in root.rglob("*")
                if p.is_file() and p.stat().st_size
            )
        for file in files:
            for damage in damages:
                yield Trial(case, file, damage)


def run(chosen: Sequence[Trial], seed: int) -> Iterator[Finding]:
    """Yield a finding for each trial, in order of their cases."""
    by_case: dict[str, list[Trial]] = {}
    for trial in chosen:
        by_case.setdefault(trial.case.name, []).append(trial)
    for name, members in by_case.items():
        with (
            score.opened(members[0].case) as root,
            tempfile.TemporaryDirectory(prefix="wktriage-robust-") as temporary,
        ):
            for number, trial in enumerate(members):
                copy = Path(temporary) / f"{name}-{number}"
                shutil.copytree(root, copy)
                hurt(copy / trial.file, trial.damage, random.Random(f"{seed}{trial.file}"))  # noqa: S311
                yield _judge(trial, copy)
                shutil.rmtree(copy)


def hurt(path: Path, damage: str, source: random.Random) -> None:
    """Drop the file, cut it anywhere, or fill it with bytes of no meaning."""
    if damage == "drop":
        path.unlink()
        return
    data = path.read_bytes()
    if damage == "truncate":
        path.write_bytes(data[: source.randrange(len(data))])
    else:
        path.write_bytes(source.randbytes(min(len(data), 200_000)))


def _judge(trial: Trial, path: Path) -> Finding:
    try:
        verdict = judge.verdict_of(path)
    except UsageError as exc:
        # Told in one sentence that this is no bundle: an answer, when nothing is left of it.
        return Finding(trial, score.ABSTAIN, 0.0, None if "bundle" in str(exc) else str(exc))
    except Exception as exc:  # noqa: BLE001 (any exception is the finding)
        return Finding(trial, "", 0.0, repr(exc))
    return Finding(trial, verdict["category"], float(verdict["confidence"]))

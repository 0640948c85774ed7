"""Take evidence away from labelled bundles and see what is still said.

The verdict may become less sure or abstain; it may never be confidently wrong, and never a crash.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wktriage.bundle import layout, manifest
from wktriage.core.errors import UsageError
from wktriage.evaluation import score
from wktriage.judging.verdict import verdict_of

DAMAGES = ("drop", "truncate", "garbage")
PLAIN = "plain"
"""Damage of a whole bundle: what WuKongIM's own script would not have collected is taken away."""

PLAIN_KEEPS = re.compile(
    r"(env\.txt|git\.txt|compose-config\.yml|docker-stats\.jsonl|(logs|pprof)/.*"
    r"|metrics/[^/]+\.prom(\.err)?)$"
)
PLAIN_STATUS = ("sample_time", "status", "error")

CONFIDENT = 0.7
"""A wrong category said with more than this is a lie, not a guess."""

DECIDING = ("status.jsonl",)
"""Files without which the run itself is unknown; taking them away may end in abstaining."""


@dataclass(frozen=True)
class Trial:
    """One file of one bundle, and what is done to it; ``file`` is empty for the whole bundle."""

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
        return self.trial.case.accepts(self.category)

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
                if damage != PLAIN:
                    yield Trial(case, file, damage)
        if PLAIN in damages and "manifest.json" in files:
            yield Trial(case, "", PLAIN)


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
                # It was lost when it was collected, not tampered with: that is another matter.
                if trial.file != layout.MANIFEST:
                    manifest.reseal(copy)
                yield _judge(trial, copy)
                shutil.rmtree(copy)


def hurt(path: Path, damage: str, source: random.Random) -> None:
    """Drop the file, cut it anywhere, fill it with meaningless bytes; or make a bundle plain."""
    if damage == PLAIN:
        plain(path)
        return
    if damage == "drop":
        path.unlink()
        return
    data = path.read_bytes()
    if damage == "truncate":
        path.write_bytes(data[: source.randrange(len(data))])
    else:
        path.write_bytes(source.randbytes(min(len(data), 200_000)))


def plain(root: Path) -> None:
    """Leave in a bundle only what WuKongIM's script collects, the status every two seconds."""
    for path in [p for p in root.rglob("*") if p.is_file()]:
        name = path.relative_to(root).as_posix()
        if name != "status.jsonl" and not PLAIN_KEEPS.match(name):
            path.unlink()
    status = root / "status.jsonl"
    rows = [json.loads(line) for line in status.read_text("utf-8").splitlines()[::2]]
    kept = [{k: row[k] for k in PLAIN_STATUS if k in row} for row in rows]
    status.write_text("".join(json.dumps(row) + "\n" for row in kept), "utf-8")


def _judge(trial: Trial, path: Path) -> Finding:
    try:
        verdict = verdict_of(path)
    except UsageError as exc:
        # Told in one sentence that this is no bundle: an answer, when nothing is left of it.
        return Finding(trial, score.ABSTAIN, 0.0, None if "bundle" in str(exc) else str(exc))
    except Exception as exc:  # noqa: BLE001 (any exception is the finding)
        return Finding(trial, "", 0.0, repr(exc))
    return Finding(trial, verdict["category"], float(verdict["confidence"]))

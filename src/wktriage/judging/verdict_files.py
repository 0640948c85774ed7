"""The file verdict.json: its bytes, and where it may be written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wktriage.bundle.bundle import Bundle
from wktriage.core import private_files
from wktriage.core.errors import UsageError
from wktriage.core.terminal import json_visible
from wktriage.judging.verdict import judge

NAME = "verdict.json"


def dump(verdict: Mapping[str, Any]) -> bytes:
    """Return the bytes of verdict.json: sorted keys, two spaces, one final newline.

    What could drive a terminal is escaped: people look at this file, too.
    """
    text = json.dumps(verdict, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (json_visible(text) + "\n").encode("utf-8", errors="backslashreplace")


def write(directory: Path, verdict: Mapping[str, Any], *, dry: bool = False) -> bool:
    """Write verdict.json into ``directory``; tell whether it differs from what was there.

    ``dry`` only tells. Raises UsageError or InfraError when the file cannot be written.
    """
    file = directory / NAME
    data = dump(verdict)
    try:
        changed = private_files.read(file, len(data) + 1) != data
    except OSError as exc:
        raise private_files.failure(file, exc) from exc
    if changed and not dry:
        private_files.write(file, data, synced=False)
    return changed


def write_verdict(path: Path, out: Path) -> Path:
    """Judge the bundle at ``path``, write verdict.json into ``out`` and return the file."""
    write(out, judge(Bundle.open(path)))
    return out / NAME


def target(bundle: Path, out: Path | None, runs_dir: Path) -> Path:
    """Return where derived files go: ``out``, or the bundle itself when it is of this harness.

    Raises UsageError without ``out`` for any other bundle: it is never written into.
    """
    if out is not None:
        return out
    if not is_ours(bundle, runs_dir):
        raise UsageError(
            f"{bundle} does not lie under {runs_dir}, where this harness keeps its bundles, and "
            "is not written into: use --out DIR"
        )
    return bundle


def is_ours(bundle: Path, runs_dir: Path) -> bool:
    """Tell whether a bundle is of this harness: it really lies under its directory of runs.

    What the bundle says of itself proves nothing.
    """
    try:
        return runs_dir.resolve(strict=True) in bundle.resolve(strict=True).parents
    except (OSError, RuntimeError):
        return False

"""The file verdict.json: its bytes, and where it may be written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wktriage.bundle.bundle import Bundle
from wktriage.core.errors import UsageError
from wktriage.judging.verdict import judge

NAME = "verdict.json"


def dump(verdict: Mapping[str, Any]) -> bytes:
    """Return the bytes of verdict.json: sorted keys, two spaces, one final newline."""
    text = json.dumps(verdict, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8", errors="backslashreplace")


def write(directory: Path, verdict: Mapping[str, Any], *, dry: bool = False) -> bool:
    """Write verdict.json into ``directory``; tell whether it differs from what was there.

    ``dry`` only tells. Raises UsageError when the file cannot be written.
    """
    file = directory / NAME
    data = dump(verdict)
    try:
        changed = not file.is_file() or file.read_bytes() != data
        if changed and not dry:
            directory.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
    except OSError as exc:
        raise UsageError(f"{file}: cannot be written: {exc}") from exc
    return changed


def write_verdict(path: Path, out: Path | None = None) -> Path:
    """Judge the bundle at ``path`` and write verdict.json into ``out``, else into the bundle.

    Returns the file. Raises UsageError without ``out`` when this harness did not make the bundle.
    """
    bundle = Bundle.open(path)
    target = writable(bundle, out)
    write(target, judge(bundle))
    return target / NAME


def writable(bundle: Bundle, out: Path | None) -> Path:
    """Return where derived files go. A bundle that someone else made is never written into."""
    if out is not None:
        return out
    if not is_ours(bundle):
        raise UsageError(
            f"{bundle.root} was not made by this harness and is not written into: use --out DIR"
        )
    return bundle.root


def is_ours(bundle: Bundle) -> bool:
    """Tell whether this harness made the bundle: its manifest lists collectors and files."""
    manifest = bundle.manifest or {}
    return isinstance(manifest.get("collectors"), list) and isinstance(manifest.get("files"), list)

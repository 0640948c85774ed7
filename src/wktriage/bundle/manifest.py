"""manifest.json: what a bundle is, what each collector did, and the hash of every file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wktriage.bundle.layout import DERIVED, MANIFEST
from wktriage.core import private_files, schemas
from wktriage.core.json_files import read_object

SCHEMA_VERSION = 1
_BLOCK = 1 << 20


def evidence_files(root: Path) -> Iterator[Path]:
    """Yield the evidence files of a bundle directory, sorted by their path in it.

    Left out are the manifest itself, what judging derives, hidden files, and links (which a
    bundle never holds).
    """
    for path in sorted(root.rglob("*"), key=lambda p: p.relative_to(root).as_posix()):
        parts = path.relative_to(root).parts
        if any(part.startswith(".") for part in parts) or path.is_symlink():
            continue
        if path.is_file() and not (
            len(parts) == 1 and (parts[0] in DERIVED or parts[0] == MANIFEST)
        ):
            yield path


def sha256(path: Path) -> str:
    """Return the hash of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def build(
    root: Path, identity: Mapping[str, Any], collectors: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the manifest of the files under ``root``.

    ``identity`` has bundle_id, created, scenario, mode, driver, purpose, replay_of, complete and
    interrupted; ``collectors`` have name, host, status, duration_s, error and ``files`` (their
    paths), of which bytes and a count become part of the manifest. Raises SchemaError.
    """
    files = _entries(root)
    sizes = {str(f["path"]): f["bytes"] for f in files}
    document = {
        "schema_version": SCHEMA_VERSION,
        **identity,
        "collectors": [
            {
                "name": c["name"],
                "host": c["host"],
                "status": c["status"],
                "duration_s": c["duration_s"],
                "bytes": sum(sizes.get(name, 0) for name in c["files"]),
                "files": sum(name in sizes for name in c["files"]),
                "error": c["error"],
            }
            for c in collectors
        ],
        "files": files,
    }
    schemas.validate("manifest", document)
    return document


def reseal(root: Path) -> None:
    """Make the manifest of a bundle list the files as they are now; nothing without a manifest."""
    document = read_object(root / MANIFEST)
    if document is None:
        return
    document["files"] = _entries(root)
    write(root, document)


def _entries(root: Path) -> list[dict[str, Any]]:
    return [
        {
            "path": path.relative_to(root).as_posix(),
            "bytes": path.stat().st_size,
            "sha256": sha256(path),
        }
        for path in evidence_files(root)
    ]


def write(root: Path, document: Mapping[str, Any]) -> Path:
    """Write a manifest whole or not at all; return its path.

    Raises UsageError or InfraError when it cannot be written.
    """
    path = root / MANIFEST
    private_files.write(path, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode())
    return path


def read(root: Path) -> dict[str, Any] | None:
    """Return a bundle's manifest; None when there is none. Raises SchemaError when it is broken."""
    path = root / MANIFEST
    if not path.is_file():
        return None
    document = read_object(path)
    if document is None:
        raise schemas.SchemaError(f"{path} is no JSON object")
    schemas.validate("manifest", document)
    return document


def verify(root: Path) -> list[str]:
    """Return what does not agree between a bundle and its manifest; empty when all does.

    Raises SchemaError when the manifest is broken.
    """
    document = read(root)
    if document is None:
        return [f"no {MANIFEST}"]
    problems = []
    listed = {str(f["path"]): f for f in document["files"]}
    present = {p.relative_to(root).as_posix(): p for p in evidence_files(root)}
    for name, entry in listed.items():
        path = present.get(name)
        if path is None:
            problems.append(f"{name}: missing")
        elif path.stat().st_size != entry["bytes"]:
            problems.append(f"{name}: {path.stat().st_size} bytes, not {entry['bytes']}")
        elif sha256(path) != entry["sha256"]:
            problems.append(f"{name}: other content than when it was collected")
    problems.extend(f"{name}: not in the manifest" for name in present if name not in listed)
    return sorted(problems)

"""How a bundle becomes an incident, and whether the incidents are whole."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from wktriage.bundle import manifest
from wktriage.bundle.bundle import Bundle
from wktriage.core import private_files
from wktriage.core.errors import UsageError
from wktriage.incidents import archive, labels, library

MAX_ARCHIVE_BYTES = 4 << 20


def verify(root: Path) -> list[str]:
    """Return what is wrong with the incidents below ``root``; an empty list when nothing is."""
    problems = []
    known = library.list_incidents(root)
    names = [incident.bundle for incident in known]
    problems += [
        f"{name}: labelled twice" for name in sorted({n for n in names if names.count(n) > 1})
    ]
    for directory, shared in ((root, False), (root / "shared", True)):
        labelled = {i.archive.name for i in known if i.shared is shared}
        files = {path.name for path in directory.glob("*.tar.xz")}
        problems += [f"{directory / name}: no label" for name in sorted(files - labelled)]
        problems += [f"{directory / name}: missing" for name in sorted(labelled - files)]
    for incident in known:
        if incident.baseline and incident.baseline not in names:
            problems.append(f"{incident.bundle}: its baseline {incident.baseline} is no incident")
        if incident.archive.is_file():
            problems += [f"{incident.bundle}: {text}" for text in _verify_archive(incident)]
    return problems


def _verify_archive(incident: library.Incident) -> list[str]:
    if incident.archive.stat().st_size > MAX_ARCHIVE_BYTES:
        return [f"larger than {MAX_ARCHIVE_BYTES} bytes"]
    with tempfile.TemporaryDirectory() as temporary:
        target = Path(temporary) / "bundle"
        try:
            library.unpack(incident, target)
            library.recorded(target)
        except UsageError as error:
            return [str(error)]
        return [
            f"{entry['path']}: differs from its manifest"
            for entry in (Bundle.open(target).manifest or {}).get("files", [])
            if not (target / entry["path"]).is_file()
            or manifest.sha256(target / entry["path"]) != entry["sha256"]
        ]


def pack(bundle_dir: Path, incident: library.Incident) -> Path:
    """Store a bundle as an incident: the archive, and its row in labels.jsonl beside it.

    The bundle itself is not touched. Raises UsageError when it cannot be replayed or is too large.
    """
    if not re.match(labels.ID, incident.bundle):
        raise UsageError(f"{incident.bundle!r}: use lower-case letters, digits and '-' only")
    library.recorded(bundle_dir)
    data = archive.packed(bundle_dir, incident.bundle)
    if len(data) > MAX_ARCHIVE_BYTES:
        raise UsageError(
            f"{incident.bundle} packs to {len(data)} bytes, more than {MAX_ARCHIVE_BYTES}: "
            "record a shorter window"
        )
    incident.archive.parent.mkdir(parents=True, exist_ok=True)
    private_files.write(incident.archive, data, mode=labels.READABLE)
    labels.write(incident.archive.parent / labels.LABELS, incident.as_label())
    return incident.archive

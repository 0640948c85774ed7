"""The names of a bundle's files: what evidence is, and what is written beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from wktriage.core import schemas

MANIFEST = "manifest.json"
COMPOSE_CONFIG = "compose-config.yml"

DERIVED = frozenset(
    {"verdict.json", "summary.md", "report.html", "explain.txt", "reproduction.json"}
)
"""Files that judging writes beside the evidence; never evidence themselves."""

ROWS = tuple(schemas.ROW_SCHEMAS)
"""The JSON-lines files, each in order of time."""

CONTROLLER = "controller"
"""The host name of what the controller itself adds to a bundle."""

_EVIDENCE = re.compile(
    r"(?:"
    + "|".join(re.escape(name) for name in ROWS)
    + r"|window\.json|fingerprint\.json|env\.txt|git\.txt|compose-config\.yml"
    r"|config/(?:workload\.json|node\d+\.toml|dev-sim\.yaml)"
    r"|metrics/node\d+(?:-before)?\.prom"
    r"|metrics/series/node\d+/\d+\.prom(?:\.gz)?"
    r"|pprof/node\d+-(?:cpu\.pb\.gz|heap\.pb\.gz|goroutine\.txt|goroutine-summary\.json"
    r"|onset-(?:block\.pb\.gz|mutex\.pb\.gz|goroutine\.txt))"
    r"|logs/(?:compose|app|error|warn|debug)/[A-Za-z0-9][A-Za-z0-9._-]*\.log"
    r")(?:\.err)?"
)


def is_evidence(name: str) -> bool:
    """Tell whether a path relative to the bundle is one that a collector may hand in."""
    return _EVIDENCE.fullmatch(name) is not None


def relative_files(root: Path) -> Iterator[str]:
    """Yield the paths of the files below ``root``, relative to it and sorted."""
    for path in sorted(root.rglob("*")):
        if path.is_file():
            yield path.relative_to(root).as_posix()

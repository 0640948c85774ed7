"""Hatch build hook: puts the project's own files into the wheel, as ``wktriage/project``.

An editable install reads them from the checkout and carries none.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CARRIED = (
    *("ansible.cfg", "triage.yml"),
    *("playbooks", "roles", "plugins", "inventory"),
    *("scenarios", "rules", "causes", "knobs", "faults", "schemas"),
)
LABELS = "labels.jsonl"


class WheelContents(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the files and the incidents that ``[tool.hatch...hooks.custom]`` names."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add them to a wheel, under the names that ``wktriage.core.paths`` looks for."""
        if version == "editable":
            return
        root = Path(self.root)
        inside = {root / name: name for name in CARRIED if (root / name).exists()}
        incidents = root / "incidents"
        rows = _with_baselines(incidents / LABELS, self.config["incidents"])
        for row in rows:
            name = f"{row['bundle']}.tar.xz"
            inside[incidents / name] = f"incidents/{name}"
        self._made = tempfile.TemporaryDirectory()
        labels = Path(self._made.name) / LABELS
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        labels.write_text(text, encoding="utf-8")
        inside[labels] = f"incidents/{LABELS}"
        build_data["force_include"].update(
            {str(path): f"wktriage/project/{name}" for path, name in inside.items()}
        )

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was made for the wheel."""
        if version != "editable":
            self._made.cleanup()


def _with_baselines(labels: Path, names: list[str]) -> list[dict[str, Any]]:
    """Return the label rows of the named incidents and of their baselines, as they are ordered."""
    rows = [json.loads(line) for line in labels.read_text(encoding="utf-8").splitlines() if line]
    kept = {*names, *(row["baseline"] for row in rows if row["bundle"] in names)}
    return [row for row in rows if row["bundle"] in kept]

"""A copy of this project whose one incident is short, for runs that are to be disturbed."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from wktriage.bundle import manifest
from wktriage.incidents import archive, library

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("ansible.cfg", "causes", "faults", "inventory", "knobs", "playbooks", "plugins", "roles",
          "rules", "scenarios", "schemas", "src", "triage.yml")  # fmt: skip
RUN = "import sys; from wktriage.cli.main import main; sys.argv[0] = 'wktriage'; main()"


class Project:
    """The copy, below ``place``; its default incident goes on for 20 s."""

    def __init__(self, place: Path) -> None:
        self.home = place / "project"
        for name in COPIED:
            source, target = ROOT / name, self.home / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        incidents = self.home / "incidents"
        incidents.mkdir()
        short = archive.packed(_thawed(place / "recorded"), library.DEFAULT)
        (incidents / f"{library.DEFAULT}.tar.xz").write_bytes(short)
        shutil.copy(ROOT / "incidents" / "baseline.tar.xz", incidents)
        row = {"label": "send_path", "fault": "made up", "scenario": "sampled-correctness"}
        rows = [
            {"bundle": "baseline", **row},
            {"bundle": library.DEFAULT, "baseline": "baseline", **row},
        ]
        (incidents / "labels.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))

    def command(self, *words: str) -> list[str]:
        """Return the argument vector of a ``wktriage`` command of the copy."""
        return [sys.executable, "-c", RUN, *words]

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of its commands."""
        return {**os.environ, "PYTHONPATH": str(self.home / "src"), "WKTRIAGE_PLAIN": "1", **more}


def _thawed(target: Path) -> Path:
    """Return a copy of the recorded fixture in which every node answers at once all the time."""
    shutil.copytree(ROOT / "tests/fixtures/replay/full", target)
    for name in ("resources.jsonl", "events.jsonl"):
        (target / name).unlink()
    health = [json.loads(line) for line in (target / "health.jsonl").read_text().splitlines()]
    for row in health:
        row.update(ok=True, error=None, http_status=200, took_ms=1.0, body="{}")
    (target / "health.jsonl").write_text("".join(json.dumps(row) + "\n" for row in health))
    status = (target / "status.jsonl").read_text().splitlines(keepends=True)
    kept = "".join(line for line in status if "error" not in json.loads(line))
    (target / "status.jsonl").write_text(kept)
    for path in target.rglob("*.err"):
        path.unlink()
    manifest.reseal(target)
    return target

"""Incidents recorded by this harness hold no directory of the machine that recorded them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from wktriage.incidents import library

ROOT = Path(__file__).resolve().parents[2]
OWN = [i for i in library.list_incidents(ROOT / "incidents") if not i.shared]


@pytest.mark.parametrize("incident", OWN, ids=lambda i: i.bundle)
def test_archive_names_no_directory_of_its_machine(
    incident: library.Incident, tmp_path: Path
) -> None:
    bundle = library.unpack(incident, tmp_path / "bundle")
    topology = json.loads((bundle / "topology.json").read_text())
    assert topology["data_root"] in {None, library.SCRUBBED["data"]}
    compose = (bundle / "compose-config.yml").read_text()
    sources = re.findall(r"^\s*source: (/\S+)", compose, re.MULTILINE)
    assert all(source.startswith("/srv/") for source in sources)
    for path in bundle.rglob("*.txt"):
        assert b"/root/" not in path.read_bytes()

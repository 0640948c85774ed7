"""Recorded incidents: free of their machine, and read alike on the controller and on hosts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from wkreplay.recording import Recording
from wktriage.incidents import archive, library

ROOT = Path(__file__).resolve().parents[2]
ALL = library.list_incidents(ROOT / "incidents")
OWN = [i for i in ALL if not i.shared]


@pytest.mark.parametrize("incident", OWN, ids=lambda i: i.bundle)
def test_archive_names_no_directory_of_its_machine(
    incident: library.Incident, tmp_path: Path
) -> None:
    bundle = library.unpack(incident, tmp_path / "bundle")
    topology = json.loads((bundle / "topology.json").read_text())
    assert topology["data_root"] in {None, archive.SCRUBBED["data"]}
    compose = (bundle / "compose-config.yml").read_text()
    sources = re.findall(r"^\s*source: (/\S+)", compose, re.MULTILINE)
    assert all(source.startswith("/srv/") for source in sources)
    for path in bundle.rglob("*.txt"):
        assert b"/root/" not in path.read_bytes()


@pytest.mark.parametrize("incident", ALL, ids=lambda i: i.bundle)
def test_controller_and_host_program_read_the_same_recording(
    incident: library.Incident, tmp_path: Path
) -> None:
    bundle = library.unpack(incident, tmp_path / "bundle")
    asked, served = library.recorded(bundle), Recording(bundle)
    assert list(asked.node_ids) == served.node_names
    assert [str(n) for n in asked.node_ids.values()] == [
        served.node_number(name) for name in served.node_names
    ]
    assert (asked.sim, asked.plain) == (served.sim_name, served.plain)
    start, end = served.window
    assert asked.duration_s == round((end - start) / 1e9)

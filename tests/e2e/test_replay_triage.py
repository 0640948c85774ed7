"""The whole triage on a replayed incident: what a bare machine shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wktriage.bundle.bundle import Bundle
from wktriage.incidents import library
from wktriage.judging.verdict import judge

ROOT = Path(__file__).parents[2]
INCIDENT = library.DEFAULT


def _triage(runs: Path, *extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i", "inventory/replay", "triage.yml",
            "-e", f"runs_dir={runs}", "-e", "stack_project=e2e-replay", "-e", "fail_on=never",
            *extra,
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
        env={**os.environ, "WKTRIAGE_PLAIN": "1"},
    )  # fmt: skip


@pytest.mark.slow
def test_replayed_incident_gets_the_verdict_of_its_recording(tmp_path: Path) -> None:
    recorded = library.unpack(
        library.find_incident(ROOT / "incidents", INCIDENT), tmp_path / "recorded"
    )
    expected = judge(Bundle.open(recorded))
    runs = tmp_path / "runs"
    done = _triage(runs, "-e", f"incident={INCIDENT}")
    assert done.returncode == 0, done.stdout[-4000:]
    assert f"REPLAY of {INCIDENT}" in done.stdout
    (bundle,) = (path for path in runs.iterdir() if not path.name.startswith("."))
    verdict = json.loads((bundle / "verdict.json").read_text())
    for key in ("category", "nodes", "component"):
        assert verdict[key] == expected[key], key

    # Every output says what it is.
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert (manifest["driver"], manifest["replay_of"]) == ("replay", INCIDENT)
    assert (verdict["driver"], verdict["replay_of"]) == ("replay", INCIDENT)
    for name in ("summary.md", "report.html"):
        text = (bundle / name).read_text()
        assert "REPLAY" in text
        assert INCIDENT in text
    baseline = json.loads((bundle / "references" / "baseline.json").read_text())
    assert baseline["healthy"] is True

    # Nothing of it runs on.
    assert not (runs / ".replay" / "e2e-replay").exists()
    topology = json.loads((bundle / "topology.json").read_text())
    assert {node["handle"]["kind"] for node in topology["nodes"]} == {"http"}


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ("incident=paused-nod", "no incident 'paused-nod'"),
        ("incident=paused-nod", "did you mean 'paused-node'?"),
        ("scenario=no-such-thing", "not recorded: scenario=no-such-thing"),
        ("users=7", "not recorded: users=7"),
        ("duration=86000", "not recorded: duration=86000"),
        ('{"node_env": {"WK_LOG_LEVEL": "debug"}}', "not recorded: node_env WK_LOG_LEVEL=debug"),
    ],
)
def test_what_was_not_recorded_is_refused_before_anything_starts(
    tmp_path: Path, extra: str, says: str
) -> None:
    done = _triage(tmp_path / "runs", "-e", f"incident={INCIDENT}", "-e", extra)
    assert done.returncode != 0
    assert says in " ".join(done.stdout.split())
    assert not list((tmp_path / "runs").glob("[!.]*"))
    assert not (tmp_path / "runs" / ".replay").exists()


@pytest.mark.slow
def test_a_replayed_run_is_reproduced_from_its_bundle(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    done = _triage(runs, "-e", "incident=baseline")
    assert done.returncode == 0, done.stdout[-4000:]
    (old,) = (path for path in runs.iterdir() if not path.name.startswith("."))
    done = _reproduce(old, tmp_path / "again")
    assert done.returncode == 0, done.stdout[-4000:]
    (new,) = (path for path in (tmp_path / "again").glob("2*"))
    made = json.loads((new / "reproduction.json").read_text())
    assert made["outcome"] == "agree"
    assert {f["status"] for f in made["fields"] if f["path"].startswith("inputs.")} == {"same"}
    assert "verdict and cause of the two runs agree" in done.stdout


def test_the_name_of_a_bundle_is_nobodys_template(tmp_path: Path) -> None:
    done = _reproduce(tmp_path / "{{ lookup('pipe', 'touch HERE') }}", tmp_path / "runs")
    assert done.returncode == 2
    assert "lookup('pipe'" in done.stdout
    assert not (ROOT / "HERE").exists()
    assert not (tmp_path / "HERE").exists()


def _reproduce(bundle: Path, runs: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            str(Path(sys.executable).with_name("wktriage")), "reproduce", str(bundle),
            "-i", "replay", "-e", f"runs_dir={runs}", "-e", "stack_project=e2e-reproduce",
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
        env={**os.environ, "WKTRIAGE_PLAIN": "1"},
    )  # fmt: skip

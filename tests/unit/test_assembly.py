"""From what hosts packed to a bundle: merging, redacting, and what the controller adds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.bundlefakes import Run, host_row, packed

from wktriage.bundle import manifest
from wktriage.core import schemas
from wktriage.core.errors import UsageError


def test_bundle_of_two_hosts_is_one_timeline(tmp_path: Path) -> None:
    run = Run(tmp_path, "a", "b")
    tars = {h: packed(tmp_path, h, lead=h == "b") for h in ("a", "b")}
    made = run.make(tars)
    assert made["complete"] is True
    assert made["interrupted"] is None
    rows = [json.loads(x) for x in (run.bundle / "cluster.jsonl").read_text().splitlines()]
    assert [r["sample_time"] for r in rows] == sorted(r["sample_time"] for r in rows)
    assert {r["node"] for r in rows} == {"a", "b"}
    assert [c["host"] for c in run.json("window.json")["collector"]] == ["b", "a"]
    assert run.json("fingerprint.json")["observed"]["kernel"] == "Linux b"
    assert set(run.json("fingerprint.json")["observed"]["hosts"]) == {"a", "b"}
    for name in ("manifest", "window", "fingerprint", "topology", "redaction"):
        schemas.validate(name, run.json(f"{name}.json"))


def test_secrets_of_the_configuration_are_nowhere(tmp_path: Path) -> None:
    run = Run(tmp_path, "a")
    log = "2026-01-01 boot with s3cr3t-of-node-1 and of-the-caller\n"
    tar = packed(tmp_path, "a", lead=True, **{"evidence/logs/app/wk-node1.log": log})
    run.run["failed"] = {"task": "t", "message": "auth with of-the-caller refused"}
    made = run.make({"a": tar}, secrets=["of-the-caller"])
    for path in (p for p in run.bundle.rglob("*") if p.is_file()):
        assert b"s3cr3t-of-node-1" not in path.read_bytes(), path
        assert b"of-the-caller" not in path.read_bytes(), path
    assert made["interrupted"] == "task 't' failed: auth with REDACTED refused"
    files = {r["file"] for r in run.json("redaction.json")["redactions"]}
    assert files == {"config/node1.toml", "logs/app/wk-node1.log"}


def test_host_without_evidence_is_recorded_and_costs_nothing_else(tmp_path: Path) -> None:
    run = Run(tmp_path, "a", "b")
    made = run.make({"a": packed(tmp_path, "a", lead=True)})
    assert made["complete"] is False
    assert run.status(made, "collector", "b") == "failed"
    assert run.status(made, "cluster", "a") == "ok"
    assert run.json("window.json")["valid"] is True


def test_without_the_lead_the_window_is_invalid(tmp_path: Path) -> None:
    run = Run(tmp_path, "a", "b")
    run.make({"b": packed(tmp_path, "b", lead=False)})
    assert run.json("window.json")["valid"] is False
    assert "simulator" in run.json("window.json")["reason"]


def test_nothing_at_all_is_a_bundle_too(tmp_path: Path) -> None:
    run = Run(tmp_path, "a")
    made = run.make({}, interrupted="killed")
    assert made["interrupted"] == "killed; the collector beside the simulator left nothing"
    assert made["complete"] is False
    assert run.json("window.json")["valid"] is False


def test_refused_run_says_so(tmp_path: Path) -> None:
    run = Run(tmp_path, "a")
    run.run["refused"] = "baseline"
    reference = tmp_path / "r.json"
    reference.write_text('{"schema_version": 1}')
    made = run.make({}, references={"baseline": reference})
    assert made["interrupted"] == "not started: refused by baseline"
    assert (run.bundle / "references/baseline.json").exists()
    assert {c["host"] for c in made["collectors"]} == {"controller"}


def test_rows_that_break_their_schema_are_said(tmp_path: Path) -> None:
    run = Run(tmp_path, "a")
    tar = packed(tmp_path, "a", lead=True, **{"evidence/cluster.jsonl": '{"sample_time": 5}\n'})
    made = run.make({"a": tar})
    (row,) = [c for c in made["collectors"] if c["name"] == "cluster"]
    assert row["status"] == "partial"
    assert row["error"].startswith("cluster.jsonl line 1")


def test_torn_last_row_is_dropped(tmp_path: Path) -> None:
    run = Run(tmp_path, "a")
    text = host_row(1, "a") + "\n" + host_row(2, "a")[:20]
    run.make({"a": packed(tmp_path, "a", lead=True, **{"evidence/cluster.jsonl": text})})
    assert (run.bundle / "cluster.jsonl").read_text() == host_row(1, "a") + "\n"


def test_bundle_is_written_once(tmp_path: Path) -> None:
    run = Run(tmp_path, "a")
    run.make({})
    with pytest.raises(UsageError, match="written once"):
        run.make({})


def test_replayed_documents_stand_in_for_the_stacks(tmp_path: Path) -> None:
    run = Run(tmp_path, "a")
    run.topology.update(driver="replay", replay_of="p01")
    recorded = {"observed": {"kernel": "Linux then"}}
    tar = packed(
        tmp_path, "a", lead=True,
        **{"evidence/env.txt": "SCENARIO=then\n", "evidence/config/node1.toml": "[node]\n",
           "evidence/fingerprint.json": json.dumps(recorded)},
    )  # fmt: skip
    made = run.make({"a": tar})
    assert made["replay_of"] == "p01"
    assert (run.bundle / "env.txt").read_text() == "SCENARIO=then\n"
    assert (run.bundle / "config/node1.toml").read_text() == "[node]\n"
    assert run.json("fingerprint.json")["observed"]["kernel"] == "Linux then"


def test_references_of_the_recording_are_carried(tmp_path: Path) -> None:
    run = Run(tmp_path, "a")
    for name in ("then", "now"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"bundle_id": name}))
    run.run["references"] = {"clean-twin": str(tmp_path / "then.json")}
    run.make({}, references={"baseline": tmp_path / "now.json"})
    assert run.json("references/clean-twin.json")["bundle_id"] == "then"
    assert run.json("references/baseline.json")["bundle_id"] == "now"
    assert manifest.verify(run.bundle) == []


def test_bad_reference_name_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path, "a")
    with pytest.raises(UsageError, match="reference"):
        run.make({}, references={"../x": tmp_path})
    assert not (run.bundle / "manifest.json").exists()


@pytest.mark.parametrize(
    ("run", "text"),
    [
        ({"git": {"branch": "main", "revision": "r1", "status": " M a\n"}}, "main\nr1\n M a\n"),
        ({"git": None, "git_revision": "r2"}, "unknown\nr2\n"),
        ({}, "unknown\nunknown\n"),
    ],
)
def test_git_state_of_the_run_is_carried(tmp_path: Path, run: dict[str, Any], text: str) -> None:
    made = Run(tmp_path, "a")
    made.run |= run
    made.make({})
    assert (made.bundle / "git.txt").read_text() == text

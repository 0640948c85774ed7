"""The manifest covers every evidence file, and tells when one changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wktriage.bundle import manifest
from wktriage.core import schemas

IDENTITY: dict[str, Any] = {
    "bundle_id": "b1", "created": "2026-01-01T00:00:00.000Z", "scenario": "custom",
    "mode": "clean", "driver": "compose", "purpose": "target", "replay_of": None,
    "complete": True, "interrupted": None,
}  # fmt: skip
COLLECTOR = {
    "name": "status", "host": "here", "status": "ok", "duration_s": 1.0, "error": None,
    "files": ["status.jsonl", "gone.jsonl"],
}  # fmt: skip


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    (tmp_path / "status.jsonl").write_text("{}\n")
    (tmp_path / "logs/a.log").write_text("x\n")
    (tmp_path / "verdict.json").write_text("{}")
    (tmp_path / ".part").write_text("half")
    (tmp_path / "link").symlink_to(tmp_path / "status.jsonl")
    manifest.write(tmp_path, manifest.build(tmp_path, IDENTITY, [COLLECTOR]))
    return tmp_path


def test_lists_evidence_and_nothing_derived(bundle: Path) -> None:
    document = manifest.read(bundle)
    assert document is not None
    assert [f["path"] for f in document["files"]] == ["logs/a.log", "status.jsonl"]
    assert document["collectors"][0]["bytes"] == 3
    assert document["collectors"][0]["files"] == 1
    assert manifest.verify(bundle) == []


def test_changes_are_found(bundle: Path) -> None:
    (bundle / "status.jsonl").write_text("{} \n")
    (bundle / "logs/a.log").write_text("y\n")
    (bundle / "new.txt").write_text("")
    assert manifest.verify(bundle) == [
        "logs/a.log: other content than when it was collected",
        "new.txt: not in the manifest",
        "status.jsonl: 4 bytes, not 3",
    ]
    (bundle / "logs/a.log").unlink()
    assert "logs/a.log: missing" in manifest.verify(bundle)


def test_derived_files_may_come_and_go(bundle: Path) -> None:
    (bundle / "verdict.json").unlink()
    (bundle / "report.html").write_text("<p>")
    assert manifest.verify(bundle) == []


def test_missing_and_broken_manifests(tmp_path: Path, bundle: Path) -> None:
    assert manifest.read(tmp_path / "logs") is None
    assert manifest.verify(tmp_path / "logs") == ["no manifest.json"]
    (bundle / "manifest.json").write_text("{")
    with pytest.raises(schemas.SchemaError, match="no JSON"):
        manifest.read(bundle)
    (bundle / "manifest.json").write_text(json.dumps({"schema_version": 1}))
    with pytest.raises(schemas.SchemaError, match="required"):
        manifest.read(bundle)

"""What a host hands in may be hostile, oversized or damaged."""

from __future__ import annotations

import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.bundlefakes import Run, pack, packed

from wktriage.bundle.archive import unpack
from wktriage.bundle.host_evidence import LIMITS
from wktriage.core.errors import InfraError


def test_hostile_archive_stays_inside(tmp_path: Path) -> None:
    run = Run(tmp_path, "a")
    tar = packed(
        tmp_path, "a", lead=True,
        **{"../evil": "x", "/abs": "x", "evidence/../../evil": "x", "evidence/verdict.json": "{}",
           "evidence/logs/app/../../x.log": "x", "evidence/logs/app/.log": "x"},
    )  # fmt: skip
    with tarfile.open(tar, "r:gz") as source:
        members = [(m, source.extractfile(m)) for m in source]
        with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as target:
            link = tarfile.TarInfo("evidence/status.jsonl")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            target.addfile(link)
            for member, content in members:
                target.addfile(member, content)
    made = run.make({"a": tmp_path / "evil.tar.gz"})
    assert not (run.bundle / "status.jsonl").exists()
    assert not (run.bundle / "verdict.json").exists()
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path / "runs/evil").exists()
    (row,) = [c for c in made["collectors"] if c["name"] == "collector"]
    assert row["status"] == "partial"
    assert "left out 7 entries" in row["error"]


def test_oversized_members_are_refused(tmp_path: Path) -> None:
    tar = pack(tmp_path / "t.tar.gz", {"evidence/status.jsonl": b"x" * 11, "state.json": b"{}"})
    refused = unpack(tar, tmp_path / "out", replace(LIMITS, member_bytes=10))
    assert refused == ["'evidence/status.jsonl': larger than 10 bytes"]
    refused = unpack(tar, tmp_path / "out2", replace(LIMITS, total_bytes=1))
    assert refused == ["the rest: more than the limits allow"]
    refused = unpack(tar, tmp_path / "out3", replace(LIMITS, members=0))
    assert refused == ["the rest: more than the limits allow"]


def test_damaged_archive_gives_what_comes_before(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"no tar")
    with pytest.raises(InfraError):
        unpack(tmp_path / "x", tmp_path / "out", LIMITS)
    tar = packed(tmp_path, "a", lead=True, **{"evidence/status.jsonl": os.urandom(90_000).hex()})
    tar.write_bytes(tar.read_bytes()[:20_000])
    run = Run(tmp_path, "a")
    made = run.make({"a": tar})
    assert run.status(made, "collector", "a") == "partial"

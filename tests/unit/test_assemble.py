"""From what hosts packed to a bundle: merging, refusing, redacting, and runs nobody finished."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.unit.collectstack import Detached, Stack, until

from wktriage import assemble, collecting, manifest, schema
from wktriage.core import zipapps
from wktriage.errors import InfraError, UsageError


def node(number: int, host: str) -> dict[str, Any]:
    return {"name": f"wk-node{number}", "id": number, "host": host, "data_dir": None,
            "log_dir": None, "api_url": "http://127.0.0.1:1", "verbs": {},
            "handle": {"kind": "process", "pid": 1}}  # fmt: skip


def topology(*hosts: str) -> dict[str, Any]:
    return {
        "schema_version": 1, "driver": "compose", "project": "p", "data_root": None,
        "replay_of": None, "nodes": [node(n, h) for n, h in enumerate(hosts, 1)],
        "sim": {"name": "wk-sim", "host": hosts[0], "status_url": "http://127.0.0.1:1/status",
                "handle": {"kind": "process", "pid": 1}, "log_dir": None, "verbs": {}},
    }  # fmt: skip


class Run:
    """The files that a run leaves for assembling, and the bundle made of them."""

    def __init__(self, tmp: Path, *hosts: str) -> None:
        self.tmp = tmp
        self.bundle = tmp / "runs" / "b1"
        self.topology = topology(*hosts)
        self.config = tmp / "node1.toml"
        self.config.write_text('[manager]\njwt_secret = "s3cr3t-of-node-1"\n')
        self.run: dict[str, Any] = {
            "schema_version": 1, "bundle_id": "b1", "scenario": "custom", "mode": "clean",
            "purpose": "target", "duration": 1, "profile_seconds": 1, "connect_rate": None,
            "workload": {"users": 4, "uid_prefix": "t1-u"}, "node_env": {},
            "node_configs": {"wk-node1": str(self.config)},
        }  # fmt: skip

    def make(self, tars: dict[str, Path], **options: Any) -> dict[str, Any]:
        (self.tmp / "run.json").write_text(json.dumps(self.run))
        (self.tmp / "topology.json").write_text(json.dumps(self.topology))
        made = assemble.assemble(
            self.bundle, tars, self.tmp / "run.json", self.tmp / "topology.json", **options
        )
        assert manifest.verify(self.bundle) == []
        assert list(self.bundle.parent.glob(".assemble-*")) == []
        return made

    def json(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.bundle / name).read_text())
        return found

    def status(self, made: dict[str, Any], name: str, host: str) -> str:
        (row,) = [c for c in made["collectors"] if (c["name"], c["host"]) == (name, host)]
        return str(row["status"])


def window(host: str, **more: Any) -> dict[str, Any]:
    return {
        "schema_version": 1, "valid": True, "reason": None, "start": "2026-01-01T00:00:10.000Z",
        "end": "2026-01-01T00:00:20.000Z", "asked_seconds": 10.0, "running_since": None,
        "warmup_over": None, "counters_moved_at": None, "sim_run_id": "r", "interrupted": None,
        "phases": [],
        "cadence": {"interval_s": 1.0, "due": 10, "taken": 10, "missed": 0,
                    "jitter_ms": {"p50": 0.1, "p99": 1.0, "max": 1.0}},
        "collector": [{"host": host, "cpu_seconds": 0.1, "wall_seconds": 20.0}],
        "profile": {"start": None, "end": None, "fenced": True, "fence_reason": None}, **more,
    }  # fmt: skip


def host_row(second: int, host: str) -> str:
    return json.dumps({"sample_time": f"2026-01-01T00:00:{second:02d}.000Z", "node": host,
                       "cluster": {}})  # fmt: skip


def pack(path: Path, members: dict[str, bytes | str]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def packed(tmp: Path, host: str, *, lead: bool, **members: str) -> Path:
    rows = "\n".join(host_row(n, host) for n in range(0 if lead else 1, 20, 2)) + "\n"
    said = {
        "schema_version": 1, "host": host, "lead": lead, "facts": {"kernel": f"Linux {host}"},
        "collectors": [{"name": "cluster", "host": host, "status": "ok", "duration_s": 1.0,
                        "files": ["cluster.jsonl"], "missed_slots": 0, "error": None}],
    }  # fmt: skip
    content: dict[str, bytes | str] = {
        "evidence/cluster.jsonl": rows,
        "evidence/window.json": json.dumps(window(host)),
        "collectors.json": json.dumps(said),
        "state.json": json.dumps({"done": True, "lead": lead, "elapsed_s": 20.0}),
        **members,
    }
    return pack(tmp / f"{host}.tar.gz", content)


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
        schema.validate(name, run.json(f"{name}.json"))


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


def test_oversized_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assemble, "MAX_MEMBER_BYTES", 10)
    tar = pack(tmp_path / "t.tar.gz", {"evidence/status.jsonl": b"x" * 11, "state.json": b"{}"})
    refused = assemble.unpack(tar, tmp_path / "out")
    assert refused == ["'evidence/status.jsonl': larger than 10 bytes"]
    monkeypatch.setattr(assemble, "MAX_TOTAL_BYTES", 1)
    assert assemble.unpack(tar, tmp_path / "out2") == ["the rest: too much"]


def test_damaged_archive_gives_what_comes_before(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"no tar")
    with pytest.raises(InfraError):
        assemble.unpack(tmp_path / "x", tmp_path / "out")
    tar = packed(tmp_path, "a", lead=True, **{"evidence/status.jsonl": os.urandom(90_000).hex()})
    tar.write_bytes(tar.read_bytes()[:20_000])
    run = Run(tmp_path, "a")
    made = run.make({"a": tar})
    assert run.status(made, "collector", "a") == "partial"


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


# --- runs that nobody finished ---------------------------------------------------------------


@pytest.fixture
def pending(tmp_path: Path) -> Callable[..., Path]:
    def make(run: Run, collectors: Path) -> Path:
        run.bundle.mkdir(parents=True)
        (tmp_path / "run.json").write_text(json.dumps(run.run))
        (tmp_path / "topology.json").write_text(json.dumps(run.topology))
        mark = tmp_path / "mark.json"
        mark.write_text(
            json.dumps({
                "bundle_dir": str(run.bundle), "collector_dir": str(collectors),
                "run_file": str(tmp_path / "run.json"),
                "topology_file": str(tmp_path / "topology.json"),
            })
        )  # fmt: skip
        return mark

    return make


def test_dead_controller_loses_nothing_that_was_collected(
    tmp_path: Path, pending: Callable[..., Path]
) -> None:
    with ExitStack() as exits:
        stack = Stack(tmp_path, exits)
        out = tmp_path / "collector" / "here"
        out.mkdir(parents=True)
        (out / collecting.PROGRAM).write_bytes(zipapps.content("wkcollect"))
        stack.spec.update(out_dir=str(out), window={"seconds": 60})
        (out / "spec.json").write_text(json.dumps(stack.spec))
        stack.sim.run()
        watched = Detached(stack)
        watched.out = out
        watched("start", str(out / "spec.json"))
        until(lambda: watched.poll()["samples_taken"] > 3)
        run = Run(tmp_path, "here")
        bundle = assemble.finalise_interrupted(pending(run, out.parent), "controller was killed")
    assert bundle == run.bundle
    assert manifest.verify(bundle) == []
    document = manifest.read(bundle)
    assert document is not None
    assert document["interrupted"] == "controller was killed"
    assert document["complete"] is False
    window_document = run.json("window.json")
    assert window_document["valid"] is False
    assert window_document["interrupted"] == "controller was killed"
    assert len((bundle / "status.jsonl").read_text().splitlines()) > 3
    assert (bundle / "metrics/node1.prom").exists()
    # Asked again, it finds the bundle finished.
    assert assemble.finalise_interrupted(tmp_path / "mark.json", "again") == bundle


def test_collector_that_never_started_leaves_a_bundle_that_says_so(
    tmp_path: Path, pending: Callable[..., Path]
) -> None:
    run = Run(tmp_path, "here")
    bundle = assemble.finalise_interrupted(pending(run, tmp_path / "absent"), "gone")
    assert run.json("manifest.json")["interrupted"].startswith("gone; ")
    assert manifest.verify(bundle) == []


def test_broken_mark_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "mark.json").write_text('{"bundle_dir": "/x"}')
    with pytest.raises(InfraError, match="lacks"):
        assemble.finalise_interrupted(tmp_path / "mark.json", "gone")

"""What hosts pack, and the files that a run leaves for assembling."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from wktriage.bundle import assembly, manifest


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
        made = assembly.assemble(
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

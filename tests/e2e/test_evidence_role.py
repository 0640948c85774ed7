"""Role evidence with stand-ins on two hosts: from starting the collectors to a verified bundle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.standin import Simulator, node_answers, serving

from wktriage.bundle import manifest
from wktriage.core import schemas

ROOT = Path(__file__).parents[2]
PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: evidence
"""
INVENTORY = """
all:
  hosts:
    first: {}
    second: {}
    bystander: {}
  vars:
    ansible_connection: local
    ansible_python_interpreter: PYTHON
"""


def node(number: int, host: str, url: str) -> dict[str, Any]:
    return {"name": f"wk-node{number}", "id": number, "host": host, "api_url": url,
            "handle": {"kind": "process", "pid": os.getpid()}, "data_dir": None, "log_dir": None,
            "verbs": {}}  # fmt: skip


@pytest.mark.slow
def test_role_makes_a_bundle_of_two_hosts(tmp_path: Path) -> None:
    simulator = Simulator()
    simulator.run()
    with ExitStack() as exits:
        nodes = [exits.enter_context(serving(node_answers())) for _ in range(2)]
        front = exits.enter_context(serving({"/status": simulator}))
        topology = {
            "schema_version": 1, "driver": "processes", "project": "p", "data_root": None,
            "replay_of": None,
            "nodes": [node(1, "first", nodes[0].url), node(2, "second", nodes[1].url)],
            "sim": {"name": "wk-sim", "host": "second", "status_url": front.url + "/status",
                    "handle": {"kind": "process", "pid": os.getpid()}, "log_dir": None,
                    "verbs": {}},
        }  # fmt: skip
        run = {
            "schema_version": 1, "bundle_id": "b1", "scenario": "custom", "mode": "clean",
            "purpose": "target", "duration": 2, "profile_seconds": 1, "node_env": {},
            "workload": {"users": 4, "uid_prefix": "t1-u"}, "hosts": ["first", "second"],
        }  # fmt: skip
        (tmp_path / "topology.json").write_text(json.dumps(topology))
        (tmp_path / "run.json").write_text(json.dumps(run))
        (tmp_path / "play.yml").write_text(PLAYBOOK)
        (tmp_path / "hosts.yml").write_text(INVENTORY.replace("PYTHON", sys.executable))
        variables = {
            "evidence_run_id": "b1",
            "evidence_run_file": str(tmp_path / "run.json"),
            "evidence_topology_file": str(tmp_path / "topology.json"),
            "evidence_host_dir": str(tmp_path / "on-host"),
            "evidence_bundle_dir": str(tmp_path / "runs" / "b1"),
            "evidence_window_seconds": 2,
            "evidence_profile_seconds": 1,
            "evidence_ready_timeout": 20,
            "evidence_hide_proc": True,
        }
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                "-i", str(tmp_path / "hosts.yml"), str(tmp_path / "play.yml"),
                "-e", json.dumps(variables),
            ],
            capture_output=True, text=True, timeout=120, cwd=ROOT,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "CI": "1",
                 "ANSIBLE_ROLES_PATH": str(ROOT / "roles")},
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "msg/s" in done.stdout
    bundle = tmp_path / "runs" / "b1"
    assert manifest.verify(bundle) == []
    document = manifest.read(bundle)
    assert document is not None
    assert document["complete"] is True
    window = json.loads((bundle / "window.json").read_text())
    assert window["valid"] is True
    assert {c["host"] for c in window["collector"]} == {"first", "second"}
    assert window["cadence"]["taken"] == 2
    for name, row_schema in schemas.ROW_SCHEMAS.items():
        if (bundle / name).exists():
            assert schemas.check_rows(bundle / name, row_schema) is None, name
    hosts = {json.loads(x)["host"] for x in (bundle / "host.jsonl").read_text().splitlines()}
    assert hosts == {"first", "second"}
    assert {c["host"] for c in document["collectors"]} == {"first", "second", "controller"}
    for number in (1, 2):
        assert (bundle / f"metrics/node{number}.prom").stat().st_size > 0
        assert (bundle / f"pprof/node{number}-cpu.pb.gz").stat().st_size > 0

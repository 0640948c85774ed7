"""Role evidence with stand-ins on two hosts: from starting the collectors to a verified bundle."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.standin import Simulator, node_answers, serving

from wktriage.bundle import manifest
from wktriage.core import schemas
from wktriage.core.times import parse_time

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
    broken: {evidence_python: /absent/python3}
    ahead: {evidence_python: HERE/python-ahead}
    bystander: {}
  vars:
    ansible_connection: local
    ansible_python_interpreter: PYTHON
"""


AHEAD = """\
#!PYTHON
# A host's Python whose clock is 90 s ahead, and is set 5 s forward when the run is over.
import os, runpy, sys, time
real = time.time
done = "HERE/on-host/ahead/collectors.json"
time.time = lambda: real() + 90 + (5 if os.path.exists(done) else 0)
sys.argv = sys.argv[1:]
if sys.argv[0].startswith("-"):
    exec(sys.argv.pop(1))
else:
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


def node(number: int, host: str, url: str) -> dict[str, Any]:
    return {"name": f"wk-node{number}", "id": number, "host": host, "api_url": url,
            "handle": {"kind": "process", "pid": os.getpid()}, "data_dir": None, "log_dir": None,
            "verbs": {}}  # fmt: skip


@pytest.mark.slow
def test_role_makes_a_bundle_of_hosts_of_which_one_fails_and_one_has_a_wrong_clock(
    tmp_path: Path,
) -> None:
    simulator = Simulator()
    simulator.run()
    with ExitStack() as exits:
        nodes = [exits.enter_context(serving(node_answers())) for _ in range(4)]
        front = exits.enter_context(serving({"/status": simulator}))
        topology = {
            "schema_version": 1, "driver": "processes", "project": "p", "data_root": None,
            "replay_of": None,
            "nodes": [
                node(number, host, stand_in.url)
                for number, (host, stand_in) in enumerate(
                    zip(("first", "second", "broken", "ahead"), nodes, strict=True), 1
                )
            ],
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
        for name, text in (("hosts.yml", INVENTORY), ("python-ahead", AHEAD)):
            text = text.replace("PYTHON", sys.executable).replace("HERE", str(tmp_path))
            (tmp_path / name).write_text(text)
        (tmp_path / "python-ahead").chmod(0o755)
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
    assert document["complete"] is False  # only for the host that has no collector
    window = json.loads((bundle / "window.json").read_text())
    assert window["valid"] is True
    assert {c["host"] for c in window["collector"]} == {"first", "second", "ahead"}
    assert window["cadence"]["taken"] == 2
    for name, row_schema in schemas.ROW_SCHEMAS.items():
        if (bundle / name).exists():
            assert schemas.check_rows(bundle / name, row_schema) is None, name
    rows = [json.loads(line) for line in (bundle / "host.jsonl").read_text().splitlines()]
    assert {row["host"] for row in rows} == {"first", "second", "ahead"}
    (lost,) = [row for row in document["collectors"] if row["host"] == "broken"]
    assert lost["status"] == "failed"
    assert "/absent/python3" in lost["error"]
    # The clock of one host was 90 s ahead: its rows stand where they belong all the same.
    clocks = json.loads((bundle / "clocks.json").read_text())["hosts"]
    (ahead,) = [host for host in clocks if host["host"] == "ahead"]
    assert ahead["corrected_s"] == pytest.approx(90, abs=0.5)
    assert ahead["step_s"] == pytest.approx(5, abs=0.5)
    begin = {
        host: min(parse_time(row["sample_time"]) or 0 for row in rows if row["host"] == host)
        for host in ("first", "ahead")
    }
    assert begin["ahead"] == pytest.approx(begin["first"], abs=10)
    assert [row["sample_time"] for row in rows] == sorted(row["sample_time"] for row in rows)
    (moved,) = [row for row in document["collectors"] if row["name"] == "clocks"]
    assert re.match(r"the clock of ahead was set [45]\.\d+ s forward while", moved["error"])
    for number in (1, 2, 4):
        assert (bundle / f"metrics/node{number}.prom").stat().st_size > 0
        assert (bundle / f"pprof/node{number}-cpu.pb.gz").stat().st_size > 0

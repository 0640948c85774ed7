"""The fault lab without a cluster: fault files, targets, and that healing always happens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from wktriage.cli.commands.lab import _label
from wktriage.cli.main import group
from wktriage.core import topology as topologies
from wktriage.core.errors import InfraError, UsageError
from wktriage.core.model import Signal, SignalSet
from wktriage.lab import faults, injector
from wktriage.lab.actions import Actions, control_group
from wktriage.lab.injector import Injector
from wktriage.stack import data_root


@pytest.mark.parametrize("name", faults.names())
def test_every_fault_file_loads_and_says_how_it_is_labelled(name: str) -> None:
    fault = faults.load(name)
    assert fault.labels
    if fault.at != "run":
        assert fault.inject
        assert fault.check is not None
    if any(label.names_target for label in fault.labels):
        assert fault.targets.startswith("nodes")


def test_parameters_replace_what_names_them() -> None:
    fault = faults.load("cpu-quota-node", {"cpus": "0.3"})
    assert fault.inject[0].arguments == {"cpus": 0.3}
    assert fault.check is not None
    assert fault.check.arguments == {"cpus": 0.3}


def test_unknown_fault_and_parameter_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="pause-node"):
        faults.load("gremlins")
    with pytest.raises(UsageError, match="it has cpus"):
        faults.load("cpu-quota-node", {"cores": "2"})


def test_a_draw_is_repeatable_runnable_and_varies_what_it_should() -> None:
    def drawn(seed: int) -> list[str]:
        done = CliRunner().invoke(group, ["lab", "draw", "--seed", str(seed), "--count", "60"])
        assert done.exit_code == 0, done.output
        return done.output.splitlines()

    lines = drawn(3)
    assert lines == drawn(3) != drawn(4)
    for words in map(str.split, lines):
        assert words[:3] == ["wktriage", "lab", "run"]
        given = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
        fault = faults.load(words[3], dict(setting.split("=", 1) for setting in given))
        assert given or not fault.parameters
        assert ("-e" in words) is not bool(fault.run)
    rates = {re.search(r"rate=(\S+)", line)[1] for line in lines if " overload " in line}  # type: ignore[index]
    assert all(re.fullmatch(r"\d+/s", rate) for rate in rates)
    assert len({w for line in lines for w in line.split() if w.startswith("scenario=")}) >= 4


@pytest.mark.parametrize(
    ("measured", "label"),
    [
        ({"send_error_ratio": 0.01, "send_errors": 9}, "send_path"),
        ({"recv_errors": 0}, "healthy"),
        ({"recv_errors": 13, "error_free_tail": 20}, "cold_start"),
        ({"recv_errors": 13, "error_free_tail": 2}, None),
    ],
)
def test_a_fault_without_effect_is_labelled_like_a_run_without_one(
    measured: dict[str, float], label: str | None
) -> None:
    """The third was seen: sampled-correctness began with errors, before and beside the hogs."""
    still = {
        "send_error_ratio": 0, "send_errors": 0, "recv_errors": 0, "sendack_mean": 0.02,
        "sendack_p99": 0.1, "offered_to_sent_ratio": 1.0, "error_free_tail": 45,
        "host_cpu_busy": 0.4,
    }  # fmt: skip
    found = SignalSet(nodes=("wk-node1",))
    for name, value in {**still, **measured}.items():
        found.add(Signal(name, "count", value))
    said = _label(faults.load("slow-disk"), found)
    assert (said.label if said else None) == label


def test_a_slow_run_with_one_failed_send_of_thousands_is_both() -> None:
    slow = {
        "send_error_ratio": 0.0001, "send_errors": 1, "sendack_mean": 0.53, "sendack_p99": 2.5,
        "offered_to_sent_ratio": 1.07,
    }  # fmt: skip
    for errors, also in ((1, ("send_path",)), (0, ())):
        found = SignalSet(nodes=("wk-node1",))
        for name, value in {**slow, "send_errors": errors}.items():
            found.add(Signal(name, "count", value))
        said = _label(faults.load("few-appenders"), found)
        assert said is not None
        assert (said.label, said.also_ok) == ("server_hot_path", also)


@pytest.fixture
def simulator() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"state": "running", "messages_sent": 5}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/status"
    server.shutdown()
    server.server_close()


def topology(tmp_path: Path, status_url: str) -> Path:
    verbs = {verb: ["sh", "-c", f"echo {verb} >> {tmp_path}/log"] for verb in ("pause", "unpause")}
    nodes = [
        {
            "name": f"wk-node{i}",
            "id": i,
            "host": "localhost",
            "api_url": "http://127.0.0.1:1",
            "handle": {"kind": "container", "id": "none"},
            "data_dir": None,
            "log_dir": None,
            "verbs": verbs,
        }
        for i in (1, 2, 3)
    ]
    sim = {
        "name": "wk-sim",
        "host": "localhost",
        "status_url": status_url,
        "handle": {"kind": "container", "id": "none"},
        "log_dir": None,
        "verbs": {},
    }
    path = tmp_path / "topology.json"
    path.write_text(
        json.dumps(
            {
                "schema_version": 1,
                "driver": "compose",
                "project": "t",
                "data_root": None,
                "replay_of": None,
                "nodes": nodes,
                "sim": sim,
            }
        )
    )
    return path


def test_fault_is_injected_once_the_load_runs_and_healed_when_the_run_ends(
    tmp_path: Path, simulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(injector, "inspect", lambda *_: "paused")
    monkeypatch.setattr("wktriage.lab.actions.inspect", lambda *_: "paused")
    monkeypatch.setattr(injector, "CHECK_AFTER_SECONDS", 0.01)
    fault = replace(faults.load("pause-node"), after_s=0.01)
    thread = Injector(fault, topology(tmp_path, simulator), hold_s=0.3, node="wk-node2", seed=1)
    thread.start()
    thread.join(timeout=10)
    assert (tmp_path / "log").read_text().split() == ["pause", "unpause"]
    assert thread.record.took_hold is True
    assert thread.record.targets == ["wk-node2"]


def test_a_fault_that_did_not_take_hold_is_said_and_healed(
    tmp_path: Path, simulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wktriage.lab.actions.inspect", lambda *_: "running")
    monkeypatch.setattr(injector, "CHECK_AFTER_SECONDS", 0.01)
    fault = replace(faults.load("pause-node"), after_s=0.01)
    thread = Injector(fault, topology(tmp_path, simulator), hold_s=0.05, node=None, seed=1)
    thread.start()
    thread.join(timeout=10)
    assert thread.record.took_hold is False
    assert "is running, not paused" in thread.record.problems[0]
    assert (tmp_path / "log").read_text().split()[-1] == "unpause"


def test_a_run_that_ends_before_its_load_injects_nothing(tmp_path: Path) -> None:
    path = topology(tmp_path, "http://127.0.0.1:1/status")
    thread = Injector(faults.load("pause-node"), path, hold_s=1, node=None, seed=1)
    thread.start()
    thread.end()
    assert thread.record.took_hold is False
    assert not (tmp_path / "log").exists()


def test_lab_destroys_nothing_but_its_own(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "node1").mkdir(parents=True)
    (data / "node1" / "kept").touch()
    node = topologies.load(topology(tmp_path, "http://127.0.0.1:1/status")).nodes[0]
    mine = replace(node, data_dir=str(data / "node1"))
    actions = Actions(str(data))
    with pytest.raises(InfraError, match="no data root of the harness"):
        actions.perform("lose_data", {}, [mine])
    with pytest.raises(InfraError, match="only a volume that the lab made"):
        actions.perform("fill", {"leave_mb": 1}, [])
    assert [p.name for p in data.rglob("*")] == ["node1", "kept"]

    (data / data_root.MARKER).touch()
    with pytest.raises(InfraError, match="no data root of the harness"):
        actions.perform("lose_data", {}, [replace(node, data_dir=str(tmp_path / "elsewhere"))])
    actions.perform("lose_data", {}, [mine])
    assert list((data / "node1").iterdir()) == []


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ("7:blkio:/docker/c1\n4:memory:/docker/c1\n0::/docker/c1\n", "blkio/docker/c1/v1"),
        ("9:cpu,blkio:/x\n", "blkio/x/v1"),
        ("0::/system.slice/docker-c1.scope\n", "system.slice/docker-c1.scope/v2"),
    ],
)
def test_limits_are_set_in_either_version_of_control_groups(
    groups: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = topologies.load(topology(tmp_path, "http://127.0.0.1:1/status")).nodes[0]
    monkeypatch.setattr("wktriage.lab.actions.inspect", lambda *_: "42")
    monkeypatch.setattr(Path, "read_text", lambda *_: groups)
    assert str(control_group(node, "blkio", "v1", "v2")) == f"/sys/fs/cgroup/{expected}"

"""Actions of the lab without a cluster: they destroy nothing but their own, and are undone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.unit.labfakes import topology

from wktriage.core import topology as topologies
from wktriage.core.errors import InfraError, UsageError
from wktriage.core.topology import Node
from wktriage.lab.actions import dispatcher
from wktriage.lab.actions.control_groups import control_group
from wktriage.lab.actions.dispatcher import Actions
from wktriage.stack import data_root


@pytest.fixture
def nodes(tmp_path: Path) -> tuple[Node, ...]:
    return topologies.load(topology(tmp_path, "http://127.0.0.1:1/status")).nodes


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
    monkeypatch.setattr("wktriage.lab.actions.commands.inspect", lambda *_: "42")
    monkeypatch.setattr(Path, "read_text", lambda *_: groups)
    assert str(control_group(node, "blkio", "v1", "v2")) == f"/sys/fs/cgroup/{expected}"


def test_a_cycle_on_several_targets_ends_with_all_of_them_released(
    nodes: tuple[Node, ...], tmp_path: Path
) -> None:
    actions, log = Actions(None), tmp_path / "log"
    cycle = {"on": "pause", "off": "unpause", "on_s": 60.0, "off_s": 60.0}
    actions.perform("cycle", cycle, nodes)
    deadline = time.monotonic() + 15
    while not log.exists() or log.read_text().split().count("pause") < len(nodes):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert actions.check("cycling", {}, nodes) == []
    actions.perform("end_cycle", {}, nodes)
    assert sorted(log.read_text().split()) == ["pause"] * 3 + ["unpause"] * 3
    problems = [f"the cycle on {node.name} has ended" for node in nodes]
    assert actions.check("cycling", {}, nodes) == problems


def test_hogs_end_when_they_are_told_to(nodes: tuple[Node, ...]) -> None:
    actions = Actions(None)
    assert actions.check("hogged", {}, []) == ["0 of 0 processes that load the host are alive"]
    actions.perform("hog", {"kind": "cpu", "count": 2, "seconds": 60}, [])
    assert actions.check("hogged", {}, []) == []
    actions.perform("end_hogs", {}, nodes)
    assert actions.check("hogged", {}, []) != []


def test_targets_of_a_partition_drop_only_what_the_others_send(
    nodes: tuple[Node, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    rules: list[list[str]] = []

    def run(argv: list[str], **_more: object) -> str:
        if argv[0] == "docker":
            return "10.0.0.9 " if "IPAddress" in argv[3] else "42"
        if "-A" in argv:
            rules.append(argv[argv.index("-A") :])
        return ""

    monkeypatch.setattr("wktriage.lab.actions.commands.run", run)
    Actions(None).perform("part", {"port": 7000}, nodes[:2])
    drop = ["-A", "WKTRIAGE", "-s", "10.0.0.9", "-p", "tcp", "--dport", "7000", "-j", "DROP"]
    assert rules == [drop, drop]


def test_missing_tools_are_named_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher.shutil, "which", lambda _tool: None)
    dispatcher.require_tools(["verb", "update", "hog"])
    with pytest.raises(UsageError, match="needs iptables and nsenter: install them first"):
        dispatcher.require_tools(["verb", "firewall"])
    monkeypatch.setattr(dispatcher.shutil, "which", lambda tool: f"/sbin/{tool}")
    monkeypatch.setattr(dispatcher.os, "geteuid", lambda: 1000)
    with pytest.raises(UsageError, match="run it as root"):
        dispatcher.require_tools(["squeeze"])

"""topology.json: what is written reads back, and nothing else is taken for one."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from wktriage.core import topology
from wktriage.core.errors import InfraError


def sample() -> topology.Topology:
    handle = topology.Handle(kind="container", id="x", name="n")
    node = topology.Node(
        name="wk-node1",
        id=1,
        host="localhost",
        api_url="http://127.0.0.1:15001",
        handle=handle,
        data_dir="/d/node1",
        log_dir=None,
        verbs=topology.container_verbs("x"),
    )
    sim = topology.Sim("wk-sim", "localhost", "http://127.0.0.1:19091/status", handle)
    return topology.Topology("compose", "wktriage", "/d", (node,), sim)


class Tagged(str):
    """Text that came through Ansible."""


def test_what_came_through_ansible_is_written_as_plain_text() -> None:
    stack = msgspec.structs.replace(sample(), project=Tagged("wktriage"))
    assert stack.as_dict() == sample().as_dict()
    assert type(stack.as_dict()["project"]) is str


def test_round_trip(tmp_path: Path) -> None:
    sample().write(tmp_path / "topology.json")
    assert topology.load(tmp_path / "topology.json") == sample()


@pytest.mark.parametrize("change", [{"schema_version": 2}, {"nodes": [{"name": "x"}]}])
def test_what_is_no_topology_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    file = tmp_path / "topology.json"
    file.write_text(json.dumps({**sample().as_dict(), **change}))
    with pytest.raises(InfraError, match=r"topology\.json: at /"):
        topology.load(file)


def test_every_verb_acts_on_the_container() -> None:
    verbs = topology.container_verbs("abc")
    assert set(verbs) == {"pause", "unpause", "kill", "stop", "start", "restart", "logs"}
    assert all(argv[0] == "docker" and argv[-1] == "abc" for argv in verbs.values())

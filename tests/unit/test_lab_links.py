"""Links that the lab caps, delays and severs; descriptors and ports that it takes."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.labfakes import topology

from wktriage.core import topology as topologies
from wktriage.core.errors import InfraError
from wktriage.core.topology import Node
from wktriage.lab import delay_proxy, faults, tally
from wktriage.lab.actions.dispatcher import Actions

DEVICES = "Inter-|\n face |\n    lo: 1\n  eth0: 2\n"
CLASS = "class htb 1:1 root prio 0 rate 300Kbit\n Sent 9 bytes 1 pkt (dropped 0, overlimits {} x)\n"
RANGE = "32768\t60999\n"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return topologies.load(topology(tmp_path, "http://127.0.0.1:1/status")).nodes[0]


class Machine:
    """Answers the commands that actions run, and remembers those that change something."""

    def __init__(self) -> None:
        self.pid, self.overlimits, self.established = "42", 0, "0 0 a:5100 b:1\n0 0 a:5100 b:2\n"
        self.qdisc = "qdisc noqueue 0: root"
        self.changed: list[str] = []

    def run(self, argv: list[str], **_more: object) -> str:
        if argv[0] == "docker":
            return self.pid
        assert argv[:4] == ["nsenter", "-t", self.pid, "-n"]
        text = " ".join(argv[4:])
        answers = {
            "cat /proc/self/net/dev": DEVICES,
            "cat /proc/sys/net/ipv4/ip_local_port_range": RANGE,
            "tc qdisc show dev eth0": self.qdisc,
            "tc -s class show dev eth0": CLASS.format(self.overlimits),
        }
        if text in answers:
            return answers[text]
        self.changed.append(text)
        return self.established if text.startswith("ss ") else ""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr("wktriage.lab.actions.commands.run", made.run)
    return made


def test_a_cap_of_one_port_leaves_the_others_alone_and_is_removed_whole(
    node: Node, machine: Machine
) -> None:
    actions = Actions(None)
    actions.perform("cap_link", {"rate_kbit": 300, "port": 7000}, [node])
    assert machine.changed[0] == "tc qdisc add dev eth0 root handle 1: htb default 2"
    assert "classid 1:1 htb rate 300kbit ceil 300kbit" in machine.changed[1]
    assert [c.rpartition(" match ")[2] for c in machine.changed[3:]] == [
        "ip dport 7000 0xffff flowid 1:1", "ip sport 7000 0xffff flowid 1:1"
    ]  # fmt: skip
    machine.changed.clear()
    actions.perform("uncap_link", {}, [node])
    assert machine.changed == []  # another queueing discipline than ours stays
    machine.qdisc = "qdisc htb 1: root refcnt 3"
    actions.perform("uncap_link", {}, [node])
    assert machine.changed == ["tc qdisc del dev eth0 root"]


def test_a_cap_that_nothing_waited_for_took_no_effect(node: Node, machine: Machine) -> None:
    actions = Actions(None)
    problem = "wk-node1 never sent as much as its link may carry"
    assert actions.check("capped", {}, [node]) == [problem]
    machine.overlimits = 3
    assert actions.check("capped", {}, [node]) == []


def test_connections_are_severed_when_there_are_some(node: Node, machine: Machine) -> None:
    actions = Actions(None)
    actions.perform("sever", {"port": 5100}, [node])
    assert machine.changed[0].startswith("ss -K ")
    assert "( sport = :5100 or dport = :5100 )" in machine.changed[0]
    assert actions.check("severed", {}, [node]) == []
    machine.established = ""
    actions.perform("sever", {"port": 5100}, [node])
    assert actions.check("severed", {}, [node]) == [
        "wk-node1 had no connection that could be destroyed"
    ]


def test_ports_are_given_back_as_they_were(node: Node, machine: Machine) -> None:
    actions = Actions(None)
    actions.perform("port_range", {"ports": 40}, [node])
    actions.perform("port_range_off", {}, [node])
    actions.perform("port_range_off", {}, [node])
    assert [c.rpartition("range ")[2] for c in machine.changed] == ["40000 40039", RANGE.strip()]


def test_nothing_is_done_to_this_machine_for_a_target_that_has_ended(
    node: Node, machine: Machine
) -> None:
    machine.pid = "0"
    actions = Actions(None)
    for do, arguments in (
        ("cap_link", {"rate_kbit": 1}), ("sever", {"port": 1}), ("port_range", {"ports": 1}),
        ("delay_link", {"port": 1, "delay_ms": 1}),
    ):  # fmt: skip
        with pytest.raises(InfraError, match="no process"):
            actions.perform(do, arguments, [node])
    assert machine.changed == []


@pytest.fixture
def sleeper() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process.pid
    process.kill()
    process.wait()


def test_descriptors_are_taken_and_given_back(
    node: Node, sleeper: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = tmp_path / "cgroup.procs"
    group.write_text(f"{sleeper}\n")
    monkeypatch.setattr("wktriage.lab.actions.descriptors.control_group", lambda *_: group)
    monkeypatch.setattr(
        "wktriage.lab.actions.commands.not_said", lambda target, text: f"{target.name}: {text}"
    )
    before = resource.prlimit(sleeper, resource.RLIMIT_NOFILE)
    actions = Actions(None)
    actions.perform("limit_descriptors", {"count": 90}, [node])
    assert resource.prlimit(sleeper, resource.RLIMIT_NOFILE) == (90, before[1])
    assert actions.check("descriptors_exhausted", {}, [node]) == ["wk-node1: too many open files"]
    actions.perform("limit_descriptors", {"count": 2}, [node])
    assert actions.check("descriptors_exhausted", {}, [node]) == []
    actions.perform("unlimit_descriptors", {}, [node])
    assert resource.prlimit(sleeper, resource.RLIMIT_NOFILE) == before


def test_the_proxy_hands_on_all_of_it_and_later(monkeypatch: pytest.MonkeyPatch) -> None:
    delay, payload = 0.08, os.urandom(300_000)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(len(payload)))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def scenario() -> tuple[bytes, float]:
        async with await asyncio.start_server(echo, "127.0.0.1", 0) as far:
            port = far.sockets[0].getsockname()[1]
            monkeypatch.setattr(delay_proxy, "original_destination", lambda _c: ("127.0.0.1", port))
            monkeypatch.setattr(delay_proxy.socket, "SO_MARK", delay_proxy.socket.SO_REUSEADDR)
            async with await delay_proxy.listen(0, delay, 1) as near:
                began = time.monotonic()
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", near.sockets[0].getsockname()[1]
                )
                writer.write(payload)
                answer = await asyncio.wait_for(reader.read(-1), 10)
                seconds = time.monotonic() - began
                writer.close()
                await writer.wait_closed()
        # The server's own ends close in the turns that follow.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait_for(asyncio.gather(*others, return_exceptions=True), 10)
        return answer, seconds

    answer, seconds = asyncio.run(scenario())
    assert answer == payload
    assert seconds >= 2 * delay


def test_how_often_injections_took_hold_is_counted(tmp_path: Path) -> None:
    assert tally.table(tmp_path) == []
    runs = [("a", True, "send_path"), ("a", True, "healthy"), ("a", False, None), ("b", True, None)]
    for fault, held, label in runs:
        tally.add(tmp_path, {"fault": fault, "took_hold": held, "label": label})
    with (tmp_path / tally.FILE).open("a") as file:
        file.write("torn\n" + json.dumps({"fault": 3}) + "\n")
    head = ["fault", "runs", "took hold", "felt"]
    assert tally.table(tmp_path) == [head, ["a", "3", "2", "1"], ["b", "1", "1", "0"]]
    assert tally.table(tmp_path, "b") == [head, ["b", "1", "1", "0"]]


@pytest.mark.parametrize("name", faults.names())
def test_what_a_fault_does_it_undoes(name: str) -> None:
    """What ends with its container, or by itself, needs no healing."""
    undone = {
        "cap_link": "uncap_link", "delay_link": "undelay_link", "port_range": "port_range_off",
        "limit_descriptors": "unlimit_descriptors", "firewall": "firewall_off", "fill": "unfill",
        "firewall_cycle": "firewall_off", "part": "firewall_off", "stick": "unstick",
        "throttle_writes": "throttle_writes", "update": "update", "disconnect": "reconnect",
    }  # fmt: skip
    fault = faults.load(name)
    healed = {step.do for step in fault.heal}
    assert {undone[step.do] for step in fault.inject if step.do in undone} <= healed

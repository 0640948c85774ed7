"""Links in real network namespaces: what the lab does there works, and nothing of it stays."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.labfakes import topology

from wktriage.core import topology as topologies
from wktriage.core.topology import Node
from wktriage.lab.actions import commands
from wktriage.lab.actions.dispatcher import Actions

NEEDED = ("unshare", "nsenter", "ip", "tc", "iptables", "ss")
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or any(shutil.which(tool) is None for tool in NEEDED),
    reason="needs root and " + ", ".join(NEEDED),
)
SERVER = """
import socket, threading
server = socket.create_server(("0.0.0.0", 7000))
print("ready", flush=True)
def echo(connection):
    try:
        while data := connection.recv(65536):
            connection.sendall(data)
    except OSError:
        pass
while True:
    threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()
"""
CLIENT = """
import socket, sys, time
size = int(sys.argv[1])
began = time.monotonic()
connection = socket.create_connection(("10.99.0.1", 7000), timeout=5)
connection.sendall(b"x" * size)
while size > 0:
    data = connection.recv(65536)
    if not data:
        sys.exit("the connection ended early")
    size -= len(data)
print(time.monotonic() - began, flush=True)
sys.stdin.readline()
try:
    connection.sendall(b"x")
    print(connection.recv(1))
except OSError as error:
    print(type(error).__name__)
"""


class Pair:
    """A server at 10.99.0.1 and whoever asks it, each in a namespace of its own."""

    def __init__(self) -> None:
        sleep = ["unshare", "-n", "sleep", "60"]
        self.server, self.client = (subprocess.Popen(sleep) for _ in range(2))
        own = Path("/proc/self/ns/net").readlink()
        deadline = time.monotonic() + 10
        for process in (self.server, self.client):
            while Path(f"/proc/{process.pid}/ns/net").readlink() == own:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        link = ("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
        self.inside(self.server, *link)
        self.inside(self.server, *f"ip link set eth1 netns {self.client.pid}".split())
        for process, device, address in (
            (self.server, "eth0", "10.99.0.1/24"), (self.client, "eth1", "10.99.0.2/24")
        ):  # fmt: skip
            self.inside(process, *f"ip addr add {address} dev {device}".split())
            self.inside(process, *f"ip link set {device} up".split())
            self.inside(process, "ip", "link", "set", "lo", "up")
        self.echo = self.start(self.server, SERVER)
        assert self.echo.stdout is not None
        assert self.echo.stdout.readline() == "ready\n"

    def inside(self, where: subprocess.Popen[bytes], *argv: str) -> str:
        return commands.run(["nsenter", "-t", str(where.pid), "-n", *argv])

    def start(self, where: subprocess.Popen[bytes], *code: str) -> subprocess.Popen[str]:
        argv = ["nsenter", "-t", str(where.pid), "-n", sys.executable, "-c", *code]
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def asked(self, size: int) -> tuple[subprocess.Popen[str], float]:
        """Return a client that has had ``size`` bytes sent back, and the seconds it took."""
        client = self.start(self.client, CLIENT, str(size))
        assert client.stdout is not None
        return client, float(client.stdout.readline())

    def took(self, size: int) -> float:
        client, seconds = self.asked(size)
        client.communicate("\n", timeout=10)
        return seconds

    def traces(self) -> str:
        """Return everything that the lab could leave in the server's namespace."""
        kept = (self.inside(self.server, *words) for words in (
            ("tc", "qdisc"), ("iptables", "-S"), ("iptables", "-t", "nat", "-S"),
            ("cat", "/proc/sys/net/ipv4/ip_local_port_range"),
        ))  # fmt: skip
        return "".join(kept)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    for process in (made.echo, made.server, made.client):
        process.kill()
        process.communicate()


@pytest.fixture
def node(tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    monkeypatch.setattr(commands, "process_id", lambda _target: str(pair.server.pid))
    before = pair.traces()
    yield topologies.load(topology(tmp_path, "http://127.0.0.1:1/status")).nodes[0]
    assert pair.traces() == before


def test_a_capped_port_carries_no_more_than_that(node: Node, pair: Pair) -> None:
    actions = Actions(None)
    actions.perform("cap_link", {"rate_kbit": 800, "port": 7000}, [node])
    assert actions.check("capped", {}, [node]) != []
    assert pair.took(100_000) > 0.5  # 800 kbit at 800 kbit/s, less the burst
    assert actions.check("capped", {}, [node]) == []
    actions.perform("uncap_link", {}, [node])


def test_a_delayed_link_takes_that_much_longer_both_ways(node: Node, pair: Pair) -> None:
    actions = Actions(None)
    actions.perform("delay_link", {"port": 7000, "delay_ms": 100}, [node])
    assert actions.check("delayed", {}, [node]) != []
    assert pair.took(100_000) > 0.2
    assert actions.check("delayed", {}, [node]) == []
    actions.perform("undelay_link", {}, [node])
    assert pair.took(10) < 0.2


def test_severed_connections_are_gone_and_new_ones_are_not(node: Node, pair: Pair) -> None:
    actions = Actions(None)
    client, _ = pair.asked(10)
    actions.perform("sever", {"port": 7000}, [node])
    assert actions.check("severed", {}, [node]) == []
    assert client.communicate("\n", timeout=10)[0].strip() == "ConnectionResetError"
    assert pair.took(10) < 1


def test_ports_are_those_of_the_target_and_come_back(node: Node, pair: Pair) -> None:
    own = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    actions = Actions(None)
    actions.perform("port_range", {"ports": 40}, [node])
    assert "40000\t40039" in pair.traces()
    assert Path("/proc/sys/net/ipv4/ip_local_port_range").read_text() == own
    actions.perform("port_range_off", {}, [node])

"""Faults of processes: done on the host of each, with its own ports, and undone."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace

from wktriage.core.errors import UsageError
from wktriage.core.topology import Handle, Node
from wktriage.lab.actions import commands
from wktriage.lab.actions.dispatcher import Actions


def node(number: int, address: str | None = None) -> Node:
    verbs = (
        "pause",
        "unpause",
        "restart",
        "state",
        "cpus",
        "descriptors",
        "writes",
        "fill",
        "unfill",
    )
    port = 21000 + 10 * number
    ports = {"api": port, "gateway": port + 1, "websocket": port + 2, "cluster": port + 3}
    return Node(
        name=f"wk-node{number}",
        id=number,
        host=f"n{number}",
        api_url=f"http://{address or f'10.0.0.{number}'}:{port}",
        handle=Handle(kind="process", ports=ports),
        data_dir=None,
        log_dir=None,
        verbs={verb: ["py", verb, f"/srv/wk-node{number}"] for verb in verbs},
    )


class Hosts:
    """Notes what is asked of which host."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.state: dict[str, object] = {"state": "running", "started": "1@1", "cpus": None}
        self.state.update(descriptors=1024, open=38, writes="", filled_mb_left=None)

    def __call__(self, host: str, argv: Sequence[str]) -> str:
        self.asked.append((host, " ".join(argv)))
        return json.dumps(self.state) if argv[1] == "state" else ""

    def rules(self) -> list[tuple[str, str]]:
        return [(host, text.partition(" -A ")[2]) for host, text in self.asked if " -A " in text]


def test_verbs_are_done_on_the_host_of_each() -> None:
    hosts = Hosts()
    Actions(None, hosts).perform("verb", {"verb": "pause"}, [node(1), node(2)])
    assert hosts.asked == [("n1", "py pause /srv/wk-node1"), ("n2", "py pause /srv/wk-node2")]


def test_limits_are_numbers_for_the_host_and_read_back() -> None:
    hosts = Hosts()
    actions = Actions(None, hosts)
    actions.perform("update", {"cpus": 0.2}, [node(1)])
    actions.perform("limit_descriptors", {"count": 40}, [node(1)])
    actions.perform("unlimit_descriptors", {}, [node(1)])
    assert [text for _, text in hosts.asked if "state" not in text] == [
        "py cpus /srv/wk-node1 0.2",
        "py descriptors /srv/wk-node1 40",
        "py descriptors /srv/wk-node1 0",
    ]
    assert actions.check("limited", {"cpus": 0.2}, [node(1)]) == ["wk-node1 has all CPUs"]
    assert actions.check("descriptors_exhausted", {}, [node(1)]) != []
    hosts.state.update(cpus=0.2, descriptors=38)
    assert actions.check("limited", {"cpus": 0.2}, [node(1)]) == []
    assert actions.check("descriptors_exhausted", {}, [node(1)]) == []
    with pytest.raises(UsageError, match="only its CPU can be limited"):
        actions.perform("update", {"memory": "8g"}, [node(1)])


def test_a_slow_volume_is_the_disk_of_the_targets_own_data() -> None:
    hosts = Hosts()
    actions = Actions(None, hosts)
    target = replace(node(1), data_dir="/srv/data/node1")
    actions.perform("throttle_writes", {"iops": 20}, [target])
    assert hosts.asked == [("n1", "py writes /srv/wk-node1 20 /srv/data/node1")]
    assert actions.check("writing_slowly", {"iops": 20}, [target]) != []
    hosts.state.update(writes="8:0 20")
    assert actions.check("writing_slowly", {"iops": 20}, [target]) == []
    with pytest.raises(UsageError, match="keeps no data"):
        actions.perform("throttle_writes", {"iops": 20}, [node(1)])


def test_a_volume_is_filled_once_on_each_host_that_keeps_data() -> None:
    hosts = Hosts()
    nodes = [replace(node(n), data_dir=f"/srv/data/node{n}") for n in (1, 2)]
    beside = replace(node(3), host="n1", data_dir="/srv/data/node3")
    actions = Actions(None, hosts, [beside, *nodes])
    actions.perform("fill", {"leave_mb": 1.0}, [])
    assert sorted(hosts.asked) == [
        ("n1", "py fill /srv/wk-node1 1.0 /srv/data/node1"),
        ("n2", "py fill /srv/wk-node2 1.0 /srv/data/node2"),
    ]
    assert actions.check("full", {"leave_mb": 1.0}, []) == ["the volume of n1, n2 has space"]
    hosts.state.update(filled_mb_left=1.2)
    assert actions.check("full", {"leave_mb": 1.0}, []) == []
    actions.perform("unfill", {}, [])
    assert hosts.asked[-1] == ("n2", "py unfill /srv/wk-node2")


def test_what_is_connected_to_a_port_of_the_process_is_severed() -> None:
    hosts = Hosts()
    actions = Actions(None, hosts)
    actions.perform("sever", {"port": 7000}, [node(1)])
    assert hosts.asked[0][1].startswith("ss -K")
    assert hosts.asked[0][1].endswith("( sport = :21013 )")
    assert actions.check("severed", {}, [node(1)]) == [
        "wk-node1 had no connection that could be destroyed"
    ]


@pytest.mark.parametrize("kind", ["actions", "checks"])
def test_what_can_be_done_to_processes_takes_the_arguments_of_the_fault_files(kind: str) -> None:
    actions = Actions(None, Hosts())
    for name, performed in getattr(actions, f"process_{kind}").items():
        assert parameters(performed) == parameters(getattr(actions, kind)[name]), name


def parameters(perform: Callable[..., object]) -> list[str]:
    wrapped = inspect.getclosurevars(perform).nonlocals
    inner = wrapped.get("action") or wrapped.get("check") or perform
    names = inspect.signature(inner).parameters
    return [name for name in names if name.lstrip("_") not in ("target", "targets")]


def test_a_restart_is_told_by_what_has_begun_since() -> None:
    hosts = Hosts()
    actions = Actions(None, hosts)
    actions.remember([node(1)])
    assert actions.check("restarted", {}, [node(1)]) == ["wk-node1 did not restart"]
    hosts.state.update(started="2@7")
    assert actions.check("restarted", {}, [node(1)]) == []


def test_rules_name_the_ports_of_the_process() -> None:
    hosts = Hosts()
    rule = ["-p", "tcp", "--dport", "7000", "-j", "DROP"]
    Actions(None, hosts).perform("firewall", {"rule": rule}, [node(2)])
    assert hosts.rules() == [("n2", "WKTRIAGE-wk-node2 -p tcp --dport 21023 -j DROP")]
    with pytest.raises(UsageError, match="nothing that listens at 9000"):
        Actions(None, hosts).perform("firewall", {"rule": ["--dport", "9000"]}, [node(2)])


def test_a_partition_needs_addresses_that_differ() -> None:
    hosts = Hosts()
    Actions(None, hosts).perform("part", {"port": 7000}, [node(1), node(2)])
    assert hosts.rules() == [
        ("n1", "WKTRIAGE-wk-node1 -s 10.0.0.2 -p tcp --dport 21013 -j DROP"),
        ("n2", "WKTRIAGE-wk-node2 -s 10.0.0.1 -p tcp --dport 21023 -j DROP"),
    ]
    one_machine = [node(1, "127.0.0.1"), node(2, "127.0.0.1")]
    with pytest.raises(UsageError, match="a host for each node"):
        Actions(None, hosts).perform("part", {"port": 7000}, one_machine)


def test_what_loads_this_machine_is_refused_when_the_stack_is_elsewhere() -> None:
    hog = {"kind": "cpu", "count": 1, "seconds": 60}
    with pytest.raises(UsageError, match="the stack is on others"):
        Actions(None, Hosts(), [node(1)]).perform("hog", hog, [])
    here = Actions(None, lambda _host, argv: commands.run(argv), [node(1)])
    here.perform("hog", hog, [])
    here.perform("end_hogs", {}, [])


def test_what_only_containers_have_is_refused_before_anything_is_done() -> None:
    hosts = Hosts()
    with pytest.raises(UsageError, match="disconnect can't be done to processes"):
        Actions(None, hosts).perform("disconnect", {}, [node(1)])
    assert hosts.asked == []

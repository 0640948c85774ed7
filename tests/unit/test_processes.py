"""The processes driver: what is asked, where it runs, and what the topology says of it."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from wktriage.core import schemas
from wktriage.core.errors import InfraError, UsageError
from wktriage.request.request import Request, StackHost, from_dict
from wktriage.stack import drivers
from wktriage.stack.driver import Findings, Site
from wktriage.stack.processes import config, placement
from wktriage.stack.processes.placement import Layout, NodePlace

DRIVER = drivers.named("processes")
BENCHMARK = {"wk_benchmark_host": True}


def here(**settings: Any) -> list[StackHost]:
    """This machine alone."""
    return [StackHost("localhost", "127.0.0.1", True, frozenset(), BENCHMARK | settings)]


def remote(nodes: int, *, address: str = "10.0.0.{}") -> list[StackHost]:
    """One node a host, the simulator and foreign load on hosts of their own."""
    hosts = [
        StackHost(f"n{n}", address.format(n), False, frozenset({"wk_stack", "wk_nodes"}), BENCHMARK)
        for n in range(1, nodes + 1)
    ]
    sim = StackHost("sim", "10.0.0.100", False, frozenset({"wk_stack", "wk_sim"}), BENCHMARK)
    load = StackHost("load", "10.0.0.101", False, frozenset({"wk_stack", "wk_load"}))
    return [*hosts, sim, load]


@pytest.fixture
def binaries(tmp_path: Path) -> dict[str, str]:
    files = {}
    for name in ("wukongim", "wkbench"):
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\n# {name}\n")
        file.chmod(0o755)
        files[f"{name}_binary"] = str(file)
    return files


def ask(tmp_path: Path, hosts: list[StackHost], needs_stack: bool = True, **raw: Any) -> Request:
    request = drivers.check_request(
        raw,
        driver="processes",
        benchmark_host=True,
        root=tmp_path,
        needs_stack=needs_stack,
        hosts=hosts,
    )
    assert from_dict(request.as_dict()) == request
    return request


def report(**values: Any) -> dict[str, Any]:
    return {"programs": {}, "data_bytes_at_start": 0, "program": "/p.py", "python": "py3", **values}


# --- placement ------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 5, 50])
def test_any_number_of_nodes_on_one_machine_has_ports_of_its_own(count: int) -> None:
    placed = placement.layout(here(wk_node_count=count))
    assert [node.id for node in placed.nodes] == list(range(1, count + 1))
    assert len(placed.ports()) == 4 * count + 1
    assert max(placed.ports()) < 32768, "outgoing connections take ports from there"


def test_one_node_a_host_and_the_simulator_on_its_own() -> None:
    placed = placement.layout(remote(5))
    assert [(node.host, node.port) for node in placed.nodes] == [
        (f"n{n}", placement.FIRST_PORT + 10) for n in range(1, 6)
    ]
    assert placed.sim.host == "sim"
    assert "load" not in placed.hosts
    assert placed.ports("sim") == [placement.FIRST_PORT]
    assert Layout.of(placed.as_dict()) == placed


def test_a_name_is_not_bound() -> None:
    named = placement.layout(remote(1, address="node{}.bench.example")).nodes[0]
    assert (named.listen, named.address) == ("0.0.0.0", "node1.bench.example")
    literal = placement.layout(remote(1)).nodes[0]
    assert literal.listen == literal.address == "10.0.0.1"


@pytest.mark.parametrize(
    ("hosts", "says"),
    [
        ([], "group wk_stack is empty"),
        (here(wk_node_count=0), "host localhost: wk_node_count=0 must be a whole number"),
        (here(wk_node_count="many"), "wk_node_count='many'"),
        (here(wk_node_count=True), "wk_node_count=True"),
        (here(wk_first_port=65000), "wk_first_port=65000"),
        ([*remote(1), replace(remote(1)[1], name="sim2")], "wk_sim has sim, sim2: one host"),
    ],
)
def test_what_cannot_be_placed_is_said(hosts: list[StackHost], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        placement.layout(hosts)


# --- configuration --------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "replicas"), [(1, 1), (2, 2), (3, 3), (5, 3)])
def test_a_node_configuration_is_whole_for_any_number_of_nodes(count: int, replicas: int) -> None:
    placed = placement.layout(here(wk_node_count=count))
    listeners = set()
    for node in placed.nodes:
        document = tomllib.loads(config.node_config(placed, node, "/data"))
        assert document["node"] == {"id": node.id, "data_dir": f"/data/node{node.id}"}
        peers = {peer["id"]: peer["addr"] for peer in document["cluster"]["nodes"]}
        assert peers[node.id] == document["cluster"]["listen_addr"]
        assert len(peers) == count
        assert document["cluster"]["slot_replica_n"] == replicas
        assert document["log"]["dir"].startswith(document["node"]["data_dir"])
        listeners |= {document["api"]["listen_addr"], document["cluster"]["listen_addr"]}
        listeners |= {listener["address"] for listener in document["gateway"]["listeners"]}
    assert len(listeners) == 4 * count


def test_what_is_odd_in_a_path_stays_a_string() -> None:
    placed = placement.layout(here())
    odd = '/a "quoted" \\ {{ path }}'
    document = tomllib.loads(config.node_config(placed, placed.nodes[0], odd))
    assert document["node"]["data_dir"] == f"{odd}/node1"


def test_the_simulator_knows_every_node() -> None:
    placed = placement.layout(remote(5))
    document = yaml.safe_load(config.sim_config(placed, 40))
    assert document["target"]["api_addrs"] == [node.url for node in placed.nodes]
    assert len(document["target"]["gateway_tcp_addrs"]) == 5
    assert document["online"]["connect_rate"] == "40/s"
    assert yaml.safe_load(config.sim_config(placed, None))["online"]["connect_rate"] == "10/s"


# --- what is asked --------------------------------------------------------------------------


def test_both_binaries_are_needed(tmp_path: Path, binaries: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="no wukongim binary: add -e wukongim_binary=FILE"):
        ask(tmp_path, here())
    with pytest.raises(UsageError, match="no wkbench binary"):
        ask(tmp_path, here(), wukongim_binary=binaries["wukongim_binary"])
    Path(binaries["wkbench_binary"]).chmod(0o644)
    with pytest.raises(UsageError, match=r"wkbench_binary .* may not be executed: chmod \+x"):
        ask(tmp_path, here(), **binaries)
    binaries["wkbench_binary"] = "host:relative"
    with pytest.raises(UsageError, match="needs its whole path"):
        ask(tmp_path, here(), **binaries)


def test_a_checkout_is_of_another_inventory(tmp_path: Path, binaries: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="only for the compose inventory"):
        ask(tmp_path, here(), wukongim_checkout="/x", **binaries)


@pytest.mark.parametrize("mode", ["clean", "accumulated"])
@pytest.mark.parametrize("flag", [False, None, "true", 1])
def test_a_host_that_is_no_benchmark_host_is_neither_loaded_nor_emptied(
    tmp_path: Path, binaries: dict[str, str], flag: Any, mode: str
) -> None:
    hosts = remote(3)
    hosts[1] = replace(hosts[1], settings={"wk_benchmark_host": flag})
    with pytest.raises(UsageError, match="does not declare n2 a benchmark host"):
        ask(tmp_path, hosts, mode=mode, **binaries)


def test_local_data_without_a_marker_is_refused(tmp_path: Path, binaries: dict[str, str]) -> None:
    (tmp_path / ".data").mkdir()
    (tmp_path / ".data" / "precious").touch()
    with pytest.raises(UsageError, match="mode=clean will not empty"):
        ask(tmp_path, here(), mode="clean", **binaries)
    assert ask(tmp_path, here(), mode="accumulated", **binaries)


def test_tearing_down_needs_no_binaries(tmp_path: Path) -> None:
    request = ask(tmp_path, here(), needs_stack=False)
    assert DRIVER.ports(request) == []


def test_who_holds_a_port_is_named_with_its_host(tmp_path: Path, binaries: dict[str, str]) -> None:
    request = ask(tmp_path, remote(2), **binaries)
    assert placement.FIRST_PORT in DRIVER.ports(request)
    findings = Findings()
    first = str(placement.FIRST_PORT)
    taken = {
        "sim": {},
        "n1": {first: "pid 7 (nginx)"},  # the simulator's, which runs elsewhere
        "n2": {str(int(first) + 10): "pid 8 (java)", str(int(first) + 11): "pid 8 (java)"},
    }
    probes = {host: {"taken": ports} for host, ports in taken.items()}
    DRIVER.preflight(request, probes, findings)
    assert [str(error) for error in findings.errors] == [
        "n2: ports 21010, 21011 are held by pid 8 (java): end it, or set wk_first_port there"
    ]


def test_a_data_root_that_is_not_ours_is_refused_before_anything_is_created(
    tmp_path: Path, binaries: dict[str, str]
) -> None:
    problem = "data_root /srv/data holds files but no marker"
    findings = Findings()
    probes = {host: {"taken": {}, "data_root_problem": problem} for host in ("n1", "n2", "sim")}
    DRIVER.preflight(ask(tmp_path, remote(2), **binaries), probes, findings)
    # The simulator's host keeps no data, and its directories are nobody's business.
    assert [str(error) for error in findings.errors] == [f"n1: {problem}", f"n2: {problem}"]


def test_a_host_that_told_nothing_stops_the_run(tmp_path: Path, binaries: dict[str, str]) -> None:
    findings = Findings()
    probes = {"n1": {"taken": {}}}
    DRIVER.preflight(ask(tmp_path, remote(2), **binaries), probes, findings)
    assert [str(error) for error in findings.errors] == [
        "n2, sim could not be reached: see what SSH said above"
    ]


# --- plan, identity, topology ---------------------------------------------------------------


def test_each_host_is_told_its_own_part(tmp_path: Path, binaries: dict[str, str]) -> None:
    request = ask(tmp_path, remote(2), node_env={"WK_LOG_LEVEL": "debug"}, **binaries)
    plan = DRIVER.place(request, Site(tmp_path / "work", sim_env={"WK_SIM_USERS": "40"}))
    assert {host: plan["nodes"][host] for host in ("n1", "n2", "sim")} == {
        "n1": ["wk-node1"],
        "n2": ["wk-node2"],
        "sim": [],
    }
    assert plan["sim"] == {"sim": ["wk-sim"]}
    (node,) = plan["hosts"]["n2"]["processes"]
    (copied, _) = plan["copies"]
    assert node["argv"] == [copied["to"], "-config", "wukongim.toml"]
    # Other code lies elsewhere, so that what is there need not be copied again.
    assert copied["to"].endswith(f"/.binaries/{node['program']['sha256']}/wukongim")
    assert node["env"] == {"WK_LOG_LEVEL": "debug"}
    (sim,) = plan["hosts"]["sim"]["processes"]
    assert sim["env"] == {"WK_SIM_USERS": "40"}
    assert sim["data"] is None
    assert [(copy["to"].rpartition("/")[2], copy["hosts"]) for copy in plan["copies"]] == [
        ("wukongim", ["n1", "n2"]),
        ("wkbench", ["sim"]),
    ]


def test_this_machine_runs_the_binaries_where_they_are(
    tmp_path: Path, binaries: dict[str, str]
) -> None:
    plan = DRIVER.place(ask(tmp_path, here(), **binaries), Site(tmp_path / "work"))
    assert plan["copies"] == []
    files = {process["argv"][0] for process in plan["hosts"]["localhost"]["processes"]}
    assert files == set(binaries.values())


def test_the_identity_follows_binaries_and_cluster_and_not_the_place_of_data(
    tmp_path: Path, binaries: dict[str, str]
) -> None:
    site = Site(tmp_path / "work")

    def identity(count: int = 3, **raw: Any) -> tuple[str, str]:
        request = ask(tmp_path, here(wk_node_count=count), **binaries, **raw)
        known = DRIVER.identify(request, site)
        return known["image_digest"], known["node_config_sha256"]

    before = identity()
    assert identity(data_root=str(tmp_path / "elsewhere")) == before
    assert identity(count=5)[0] == before[0]
    assert identity(count=5)[1] != before[1]
    Path(binaries["wkbench_binary"]).write_text("#!/bin/sh\n# another\n")
    assert identity()[0] != before[0]


def test_binaries_on_the_hosts_are_told_by_them(tmp_path: Path) -> None:
    on_hosts = {"wukongim_binary": "host:/opt/wukongim", "wkbench_binary": "host:/opt/wkbench"}
    request = ask(tmp_path, remote(2), **on_hosts)
    plan = DRIVER.place(request, Site(tmp_path / "work"))
    assert (plan["copies"], plan["on_hosts"]) == ([], ["/opt/wukongim", "/opt/wkbench"])

    def identify(**by_host: dict[str, str | None]) -> dict[str, Any]:
        reports = {host: {"programs": programs} for host, programs in by_host.items()}
        return DRIVER.identify(request, Site(tmp_path / "work", reports=reports))

    same = {"/opt/wukongim": "a" * 64, "/opt/wkbench": "b" * 64}
    assert identify(n1=same, n2=same)["binaries"] == {"wukongim": "a" * 64, "wkbench": "b" * 64}
    with pytest.raises(InfraError, match="n2: there is no wukongim at /opt/wukongim"):
        identify(n1=same, n2=same | {"/opt/wukongim": None})
    with pytest.raises(InfraError, match="not the same file on all hosts"):
        identify(n1=same, n2=same | {"/opt/wukongim": "c" * 64})


def test_the_topology_names_every_process_and_its_verbs(
    tmp_path: Path, binaries: dict[str, str]
) -> None:
    request = ask(tmp_path, remote(5), **binaries)
    work = tmp_path / "work"
    work.mkdir()
    hosts = Layout.of(request.own["layout"]).hosts
    site = Site(work, reports={host: report(data_bytes_at_start=7) for host in hosts})
    known = DRIVER.create(request, site)
    assert (known["data_bytes_at_start"], known["mode_measured"]) == (42, "accumulated")
    document = yaml.safe_load((work / "topology.json").read_text())
    schemas.validate("topology", document)
    assert [node["host"] for node in document["nodes"]] == [f"n{n}" for n in range(1, 6)]
    node = document["nodes"][4]
    own = f"{tmp_path}/runs/.processes/wktriage/wk-node5"
    assert node["handle"]["kind"] == "process"
    assert node["handle"]["pid_file"] == f"{own}/pid"
    assert node["handle"]["log_file"] == f"{own}/output.log"
    assert node["verbs"]["pause"] == ["py3", "/p.py", "pause", own]
    assert document["sim"]["status_url"] == "http://10.0.0.100:21000/status"
    assert set(document["sim"]["verbs"]) == set(node["verbs"])


def test_a_host_that_made_nothing_is_named(tmp_path: Path, binaries: dict[str, str]) -> None:
    request = ask(tmp_path, remote(2), **binaries)
    refused = {"n1": report(), "sim": {"refused": "/srv/data holds a stranger's files"}}
    with pytest.raises(InfraError, match="sim: /srv/data holds a stranger"):
        DRIVER.create(request, Site(tmp_path / "work", reports=refused))
    reports = {"n1": report(), "sim": report(), "n2": {}}
    with pytest.raises(InfraError, match="n2: no processes were created there"):
        DRIVER.create(request, Site(tmp_path / "work", reports=reports))


def test_a_mode_that_one_host_cannot_tell_is_unknown(
    tmp_path: Path, binaries: dict[str, str]
) -> None:
    request = ask(tmp_path, remote(1), **binaries)
    (tmp_path / "work").mkdir()
    reports = {"n1": report(data_bytes_at_start=None), "sim": report()}
    known = DRIVER.create(request, Site(tmp_path / "work", reports=reports))
    assert (known["data_bytes_at_start"], known["mode_measured"]) == (None, None)


def test_nothing_to_remove_is_no_change(tmp_path: Path) -> None:
    assert not DRIVER.remove("wktriage", tmp_path)


def test_node_places_have_an_address_for_ipv6() -> None:
    place = NodePlace("wk-node1", "n1", "fd00::1", 21010, 1)
    assert place.url == "http://[fd00::1]:21010"
    assert place.listen == "fd00::1"

"""Preflight: each failure names the cause and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.stackfakes import FakeDocker, make_checkout

from wktriage.core.errors import InfraError, UsageError
from wktriage.run import preflight
from wktriage.stack.compose import preflight as compose_preflight
from wktriage.stack.driver import Findings

GIB = 1024**3
DISK = {
    "free_bytes": 50 * GIB,
    "total_bytes": 100 * GIB,
    "filesystem": "ext4",
    "writable": True,
    "inspected": "/srv",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return make_checkout(tmp_path)


def compose(docker: FakeDocker, build: str = "auto") -> Findings:
    found = Findings()
    compose_preflight.check_compose(
        docker, checkout=docker.checkout, project="wktriage", build=build, findings=found
    )
    return found


class Broken(FakeDocker):
    """An engine that fails in one way."""

    def __init__(self, checkout: Path, word: str, says: str) -> None:
        super().__init__(checkout)
        self.word, self.says = word, says

    def run(self, args: Any, **kw: Any) -> str:
        if args[0] == self.word:
            raise InfraError(self.says)
        return super().run(args, **kw)


def test_no_daemon_says_what_to_do(checkout: Path) -> None:
    with pytest.raises(InfraError, match="start Docker Desktop or the docker service"):
        compose(Broken(checkout, "version", "Cannot connect to the Docker daemon"))


def test_no_compose_says_what_to_do(checkout: Path) -> None:
    with pytest.raises(InfraError, match="install the compose v2 plugin"):
        compose(Broken(checkout, "compose", "'compose' is not a docker command"))


def test_a_missing_image_is_built_or_refused(checkout: Path) -> None:
    docker = FakeDocker(checkout, image=None)
    assert "will be built" in compose(docker).notes[0]
    with pytest.raises(UsageError, match="stack_build=never"):
        compose(docker, "never").raise_first()


def test_our_own_stale_stack_is_taken_over_and_foreign_ones_are_not(checkout: Path) -> None:
    docker = FakeDocker(checkout)
    docker.add("wk-node1")
    assert "taken over" in compose(docker).notes[0]
    docker.add("wk-node2", ours=False)
    with pytest.raises(InfraError, match="stack_project=NAME"):
        compose(docker).raise_first()


def bind(docker: FakeDocker, ident: str, port: int) -> None:
    docker.containers[ident]["NetworkSettings"]["Ports"] = {
        "5001/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(port)}]
    }


def test_a_taken_port_names_container_or_process(checkout: Path) -> None:
    docker = FakeDocker(checkout)
    bind(docker, docker.add("wk-node1", "dev", ours=False, Running=True), 15001)
    bind(docker, docker.add("wk-node2", "wktriage", Running=True), 15002)
    found = Findings()
    taken = {"15001": "pid 7 (docker-proxy)", "15002": "pid 8 (docker-proxy)", "19091": "pid 9 (x)"}
    compose_preflight.check_ports(taken, docker, project="wktriage", findings=found)
    said = [str(e) for e in found.errors]
    assert said[0].startswith("port 15001 is held by container dev-wk-node1-1")
    assert "docker compose -p dev stop" in said[0]
    assert said[1].startswith("port 19091 is held by pid 9 (x)")
    assert len(said) == 2


def test_ports_are_those_of_the_services_we_start(checkout: Path) -> None:
    services: dict[str, Any] = {
        "wk-node1": {
            "ports": ["15001:5001", "127.0.0.1:15100:5100/tcp", {"published": "17000"}, "5200"]
        },
        "wk-sim": {"ports": ["19091:19091"]},
        "grafana": {"ports": ["3000:3000"]},
    }
    assert sorted(compose_preflight.host_ports(services)) == [15001, 15100, 17000, 19091]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"free_bytes": GIB}, "1.0 GiB free"),
        ({"writable": False}, "/srv is not writable"),
    ],
)
def test_disk_errors(change: dict[str, Any], says: str) -> None:
    found = Findings()
    preflight.check_disk("h", {**DISK, **change}, path="/srv", findings=found)
    with pytest.raises(InfraError, match=says):
        found.raise_first()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"free_bytes": 8 * GIB}, "only 8 % free"),
        ({"filesystem": "tmpfs"}, "in memory"),
        ({"filesystem": "nfs4"}, "network filesystem"),
    ],
)
def test_disk_warnings_stop_nothing(change: dict[str, Any], says: str) -> None:
    found = Findings()
    preflight.check_disk("h", {**DISK, **change}, path="/srv", findings=found)
    found.raise_first()
    assert says in found.warnings[0]


@pytest.mark.parametrize(
    ("offsets", "uncertainty", "warns"),
    [
        ({"a": 0.0}, 0.0, False),
        ({"a": 3.0}, 0.0, False),
        ({"a": 0.0, "b": 0.4}, 0.0, False),
        ({"a": -0.4, "b": 0.4}, 0.0, True),
        ({"a": -0.4, "b": 0.4}, 0.2, False),
    ],
)
def test_clocks(offsets: dict[str, float], uncertainty: float, warns: bool) -> None:
    found = Findings()
    preflight.check_clocks(offsets, uncertainty=uncertainty, findings=found)
    assert bool(found.warnings) is warns
    assert not found.errors


def test_a_round_lasts_until_the_last_host_has_answered() -> None:
    first, last = {"asked_at": 10.0, "answered_at": 11.0}, {"asked_at": 10.5, "answered_at": 14.0}
    assert preflight.round_seconds([first, last]) == 4.0
    assert preflight.round_seconds([first]) == 0.0


def test_boot_of_all_hosts_or_unknown() -> None:
    assert preflight.boot_id({"a": "x"}) == "x"
    assert preflight.boot_id({"b": "y", "a": "x"}) == "a=x,b=y"
    assert preflight.boot_id({"b": None, "a": "x"}) is None


def test_several_errors_are_one_message() -> None:
    found = Findings(errors=[UsageError("first"), InfraError("second")])
    with pytest.raises(UsageError, match="first; second"):
        found.raise_first()

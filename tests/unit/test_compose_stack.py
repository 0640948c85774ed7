"""The compose driver: states, take-over, build policy, what reaches which container."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.stackfakes import FakeDocker, make_checkout

from wktriage.core import topology
from wktriage.core.errors import InfraError, UsageError
from wktriage.stack.compose.override import SOURCE_LABEL
from wktriage.stack.compose.stack import ComposeStack, Spec, remove


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return make_checkout(tmp_path / "checkout")


def stack(checkout: Path, tmp_path: Path, docker: FakeDocker, **asked: Any) -> ComposeStack:
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    spec = Spec(
        project="wktriage", checkout=checkout, work_dir=work, data_root=tmp_path / "data", **asked
    )
    return ComposeStack(spec, docker)


def test_created_writes_a_topology_that_reads_back(checkout: Path, tmp_path: Path) -> None:
    docker = FakeDocker(checkout)
    facts = stack(checkout, tmp_path, docker).created()
    found = topology.load(tmp_path / "work" / "topology.json")
    assert [n.name for n in found.nodes] == ["wk-node1", "wk-node2", "wk-node3"]
    assert found.nodes[1].api_url == "http://127.0.0.1:15002"
    assert found.nodes[2].log_dir == str(tmp_path / "data" / "node3" / "logs")
    assert found.sim.status_url == "http://127.0.0.1:19091/status"
    assert found.nodes[0].verbs["pause"] == ["docker", "pause", "id-wktriage-wk-node1"]
    assert facts["mode_measured"] == "clean"
    assert not docker.ran("start")


@pytest.mark.parametrize("nodes", [1, 5])
def test_any_number_of_nodes_takes_the_same_path(tmp_path: Path, nodes: int) -> None:
    checkout = make_checkout(tmp_path / "checkout", nodes=nodes)
    docker = FakeDocker(checkout)
    made = stack(checkout, tmp_path, docker)
    made.created()
    assert made.started()
    assert len(topology.load(tmp_path / "work" / "topology.json").nodes) == nodes


def test_all_nodes_start_in_one_command_and_only_once(checkout: Path, tmp_path: Path) -> None:
    docker = FakeDocker(checkout)
    made = stack(checkout, tmp_path, docker)
    made.created()
    assert made.started()
    starts = [c for c in docker.commands if c[0] == "start"]
    assert len(starts) == 1
    assert len(starts[0]) == 4
    assert not made.started()
    assert made.loaded()
    assert not made.loaded()


def test_variables_reach_their_own_side_only(checkout: Path, tmp_path: Path) -> None:
    made = stack(
        checkout,
        tmp_path,
        FakeDocker(checkout),
        node_env={"WK_LOG_LEVEL": "a$b"},
        sim_env={"WK_SIM_USERS": "40"},
    )
    made.identified()
    services = yaml.safe_load(made.override_file.read_text())["services"]
    assert services["wk-node1"]["environment"] == {"WK_LOG_LEVEL": "a$$b"}
    assert services["wk-sim"]["environment"] == {"WK_SIM_USERS": "40"}


def test_no_mount_points_into_the_checkout_but_read_only_ones(
    checkout: Path, tmp_path: Path
) -> None:
    before = sorted(checkout.rglob("*"))
    made = stack(checkout, tmp_path, FakeDocker(checkout))
    made.created()
    services = yaml.safe_load(made.override_file.read_text())["services"]
    for service in services.values():
        for volume in service["volumes"]:
            assert not volume["source"].startswith(str(checkout))
            assert volume["bind"]["create_host_path"] is False
    targets = {v["target"] for v in services["wk-sim"]["volumes"]}
    assert targets == {"/etc/wkbench", "/var/lib/wkbench"}
    assert sorted(checkout.rglob("*")) == before


def test_connect_rate_changes_a_copy(checkout: Path, tmp_path: Path) -> None:
    original = (checkout / "docker/sim/dev-sim.yaml").read_text()
    stack(checkout, tmp_path, FakeDocker(checkout), connect_rate=50).identified()
    copy = yaml.safe_load((tmp_path / "work/sim/dev-sim.yaml").read_text())
    assert copy["online"]["connect_rate"] == "50/s"
    assert copy["status"]["listen"] == "0.0.0.0:19091"
    assert (checkout / "docker/sim/dev-sim.yaml").read_text() == original


@pytest.mark.parametrize(
    ("policy", "image", "built_from", "builds"),
    [
        ("auto", None, None, True),
        ("auto", "sha256:abc", None, False),
        ("auto", "sha256:abc", "some other state", True),
        ("always", "sha256:abc", None, True),
        ("never", "sha256:abc", "some other state", False),
    ],
)
def test_build_policy(
    checkout: Path,
    tmp_path: Path,
    policy: str,
    image: str | None,
    built_from: str | None,
    builds: bool,
) -> None:
    docker = FakeDocker(checkout, image=image)
    if built_from is not None:
        docker.image_labels[SOURCE_LABEL] = built_from
    facts = stack(checkout, tmp_path, docker, build=policy).identified()
    assert docker.ran("compose", "build") is builds
    assert facts["image_built"] is builds


def test_never_without_image_says_what_to_do(checkout: Path, tmp_path: Path) -> None:
    docker = FakeDocker(checkout, image=None)
    with pytest.raises(UsageError, match="stack_build=auto"):
        stack(checkout, tmp_path, docker, build="never").identified()
    assert not docker.ran("compose", "up")


def test_clean_empties_and_accumulated_keeps(checkout: Path, tmp_path: Path) -> None:
    docker = FakeDocker(checkout)
    stack(checkout, tmp_path, docker).created()
    (tmp_path / "data" / "node1" / "messages").mkdir()
    (tmp_path / "data" / "node1" / "messages" / "1.log").write_bytes(b"x" * 10)
    (tmp_path / "data" / "node1" / "logs").mkdir()
    (tmp_path / "data" / "node1" / "logs" / "app.log").write_bytes(b"x" * 99)
    kept = stack(checkout, tmp_path, docker, mode="accumulated").created()
    assert (kept["data_bytes_at_start"], kept["mode_measured"]) == (10, "accumulated")
    wiped = stack(checkout, tmp_path, docker, mode="clean").created()
    assert (wiped["data_bytes_at_start"], wiped["mode_measured"]) == (0, "clean")


def test_accumulated_on_no_data_is_measured_as_clean(checkout: Path, tmp_path: Path) -> None:
    facts = stack(checkout, tmp_path, FakeDocker(checkout), mode="accumulated").created()
    assert facts["mode_measured"] == "clean"


def test_a_stale_stack_of_ours_is_taken_over(checkout: Path, tmp_path: Path) -> None:
    docker = FakeDocker(checkout)
    docker.add("wk-node1", Running=True, Paused=True)
    stack(checkout, tmp_path, docker).created()
    assert docker.ran("unpause")
    assert docker.ran("compose", "down")


def test_foreign_containers_of_that_name_are_left_alone(checkout: Path) -> None:
    docker = FakeDocker(checkout)
    docker.add("wk-node1", ours=False)
    with pytest.raises(InfraError, match="stack_project"):
        remove(docker, "wktriage")
    assert not docker.ran("down")


def test_removing_needs_no_checkout_and_is_idempotent(checkout: Path) -> None:
    docker = FakeDocker(checkout)
    docker.add("wk-sim")
    assert remove(docker, "wktriage")
    assert not remove(docker, "wktriage")


def test_node_configuration_hash_sees_a_changed_file(checkout: Path, tmp_path: Path) -> None:
    docker = FakeDocker(checkout)
    first = stack(checkout, tmp_path, docker).identified()["node_config_sha256"]
    toml = checkout / "docker/conf/node2.toml"
    toml.write_text(toml.read_text() + "\n# changed\n")
    second = stack(checkout, tmp_path, docker).identified()["node_config_sha256"]
    assert first is not None
    assert first != second

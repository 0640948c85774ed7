"""One scenario on containers, on processes and on several hosts: the same files and fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.bundlefakes import Run, packed
from tests.unit.test_processes import ask, binaries, here, remote, report

from wktriage.bundle import fingerprint, layout
from wktriage.bundle.bundle import Bundle
from wktriage.experiments import reproduce
from wktriage.experiments.compare import at
from wktriage.request.request import StackHost
from wktriage.run import planning
from wktriage.stack import drivers
from wktriage.stack.driver import Site
from wktriage.stack.processes.placement import Layout

__all__ = ["binaries"]  # the fixture

COMPOSE = {
    "driver": "compose", "image": "wukongim-dev:local", "image_digest": "sha256:1",
    "git_revision": "a" * 40, "git_diff_sha256": "b" * 64, "node_config_sha256": "c" * 64,
    "hosts": ["localhost"], "data_bytes_at_start": 0, "mode_measured": "clean",
}  # fmt: skip
NONE_OF = ("inputs.image", "inputs.git_revision", "inputs.git_diff_sha256")


def made(tmp_path: Path, hosts: list[StackHost] | None, **asked: Any) -> Bundle:
    """The bundle of a smoke-default: of processes on ``hosts``, of containers without any."""
    tmp_path.mkdir()
    request = ask(tmp_path, hosts or here(), scenario="smoke-default", **asked)
    names = Layout.of(request.own["layout"]).hosts
    run = Run(tmp_path, *(names if hosts else ["localhost"]))
    if hosts:
        driver = drivers.named(request.driver)
        site = Site(tmp_path / "work", reports={name: report() for name in names})
        site.work_dir.mkdir()
        stack = driver.create(request, site) | {"cannot_tell": list(driver.cannot_tell)}
        run.topology = yaml.safe_load((site.work_dir / "topology.json").read_text())
    else:
        config = tmp_path / "docker-compose.yml"
        config.write_text("services: {}\n")
        nodes = {f"wk-node{n}": str(run.config) for n in (1, 2, 3)}
        stack = COMPOSE | {"compose_config": str(config), "cannot_tell": []}
        stack |= {"node_configs": nodes, "sim_config": str(run.config)}
    run.run = planning.run_document(request, purpose="target", boot_id="b") | stack
    run.run["bundle_id"] = "b1"
    lead = run.topology["sim"]["host"]
    tars = {name: packed(tmp_path, name, lead=name == lead) for name in names}
    run.make(tars)
    return Bundle.open(run.bundle)


@pytest.fixture
def bundles(tmp_path: Path, binaries: dict[str, str]) -> dict[str, Bundle]:
    asked = {**binaries, "connect_rate": 100}
    return {
        "compose": made(tmp_path / "c", None, **asked),
        "processes": made(tmp_path / "p", here(wk_node_count=3), **asked),
        "remote": made(tmp_path / "r", remote(3), **asked),
    }


def test_a_driver_leaves_out_only_what_it_says_it_can_not_have(bundles: dict[str, Bundle]) -> None:
    def files(name: str) -> set[str]:
        found = set(layout.relative_files(bundles[name].root))
        # A run of the topology's fakes has one node's configuration as a file.
        return {file for file in found if not file.startswith("config/node")}

    cannot = set(drivers.named("processes").cannot_tell)
    assert files("compose") - files("processes") == cannot & files("compose") != set()
    assert files("processes") <= files("compose")
    assert files("remote") == files("processes")


def test_fingerprints_have_the_same_fields_whatever_the_driver(bundles: dict[str, Bundle]) -> None:
    prints = {n: b.read_json("fingerprint.json") or {} for n, b in bundles.items()}
    for part in ("inputs", "derived", "observed"):
        assert len({frozenset(each[part]) for each in prints.values()}) == 1, part
    for path in NONE_OF:
        part, name = path.split(".")
        assert at(prints["compose"][part], name) != reproduce.NOT_APPLICABLE
        assert at(prints["processes"][part], name) == reproduce.NOT_APPLICABLE
    stack = {"driver", "hosts", "image", "git_revision", "git_diff_sha256", "node_config_sha256"}
    assert set(fingerprint.compare(prints["compose"], prints["remote"])) == stack


@pytest.mark.parametrize("pair", [("compose", "remote"), ("remote", "processes")])
def test_runs_done_again_on_another_driver_are_compared(
    bundles: dict[str, Bundle], pair: tuple[str, str]
) -> None:
    compared = reproduce.compared(bundles[pair[0]], bundles[pair[1]])
    status = {field.path: field.status for field in compared.fields}
    assert {status[path] for path in NONE_OF} == {"not_applicable"}
    for path in ("scenario", "mode", "profiled", "connect_rate", "workload.users"):
        assert status[f"inputs.{path}"] == "same", path
    assert compared.outcome == "agree"

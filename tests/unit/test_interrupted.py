"""The bundle of a run whose controller is gone."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.unit.bundlefakes import Run, packed
from tests.unit.collectstack import Detached, Stack, until

from wktriage.bundle import manifest
from wktriage.core import zipapps
from wktriage.core.errors import InfraError
from wktriage.run import collector_spec
from wktriage.run.interrupted import PACKED, assemble_interrupted


@pytest.fixture
def pending(tmp_path: Path) -> Callable[..., Path]:
    def make(run: Run, collectors: Path) -> Path:
        run.bundle.mkdir(parents=True)
        (tmp_path / "run.json").write_text(json.dumps(run.run))
        (tmp_path / "topology.json").write_text(json.dumps(run.topology))
        mark = tmp_path / "mark.json"
        mark.write_text(
            json.dumps({
                "bundle_dir": str(run.bundle), "collector_dir": str(collectors),
                "run_file": str(tmp_path / "run.json"),
                "topology_file": str(tmp_path / "topology.json"),
            })
        )  # fmt: skip
        return mark

    return make


def test_dead_controller_loses_nothing_that_was_collected(
    tmp_path: Path, pending: Callable[..., Path]
) -> None:
    with ExitStack() as exits:
        stack = Stack(tmp_path, exits)
        out = tmp_path / "collector" / "here"
        out.mkdir(parents=True)
        (out / collector_spec.PROGRAM).write_bytes(zipapps.content("wkcollect"))
        stack.spec.update(out_dir=str(out), window={"seconds": 60})
        (out / "spec.json").write_text(json.dumps(stack.spec))
        stack.sim.run()
        watched = Detached(stack)
        watched.out = out
        watched("start", str(out / "spec.json"))
        until(lambda: watched.poll()["samples_taken"] > 3)
        run = Run(tmp_path, "here")
        bundle = assemble_interrupted(pending(run, out.parent), "controller was killed")
    assert bundle == run.bundle
    assert manifest.verify(bundle) == []
    document = manifest.read(bundle)
    assert document is not None
    assert document["interrupted"] == "controller was killed"
    assert document["complete"] is False
    window_document = run.json("window.json")
    assert window_document["valid"] is False
    assert window_document["interrupted"] == "controller was killed"
    assert len((bundle / "status.jsonl").read_text().splitlines()) > 3
    assert (bundle / "metrics/node1.prom").exists()
    # Asked again, it finds the bundle finished.
    assert assemble_interrupted(tmp_path / "mark.json", "again") == bundle


def test_collector_that_never_started_leaves_a_bundle_that_says_so(
    tmp_path: Path, pending: Callable[..., Path]
) -> None:
    run = Run(tmp_path, "here")
    bundle = assemble_interrupted(pending(run, tmp_path / "absent"), "gone")
    assert run.json("manifest.json")["interrupted"].startswith("gone; ")
    assert manifest.verify(bundle) == []


def test_what_a_host_handed_in_counts_and_why_another_did_not_is_said(
    tmp_path: Path, pending: Callable[..., Path]
) -> None:
    run = Run(tmp_path, "h1", "h2")
    (tmp_path / PACKED).mkdir()
    packed(tmp_path, "h1", lead=True).rename(tmp_path / PACKED / "h1.tar.gz")
    (tmp_path / PACKED / "h2.problem").write_text("No route\n to host")
    assemble_interrupted(pending(run, tmp_path / "absent"), "gone")
    made = run.json("manifest.json")
    assert made["complete"] is False
    assert run.json("window.json")["valid"] is True
    assert run.status(made, "cluster", "h1") == "ok"
    (lost,) = [row for row in made["collectors"] if row["host"] == "h2"]
    assert lost["status"] == "failed"
    assert lost["error"] == "nothing could be fetched from this host: No route to host"


def test_broken_mark_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "mark.json").write_text('{"bundle_dir": "/x"}')
    with pytest.raises(InfraError, match="lacks"):
        assemble_interrupted(tmp_path / "mark.json", "gone")


@pytest.mark.parametrize("text", ["", "no JSON", "[]"])
def test_unreadable_mark_is_one_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "mark.json").write_text(text)
    with pytest.raises(InfraError, match="no mark of a run"):
        assemble_interrupted(tmp_path / "mark.json", "gone")

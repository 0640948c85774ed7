"""Named snapshots of a data root, and experiments on accumulated data that begin with one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.unit.experiment_bundles import bundle, changed
from tests.unit.stackfakes import FakeDocker, make_checkout
from tests.unit.test_experiment_conduct import CONTROL, Lab
from tests.unit.test_experiment_conduct import lab as lab

from wktriage.core.errors import UsageError
from wktriage.experiments import grounds
from wktriage.experiments.grounds import RefusedError
from wktriage.experiments.registration import TamperedError
from wktriage.stack import data_root, snapshots
from wktriage.stack.compose.stack import ComposeStack, Spec

NODES = ("node1", "node2")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    data_root.prepare(root, NODES, project="p")
    (root / "node1" / "messages").mkdir()
    (root / "node1" / "messages" / "1.log").write_bytes(b"one")
    (root / "node2" / "raft.db").write_bytes(b"two")
    (root / "node1" / "logs").mkdir()
    (root / "node1" / "logs" / "app.log").write_text("not data")
    return root


def test_what_was_kept_is_put_back_and_nothing_else_is_there(data: Path) -> None:
    kept = snapshots.take(data, NODES, "before")
    (data / "node1" / "messages" / "1.log").write_bytes(b"changed")
    (data / "node2" / "more").write_text("more")
    assert snapshots.restore(data, NODES, "before", as_root=None) == kept
    assert (kept["name"], kept["bytes"]) == ("before", 6)
    assert (data / "node1" / "messages" / "1.log").read_bytes() == b"one"
    assert not (data / "node2" / "more").exists()
    assert data_root.has_marker(data)


def test_a_name_that_is_taken_is_not_taken_anew(data: Path) -> None:
    kept = snapshots.take(data, NODES, "before")
    (data / "node2" / "more").write_text("more")
    assert snapshots.take(data, NODES, "before") == kept


def test_a_changed_snapshot_is_seen(data: Path) -> None:
    snapshots.take(data, NODES, "before")
    (snapshots.directory(data) / "before" / "node2" / "raft.db").write_bytes(b"owt")
    with pytest.raises(UsageError, match="not what it was"):
        snapshots.restore(data, NODES, "before", as_root=None)


@pytest.mark.parametrize(
    ("free", "largest", "says"),
    [(snapshots.SPARE + 5, 99, "do not fit"), (snapshots.SPARE * 9, 5, "more than")],
)
def test_what_does_not_fit_is_said_before_anything_is_copied(
    data: Path, monkeypatch: pytest.MonkeyPatch, free: int, largest: int, says: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda of: shutil._ntuple_diskusage(9, 9, free))
    monkeypatch.setattr(snapshots, "LARGEST", largest)
    with pytest.raises(UsageError, match=says):
        snapshots.take(data, NODES, "before")
    assert not snapshots.directory(data).exists()


def test_only_data_of_the_harness_is_touched(data: Path) -> None:
    snapshots.take(data, NODES, "before")
    (data / data_root.MARKER).unlink()
    with pytest.raises(UsageError, match="will not empty"):
        snapshots.restore(data, NODES, "before", as_root=None)
    assert (data / "node2" / "raft.db").exists()


def test_no_data_no_such_name_and_a_bad_name(data: Path) -> None:
    with pytest.raises(UsageError, match="holds no data"):
        snapshots.take(data, ("node9",), "before")
    with pytest.raises(UsageError, match="there are: none"):
        snapshots.restore(data, NODES, "before", as_root=None)
    with pytest.raises(UsageError, match="lower-case letters"):
        snapshots.take(data, NODES, "../elsewhere")


def test_a_stack_begins_with_the_snapshot_that_is_asked_for(data: Path, tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path / "checkout")
    kept = snapshots.take(data, NODES, "before")
    (data / "node2" / "more").write_text("more")
    spec = Spec(
        project="wktriage", checkout=checkout, work_dir=tmp_path / "work", data_root=data,
        mode="accumulated", snapshot="before",
    )  # fmt: skip
    spec.work_dir.mkdir()
    facts = ComposeStack(spec, FakeDocker(checkout)).created()
    assert facts["data_snapshot"] == kept
    assert facts["data_bytes_at_start"] == 6


class TestExperiment:
    @pytest.fixture
    def old(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
        shutil.rmtree(lab.root / "runs" / "control")
        inputs = changed(CONTROL, "mode", "accumulated")
        seen = {"data_bytes_at_start": 9}
        made = bundle(lab.root / "runs", "control", inputs, observed=seen)
        (made.root / "verdict.json").write_text("{}")
        kept = {"name": "n", "sha256": "s" * 64, "bytes": 9}

        class Driver:
            keeps_snapshots = True

            def snapshot(self, request: Any, name: str) -> dict[str, Any]:
                return {**kept, "name": name}

            def recall(self, inputs: Any, turn: int) -> dict[str, Any]:
                return {}

        self.driver = Driver()
        monkeypatch.setattr(grounds.drivers, "named", lambda name: self.driver)
        return lab

    def test_every_run_begins_with_the_registered_snapshot(self, old: Lab) -> None:
        under_way = old.open()
        snapshot = under_way.registration.snapshot
        assert snapshot is not None
        following = under_way.next()
        assert following is not None
        assert following.values["data_snapshot"] == snapshot.name
        assert following.values["mode"] == "accumulated"

    def test_a_run_that_began_with_other_data_is_not_taken(self, old: Lab) -> None:
        with pytest.raises(TamperedError, match="did not begin with the registered snapshot"):
            old.run(old.open())

    def test_a_stack_that_keeps_none_is_refused(self, old: Lab) -> None:
        self.driver.keeps_snapshots = False
        with pytest.raises(RefusedError, match=r"keep no snapshot of it\. Use a stack that can"):
            old.open()

"""What a lab run is called: by what was measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from wktriage.core.errors import UsageError
from wktriage.core.model import Signal, SignalSet
from wktriage.judging.signals import catalogue
from wktriage.lab import faults
from wktriage.lab.injector import Record
from wktriage.lab.labelling import label_run, measured_label


@pytest.mark.parametrize(
    ("measured", "label"),
    [
        ({"send_error_ratio": 0.01, "send_errors": 9}, "send_path"),
        ({"recv_errors": 0}, "healthy"),
        ({"recv_errors": 13, "error_free_tail": 20}, "cold_start"),
        ({"recv_errors": 13, "error_free_tail": 2}, None),
    ],
)
def test_a_fault_without_effect_is_labelled_like_a_run_without_one(
    measured: dict[str, float], label: str | None
) -> None:
    """The third was seen: sampled-correctness began with errors, before and beside the hogs."""
    still = {
        "send_error_ratio": 0, "send_errors": 0, "recv_errors": 0, "send_server_latency_mean": 0.02,
        "send_server_latency_p99": 0.1, "achieved_rate_ratio": 1, "error_free_tail": 45,
        "host_cpu_busy": 0.4,
    }  # fmt: skip
    signals = SignalSet(names=catalogue(), nodes=("wk-node1",))
    for name, value in {**still, **measured}.items():
        signals.add(Signal(name, "count", value))
    chosen = measured_label(faults.load("slow-disk"), signals)
    assert (chosen.label if chosen else None) == label


def test_a_slow_run_with_one_failed_send_of_thousands_is_both() -> None:
    slow = {
        "send_error_ratio": 0.0001, "send_errors": 1, "send_server_latency_mean": 0.53,
        "send_server_latency_p99": 2.5,
        "achieved_rate_ratio": 0.935,
    }  # fmt: skip
    for errors, also in ((1, ("send_path",)), (0, ())):
        signals = SignalSet(names=catalogue(), nodes=("wk-node1",))
        for name, value in {**slow, "send_errors": errors}.items():
            signals.add(Signal(name, "count", value))
        label = measured_label(faults.load("few-appenders"), signals)
        assert label is not None
        assert (label.label, label.also_ok) == ("server_hot_path", also)


FIXTURE = Path(__file__).parents[1] / "fixtures" / "replay" / "full"


def record(**more: object) -> Record:
    made = Record("pause-node", {}, ["wk-node3", "wk-node2"], took_hold=True)
    for key, value in more.items():
        setattr(made, key, value)
    return made


def test_a_labelled_run_becomes_an_incident_that_names_its_targets(tmp_path: Path) -> None:
    start = json.loads((FIXTURE / "status.jsonl").read_text().splitlines()[0])["sample_time"]
    run = label_run(faults.load("pause-node"), record(injected_at=start), FIXTURE)
    summary = run.summary()
    assert summary["label"] == "send_path"
    assert summary["label_nodes"] == ["wk-node2", "wk-node3"]
    assert summary["bundle"] == "full"
    archive = run.store("made-up", tmp_path, None)
    row = json.loads((tmp_path / "labels.jsonl").read_text())
    assert archive.is_file()
    assert row["label"] == "send_path"
    assert row["nodes"] == ["wk-node2", "wk-node3"]
    assert row["fault"] == "pause-node on wk-node3, wk-node2"
    assert row["fault_at_s"] == 0.0
    assert row["checks"] == ["state equals=paused on wk-node3, wk-node2"]
    assert row["title"] == faults.load("pause-node").purpose
    assert row["components"] == ["node_process"]


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("healthy", "Nothing was injected, and the run was healthy"),
        ("pause-node", "Healthy all the same: freeze one node whole"),
    ],
)
def test_the_title_of_a_healthy_run_says_that_it_was(name: str, title: str, tmp_path: Path) -> None:
    fault = faults.load(name)
    healthy = next(x for x in faults.load("healthy").labels if x.label == "healthy")
    run = replace(label_run(fault, record(), FIXTURE), label=healthy)
    run.store("made-up", tmp_path, None)
    row = json.loads((tmp_path / "labels.jsonl").read_text())
    assert row["title"].startswith(title)
    assert row["components"] == []


def test_a_fault_that_did_not_take_hold_makes_no_incident(tmp_path: Path) -> None:
    missed = record(took_hold=False, problems=["wk-node2 is running, not paused"])
    run = label_run(faults.load("pause-node"), missed, FIXTURE)
    with pytest.raises(UsageError, match="no incident: wk-node2 is running, not paused"):
        run.store("made-up", tmp_path, None)
    assert list(tmp_path.iterdir()) == []

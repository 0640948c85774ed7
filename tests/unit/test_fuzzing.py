"""Bundles damaged at random are judged, or refused in a sentence: bench/fuzz.py runs for longer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests import fuzzing

from wktriage.bundle.bundle import Bundle
from wktriage.bundle.readers import (
    cluster,
    goroutines,
    health,
    host_cpu,
    logs,
    pprof,
    prom,
    status,
    usage,
)
from wktriage.core import yaml_files
from wktriage.judging.signals.metrics import FAMILIES

FRESH = [HealthCheck.function_scoped_fixture]
BYTES = st.binary(max_size=300) | st.lists(
    st.sampled_from([*fuzzing.TOKENS[:10], *fuzzing.TOKENS[12:], b": ", b", ", b"{", b"}", b" 1\n",
                     b'{"sample_time":"2026-01-01T00:00:00Z","status":', b"a_total"]),
    max_size=12,
).map(b"".join)  # fmt: skip
YAML = ("&a ", "*a", "<<: ", "[", "]", "{", "}", ": ", "- ", "\n", "a", "1", "!!set ", "!!int ")


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=FRESH)
@given(st.integers(0, 10**9))
@example(1400422)  # a disk with 1e-308 bytes left
def test_no_damage_makes_a_command_raise(tmp_path: Path, number: int) -> None:
    assert fuzzing.trial(number, tmp_path / str(number)) == []


def test_the_fuzzer_notices_what_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("boom")

    monkeypatch.setattr("wktriage.cli.commands.judge.judge", broken)
    raised = [text for n in range(4) for text in fuzzing.trial(n, tmp_path / str(n))]
    assert raised
    assert all("KeyError" in text for text in raised)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=FRESH)
@given(data=BYTES)
def test_no_bytes_make_a_reader_raise(tmp_path: Path, data: bytes) -> None:
    rows = ("status", "health", "resources", "docker-stats", "host", "cluster", "events")
    names = [*(f"{name}.jsonl" for name in rows), "env.txt", "window.json", "topology.json",
             "manifest.json", "logs/app/wk-node1.log", "logs/compose/wk-node1.log",
             "pprof/node1-goroutine.txt", "metrics/node1.prom", "compose-config.yml"]  # fmt: skip
    for name in names:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_bytes(data)
    opened = Bundle.open(tmp_path)
    span = (0.0, 4e9)
    status.samples(opened)
    health.read(opened)
    usage.read(opened, ["wk-node1"])
    usage.events(opened, ["wk-node1"])
    for host in host_cpu.read(opened, span):
        host.busy()
    cluster.read(opened, span)
    logs.scan(opened, "wk-node1", span)
    logs.starts(opened, "wk-node1")
    goroutines.groups(opened, "pprof/node1-goroutine.txt")
    pprof.decode(data)
    prom.parse(b"# TYPE go_goroutines gauge\n" + data, FAMILIES)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text(max_size=200) | st.lists(st.sampled_from(YAML), max_size=40).map("".join))
def test_yaml_of_evidence_is_a_value_or_a_value_error(text: str) -> None:
    try:
        yaml_files.parse_evidence(text)
    except ValueError:
        return

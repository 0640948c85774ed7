"""What is sampled, and what a hanging or hostile target costs."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from tests.unit.collectstack import Stack

from wkcollect import limits
from wkcollect.metrics import gateway_connections
from wktriage.core import schemas


def test_evidence_files_and_rows_fit_their_schemas(stack: Stack) -> None:
    stack.spec["window"] = {"seconds": 4}
    stack.sim.run()
    stack.start()
    stack.finish()
    for name in ("status.jsonl", "health.jsonl", "cluster.jsonl", "resources.jsonl", "host.jsonl"):
        assert schemas.check_rows(stack.evidence / name, schemas.ROW_SCHEMAS[name]) is None, name
    for number in (1, 2, 3):
        for name in (
            f"metrics/node{number}.prom",
            f"metrics/node{number}-before.prom",
            f"pprof/node{number}-cpu.pb.gz",
            f"pprof/node{number}-heap.pb.gz",
            f"pprof/node{number}-goroutine.txt",
        ):
            assert (stack.evidence / name).stat().st_size > 0, name
    packed = sorted(stack.evidence.glob("metrics/series/node1/*.prom.gz"))
    assert packed
    assert gzip.decompress(packed[0].read_bytes()).startswith(b"# HELP")
    statuses = stack.statuses()
    assert statuses["status"] == "ok"
    assert statuses["metrics"] == "ok"
    assert statuses["docker-stats"] == "not_applicable"


def test_hanging_node_costs_only_its_own_samples(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HEALTHZ_TIMEOUT", "METRICS_TIMEOUT", "PPROF_TIMEOUT", "SILENT_NODE_TIMEOUT"):
        monkeypatch.setattr(limits, name, 0.3)
    stack.nodes[1].hung.set()
    stack.sim.run()
    stack.start()
    window = stack.finish()
    assert window["valid"] is True
    assert window["cadence"]["taken"] >= 9
    assert (stack.evidence / "metrics/node1.prom").exists()
    assert (stack.evidence / "pprof/node3-cpu.pb.gz").exists()
    for name in ("metrics/node2.prom", "pprof/node2-cpu.pb.gz", "pprof/node2-heap.pb.gz"):
        assert not (stack.evidence / name).exists()
        assert (stack.evidence / f"{name}.err").read_text() == "no answer within 0.3 s\n"
    health = [r for r in stack.rows("health.jsonl") if r["probe"] == "healthz"]
    silent = [r for r in health if r["node"] == "wk-node2"]
    assert silent
    assert not any(r["ok"] for r in silent)
    assert all(r["ok"] for r in health if r["node"] != "wk-node2")
    assert stack.statuses()["metrics"] == "partial"


def test_answers_that_are_no_json_or_huge_are_errors_not_crashes(stack: Stack) -> None:
    answers = iter([b"<html>", b"[]", b"x" * 400_000, b"\xff\xfe", b'{"a":' * 5000])
    good = stack.sim
    stack.front.answers["/status"] = lambda full: next(answers, None) or good(full)
    stack.sim.run()
    stack.start()
    window = stack.finish()
    assert window["valid"] is True
    errors = [r["error"] for r in stack.rows("status.jsonl") if "error" in r]
    assert len(errors) == 5
    assert schemas.check_rows(stack.evidence / "status.jsonl", "status_row") is None


def test_hidden_proc_is_unknown_not_zero(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WKTRIAGE_HIDE_PROC", "1")
    stack.sim.run()
    stack.start()
    assert stack.finish()["valid"] is True
    host = stack.rows("host.jsonl")[-1]
    for key in ("cpu_total_ticks", "cpu_idle_ticks", "mem_total_bytes", "psi_cpu_some_avg10"):
        assert host[key] is None
    resources = stack.rows("resources.jsonl")
    assert {r["cpu_seconds"] for r in resources} == {None}
    assert {r["state"] for r in resources} == {None}
    assert stack.statuses()["resources"] == "failed"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_process_handle_is_read_from_proc(stack: Stack) -> None:
    stack.spec["nodes"][0]["handle"]["pid"] = 2**22 - 3
    stack.sim.run()
    stack.start()
    stack.finish()
    rows = stack.rows("resources.jsonl")
    gone = [r for r in rows if r["name"] == "wk-node1"]
    here = [r for r in rows if r["name"] == "wk-node2"]
    assert {r["state"] for r in gone} == {"exited"}
    assert {r["cpu_seconds"] for r in gone} == {None}
    assert here[-1]["state"] == "running"
    assert here[-1]["cpu_seconds"] > 0
    assert here[-1]["memory_bytes"] > 1 << 20


def test_connections_are_summed_without_parsing_the_rest() -> None:
    name = b"wukongim_gateway_connections_active"
    body = b"# TYPE x\n" + name + b'{a="1"} 3\nother 9\n' + name + b'{a="2"} 4\n' + name + b" NaN\n"
    assert gateway_connections(body) == 7
    assert gateway_connections(b"x 1\n") is None

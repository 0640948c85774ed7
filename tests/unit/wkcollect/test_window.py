"""When the window opens, how long it is, and what makes it invalid."""

from __future__ import annotations

import pytest
from tests.unit.collectstack import Stack, seconds_between, until

from wkcollect import limits


def test_window_starts_when_counters_move_and_has_the_asked_length(stack: Stack) -> None:
    stack.start()
    until(lambda: stack.front.seen)
    until(lambda: len(stack.rows("status.jsonl")) > 3)
    stack.sim.run()
    window = stack.finish()
    assert window["valid"] is True
    assert window["reason"] is None
    assert seconds_between(window) == pytest.approx(1.0, abs=0.002)
    assert window["counters_moved_at"] is not None
    assert window["sim_run_id"] == "r1"
    assert window["running_since"] == "2026-11-24T10:00:00.123Z"
    first_moved = next(r for r in stack.rows("status.jsonl") if r["status"]["messages_sent"] > 0)
    assert window["start"] == first_moved["due"]
    names = [p["name"] for p in window["phases"]]
    assert names == [
        "starting", "waiting", "before-scrape", "window", "after-scrape", "profile", "heap",
        "logs", "done",
    ]  # fmt: skip
    assert window["profile"]["fenced"] is True


def test_status_samples_keep_their_cadence(stack: Stack) -> None:
    stack.sim.run()
    stack.start()
    cadence = stack.finish()["cadence"]
    assert cadence["due"] == 10
    assert cadence["taken"] + cadence["missed"] == 10
    assert cadence["taken"] >= 9
    assert cadence["jitter_ms"]["p99"] < 100
    seqs = [r["seq"] for r in stack.rows("status.jsonl")]
    assert seqs == sorted(set(seqs))


def test_load_that_never_runs_leaves_what_answers(stack: Stack) -> None:
    stack.spec["ready_timeout"] = 0.5
    stack.sim.status.update(state="waiting", last_error="dial tcp: connection refused")
    stack.start()
    window = stack.finish()
    assert window["valid"] is False
    assert "not running" in window["reason"]
    assert "state waiting" in window["reason"]
    assert "connection refused" in window["reason"]
    assert window["start"] is None
    assert window["profile"]["fenced"] is False
    assert "not running" in window["profile"]["fence_reason"]
    assert (stack.evidence / "metrics/node1.prom").exists()
    assert (stack.evidence / "pprof/node1-goroutine.txt").exists()


def test_restarted_simulator_makes_the_window_invalid_but_not_shorter(stack: Stack) -> None:
    stack.sim.run()
    stack.start()
    until(lambda: stack.phase() == "window")
    stack.sim.status.update(run_id="r2")
    window = stack.finish()
    assert window["valid"] is False
    assert "restarted" in window["reason"]
    assert "run id" in window["reason"]
    assert seconds_between(window) == pytest.approx(1.0, abs=0.002)


def test_fallen_counter_is_a_restart(stack: Stack) -> None:
    stack.sim.run()
    stack.start()
    until(lambda: stack.phase() == "window")
    stack.sim.stall()
    stack.sim.status.update(messages_sent=0)
    window = stack.finish()
    assert window["valid"] is False
    assert "counters fell" in window["reason"]


def test_load_that_runs_but_moves_nothing_is_measured(stack: Stack) -> None:
    stack.spec["settle"] = 0.4
    stack.sim.status.update(state="running")
    stack.start()
    window = stack.finish()
    assert window["valid"] is True
    assert "no counter moved" in window["reason"]
    assert window["counters_moved_at"] is None
    assert seconds_between(window) == pytest.approx(1.0, abs=0.002)


def test_failing_sends_open_the_window_too(stack: Stack) -> None:
    stack.sim.status.update(state="running")
    stack.start()
    until(lambda: stack.collector.run.window.base)
    stack.sim.status.update(send_errors=3)
    window = stack.finish()
    assert window["valid"] is True
    assert window["counters_moved_at"] is not None


def test_silent_simulator_makes_the_window_invalid(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STATUS_TIMEOUT", 0.1)
    stack.sim.run()
    stack.start()
    until(lambda: stack.phase() == "window")
    stack.front.hung.set()
    window = stack.finish()
    assert window["valid"] is False
    assert "did not answer" in window["reason"]
    assert any("error" in r for r in stack.rows("status.jsonl"))


def test_stopping_in_the_window_keeps_what_there_is(stack: Stack) -> None:
    stack.spec["window"] = {"seconds": 60}
    stack.sim.run()
    stack.start()
    until(lambda: stack.phase() == "window" and len(stack.collector.run.window.lateness) > 3)
    stack.collector.run.stop("Ctrl-C")
    window = stack.finish(10)
    assert window["interrupted"] == "Ctrl-C"
    assert window["valid"] is False
    assert "interrupted after" in window["reason"]
    assert (stack.evidence / "metrics/node1.prom").exists()
    assert stack.statuses()["pprof-cpu"] == "skipped"

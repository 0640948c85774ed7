"""Profiles at the moment when a run goes wrong inside its window."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.collectstack import Stack, until

from wkcollect import onset
from wkcollect.clock import Clock
from wkcollect.window import Window

CONFIG = {
    "person_channels": 10, "person_rate_per_channel": "1/s",
    "group_channels": 2, "group_rate_per_channel": "30/m",
}  # fmt: skip
OFFER = 11.0


def profiles_answer(stack: Stack) -> None:
    for node in stack.nodes:
        node.answers["/debug/pprof/block"] = b"\x1f\x8bblock"
        node.answers["/debug/pprof/mutex"] = b"\x1f\x8bmutex"


def onset_files(stack: Stack) -> list[str]:
    return sorted(p.name for p in (stack.evidence / "pprof").glob("*onset*"))


def test_profiles_are_taken_once_when_errors_rise(stack: Stack) -> None:
    profiles_answer(stack)
    stack.spec.update(profile="onset", window={"seconds": 2.0})
    stack.sim.run()
    stack.start()
    until(lambda: stack.phase() == "window")
    stack.sim.status["send_errors"] = 3
    window = stack.finish()
    profile = window["profile"]
    assert profile["onset"]["reason"] == "send_errors rose"
    assert profile["onset"]["seconds"] == 1
    assert window["start"] < profile["onset"]["at"] < window["end"]
    assert profile["fenced"] is True
    assert onset_files(stack) == [
        f"node{n}-onset-{kind}" for n in (1, 2, 3)
        for kind in ("block.pb.gz", "goroutine.txt", "mutex.pb.gz")
    ]  # fmt: skip
    for node in stack.nodes:
        assert sum("/debug/pprof/profile" in path for path in node.seen) == 1
    assert "profile" not in [phase["name"] for phase in window["phases"]]


def test_a_run_that_keeps_well_is_profiled_after_its_window(stack: Stack) -> None:
    stack.spec["profile"] = "onset"
    stack.sim.run()
    stack.start()
    window = stack.finish()
    assert "onset" not in window["profile"]
    assert window["profile"]["start"] >= window["end"]
    assert onset_files(stack) == []
    assert (stack.evidence / "pprof/node1-cpu.pb.gz").exists()


def test_nothing_is_taken_in_the_window_unless_asked_for(stack: Stack) -> None:
    stack.sim.run()
    stack.start()
    until(lambda: stack.phase() == "window")
    stack.sim.status["send_errors"] = 3
    assert "onset" not in stack.finish()["profile"]
    assert onset_files(stack) == []


def window_of(**status: Any) -> Window:
    window = Window(Clock(0.0), 60, 1.0)
    window.start, window.opening = 100.0, [0, 2, 0]
    window.rate.moved_at = 100.0
    window.latest = {"send_errors": 2, "recv_errors": 0, "config": CONFIG, **status}
    return window


@pytest.mark.parametrize(
    ("status", "rate", "since", "now", "says"),
    [
        ({}, None, 0.0, 110.0, None),
        ({"recv_errors": 1}, None, 0.0, 110.0, "recv_errors rose"),
        ({}, OFFER, 100.0, 110.0, None),
        ({}, 5.0, 100.0, 110.0, "5 of 11 messages/s"),
        # The interval began before the window did.
        ({}, 5.0, 92.0, 110.0, None),
        ({}, None, 0.0, 126.0, "no message was sent for 25 s"),
        ({"config": None}, 5.0, 100.0, 126.0, None),
        (
            {"config": {"person_channels": 10, "person_rate_per_channel": "x"}},
            5.0,
            100.0,
            110.0,
            None,
        ),
    ],
)
def test_what_breaks(
    status: dict[str, Any], rate: float | None, since: float, now: float, says: str | None
) -> None:
    window = window_of(**status)
    window.rate.value, window.rate.since = rate, since
    reason = onset.broken(window, now)
    assert (reason is None) is (says is None)
    assert says is None or says in str(reason)

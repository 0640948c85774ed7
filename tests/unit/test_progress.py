"""What a person sees while a run is watched."""

from __future__ import annotations

import pytest

from wktriage.cli import progress

STATE = {
    "phase": "window",
    "users_connected": 200,
    "users_total": 200,
    "rate": 13.0,
    "messages_sent": 1086,
    "send_errors": 0,
    "recv_errors": 0,
    "seconds_left": 15.0,
    "window_seconds": 30.0,
    "elapsed_s": 1.0,
}


def test_a_line_says_where_the_run_is() -> None:
    assert progress.parts(STATE) == [
        "window",
        "200/200 users",
        "13 msg/s",
        "1 086 sent",
        "no errors",
        "0:15 left",
    ]


@pytest.mark.parametrize(
    ("errors", "shown"),
    [
        ((121, 0), "121 failed sends, 0 failed receives"),
        ((1, None), "1 failed send, ? failed receives"),
        ((None, None), None),
    ],
)
def test_failures_are_told_and_unknown_is_not_zero(
    errors: tuple[int | None, int | None], shown: str | None
) -> None:
    pieces = progress.parts({**STATE, "send_errors": errors[0], "recv_errors": errors[1]})
    assert (shown in pieces) if shown else not [p for p in pieces if "error" in p or "fail" in p]


def test_the_line_of_a_terminal_begins_with_a_bar_and_fits() -> None:
    line = progress.render(STATE, 60)
    assert line.startswith("\u2588" * 10 + "\u2591" * 10)
    assert len(line) <= 59


def test_a_collector_that_no_longer_changes_is_stalled() -> None:
    watch = progress.Watch()
    watch.update(STATE, 0.0)
    assert watch.line(0.0) is not None
    assert watch.line(1.0) is None
    watch.update(STATE, progress.STALL_SECONDS)
    assert not watch.stalled(progress.STALL_SECONDS)
    assert watch.stalled(progress.STALL_SECONDS + 0.1)
    watch.update({**STATE, "phase": "logs", "elapsed_s": 2.0}, 20.0)
    assert not watch.stalled(21.0)
    assert watch.line(20.0) is not None

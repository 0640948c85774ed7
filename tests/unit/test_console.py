"""What a person sees: nothing hidden, nothing that drives the terminal."""

from __future__ import annotations

import pytest

from wktriage.cli import console


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00"), (59.9, "0:59"), (60, "1:00"), (3599, "59:59"), (3661, "1:01:01"), (-3, "0:00")],
)
def test_elapsed(seconds: float, shown: str) -> None:
    assert console.elapsed(seconds) == shown


@pytest.mark.parametrize(
    ("tty", "env", "plain"),
    [
        (True, {"TERM": "xterm"}, False),
        (False, {"TERM": "xterm"}, True),
        (True, {"CI": "true"}, True),
        (True, {"TERM": "dumb"}, True),
        (True, {"WKTRIAGE_PLAIN": "1"}, True),
    ],
)
def test_plain_where_no_person_looks(tty: bool, env: dict[str, str], plain: bool) -> None:
    assert console.is_plain(tty, env) is plain


def test_control_characters_are_shown_not_sent() -> None:
    shown = console.visible("a\x1b[2Jb\rc\u202ed\x00e\r\nf\tg\udcff")
    assert "\x1b" not in shown
    assert "\r" not in shown
    assert "\u202e" not in shown
    assert shown.startswith("a\\x1b[2Jb\\rc\\u202ed\\x00e\nf\tg")
    shown.encode("utf-8")


def test_a_failure_tells_everything_it_knows() -> None:
    long = "\n".join(f"line {n}" for n in range(500))
    lines = console.cause_lines({"msg": "no", "rc": 3, "cmd": ["a", "b"], "stderr": long})
    assert lines[:4] == ["msg: no", "rc: 3", "cmd: a b", "stderr:"]
    assert lines[-1] == "  line 499"


def test_a_failure_names_inner_causes_once() -> None:
    lines = console.cause_lines(
        {"msg": "port is taken: why"}, ["Task failed.", "port is taken.", "why", "errno 98"]
    )
    assert lines == ["msg: port is taken: why", "cause:", "  errno 98"]


def test_a_failure_without_any_word_says_so() -> None:
    assert "-vvv" in console.cause_lines({})[0]


def test_verdict_says_class_place_time_and_replay() -> None:
    lines = console.verdict_lines(
        {
            "category": "send_path",
            "confidence": 0.9,
            "component": "node_process",
            "nodes": ["wk-node2"],
            "since": "2026-01-01T00:00:00.000Z",
            "replay_of": "p01",
            "reasons": [{"text": "frozen \x1b[31m" + "word " * 40}],
            "unknown": [{"what": "a", "why": "b"}],
            "next_experiment": {"variable": "users", "from": 10, "to": 20},
        },
        60,
    )
    text = "\n".join(lines)
    for expected in ("REPLAY of p01", "send_path", "0.90", "wk-node2", "2026-01-01", "10 -> 20"):
        assert expected in text
    assert "\x1b" not in text
    assert max(len(line) for line in lines) <= 60


def test_a_verdict_with_nothing_in_it_is_unknown_not_healthy() -> None:
    assert console.verdict_lines({}) == ["category   unknown"]


def test_box_is_even() -> None:
    assert len({len(line) for line in console.box(["a", "b" * 40], "verdict", 40)}) == 1

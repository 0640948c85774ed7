"""What a person sees: nothing hidden, nothing that drives the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from wktriage.cli import console
from wktriage.core.terminal import visible


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
    shown = visible("a\x1b[2Jb\rc\u202ed\x00e\r\nf\tg\udcff")
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
    lines = console.verdict_lines({})
    assert [line.split() for line in lines] == [
        ["category", "unknown"],
        ["where", "unknown"],
        ["next", "step", "unknown"],
    ]


STEP = {
    "variable": "users",
    "from": 1,
    "to": 2,
    "command": "wktriage triage -e users=2 -e wukongim_checkout=PATH",
}


def test_the_command_of_the_next_step_is_one_line_that_can_be_run_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    verdict = {"category": "send_path", "next_experiment": STEP}
    ours = tmp_path / ".venv" / "bin" / "wktriage"
    ours.parent.mkdir(parents=True)
    ours.write_text("#!/bin/sh\n")
    ours.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(ours.with_name("python")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nonexistent")
    shown = console.command_lines(verdict)
    assert shown[1] == "  .venv/bin/wktriage triage -e users=2 -e wukongim_checkout=PATH"
    assert "PATH is your WuKongIM checkout" in shown[2]
    monkeypatch.setenv("PATH", str(ours.parent))
    assert console.command_lines(verdict)[1].startswith("  wktriage triage -e users=2")


def test_a_command_on_old_data_says_which_data_it_goes_on_with() -> None:
    step = STEP | {"command": "wktriage triage -e mode=accumulated"}
    verdict = {"category": "send_path", "next_experiment": step}
    assert "data_root=DIR" in "\n".join(console.command_lines(verdict))


def test_a_healthy_verdict_needs_no_step_and_gets_no_command() -> None:
    verdict = {"category": "healthy", "next_experiment": STEP}
    assert console.command_lines(verdict) == []
    assert "none needed" in "\n".join(console.verdict_lines(verdict))


@pytest.mark.parametrize(("reasons", "more"), [(3, None), (4, "1 more reason "), (6, "3 more ")])
def test_reasons_beyond_the_first_are_counted(reasons: int, more: str | None) -> None:
    text = "\n".join(console.verdict_lines({"reasons": [{"text": "why"}] * reasons}))
    assert text.count("why") == 3
    assert (more in text) if more else ("more" not in text)


def test_the_live_line_stays_inside_the_terminal() -> None:
    assert console.live("x" * 300, 80) == "\r\x1b[K" + "x" * 79 + "\r"
    assert console.live("", 80) == "\r\x1b[K\r"


def test_box_is_even() -> None:
    assert len({len(line) for line in console.box(["a", "b" * 40], "verdict", 40)}) == 1

"""Logs: bounded, of this run only, never through a link."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import pytest
from tests.unit.collectstack import Stack

from wkcollect import limits, logs
from wkcollect.limits import MAX_LOG_LINE
from wkcollect.logfiles import LogSink, line_level
from wkcollect.run import Run


def sink_text(tmp_path: Path, limit: int, pieces: list[bytes]) -> bytes:
    sink = LogSink(str(tmp_path / "log"), limit)
    for piece in pieces:
        sink.feed(piece)
    sink.close()
    return (tmp_path / "log").read_bytes()


def test_long_log_keeps_head_and_tail(tmp_path: Path) -> None:
    lines = [b"line %04d\n" % n for n in range(1000)]
    text = sink_text(tmp_path, 2000, lines)
    assert text.startswith(b"line 0000\n")
    assert text.endswith(b"line 0999\n")
    assert b"bytes left out by the collector]" in text
    assert len(text) < 2200


def test_endless_line_is_cut(tmp_path: Path) -> None:
    text = sink_text(tmp_path, 1 << 20, [b"a" * 60_000, b"a" * 60_000, b"b\nnext\n"])
    first, second = text.splitlines()
    assert len(first) < MAX_LOG_LINE + 100
    assert b"line cut" in first
    assert second == b"next"


def test_last_line_without_newline_is_kept(tmp_path: Path) -> None:
    assert sink_text(tmp_path, 1000, [b"a\nb"]) == b"a\nb\n"


def test_node_logs_rotated_linked_and_older(stack: Stack, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "app.log").write_text(
        "2026-01-01 00:00:02.000\tWARN\t[x]\tcareful\n2026-01-01 00:00:03.000\tERROR\t[x]\tbad\n"
        '2026-01-01 00:00:04.000\tINFO\t[x]\tfine\t{"error": "none"}\n'
    )
    rotated = logs / "app-2026-01-01T00-00-01.500.log.gz"
    rotated.write_bytes(
        gzip.compress(
            b"2025-12-31 23:59:00.000\tINFO\tearlier run\n  its trace\n"
            b"2026-01-01 00:00:01.000\tINFO\tthis run\n"
        )
    )
    (tmp_path / "secret").write_text("root\n")
    (logs / "error.log").symlink_to(tmp_path / "secret")
    node = stack.spec["nodes"][0]
    node["log_dir"] = str(logs)
    node["handle"] = {"kind": "container", "id": "x", "name": "x"}
    stack.sim.run()
    stack.start()
    stack.finish()
    app = (stack.evidence / "logs/app/wk-node1.log").read_text()
    assert "earlier run" not in app
    assert "its trace" not in app
    assert app.index("this run") < app.index("careful")
    assert (stack.evidence / "logs/error/wk-node1.log").read_text().split("\t")[-1] == "bad\n"
    assert (stack.evidence / "logs/warn/wk-node1.log").read_text().count("\n") == 1
    assert (stack.evidence / "logs/debug/wk-node1.log").read_text() == ""


@pytest.mark.parametrize(
    ("line", "level"),
    [
        (b"2026-01-01 00:00:00.000\tWARN\t[x]\tit", b"warn"),
        (b'{"level":"error","msg":"warn"}', b"error"),
        (b'2026-01-01\tINFO\tok\t{"error": ""}', b"info"),
        (b"panic: boom", b"error"),
        (b"a warning", b"warn"),
        (b"forewarned", b""),
    ],
)
def test_level_of_a_line(line: bytes, level: bytes) -> None:
    assert line_level(line) == level


def test_who_serves_no_log_in_time_is_not_waited_for_again(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOGS_TIMEOUT", 0.5)
    node = stack.spec["nodes"][0]
    node["handle"] = {"kind": "http", "logs_url": stack.nodes[0].url + "/logs"}
    stack.nodes[0].hung.set()
    stack.evidence.mkdir(parents=True)
    began = time.monotonic()
    logs.collect(Run(stack.spec))
    assert time.monotonic() - began < 1.5
    errors = sorted(stack.evidence.glob("logs/*/wk-node1.log.err"))
    assert [file.parent.name for file in errors] == ["app", "compose", "debug", "error", "warn"]
    assert "no answer within" in (stack.evidence / "logs/compose/wk-node1.log.err").read_text()
    assert "not asked" in (stack.evidence / "logs/app/wk-node1.log.err").read_text()

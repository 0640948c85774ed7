"""Recorded times, moved to now."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wkreplay import times


@given(st.integers(10**9, 3 * 10**9), st.integers(3, 9), st.integers(-(10**10), 10**10))
def test_shifting_there_and_back_gives_the_same_text(
    second: int, digits: int, shift_ms: int
) -> None:
    text = times.format_time(second * 10**9 + 123_456_789, digits) + "Z"
    moved = times.shift_time(text, shift_ms)
    assert times.shift_time(moved, -shift_ms) == text
    assert times.parse_time(moved) - times.parse_time(text) == shift_ms * 10**6


@pytest.mark.parametrize(
    ("line", "moved"),
    [
        (
            b"2026-11-01 10:00:00.500\tINFO\t[m]\tf.go:1\tx {}\n",
            b"2026-11-01 11:00:00.500\tINFO\t[m]\tf.go:1\tx {}\n",
        ),
        (
            b'{"level":"WARN","time":"2026-11-01 10:00:00.500","msg":"2026-11-01 10:00:00.500"}\n',
            b'{"level":"WARN","time":"2026-11-01 11:00:00.500","msg":"2026-11-01 10:00:00.500"}\n',
        ),
        (b"2026/11/01 10:00:00 internal/app: x\n", b"2026/11/01 11:00:00 internal/app: x\n"),
        (
            b"2026-11-01T10:00:00.600000001Z 2026-11-01 10:00:00.500\tINFO\tx\n",
            b"2026-11-01T11:00:00.600000001Z 2026-11-01 11:00:00.500\tINFO\tx\n",
        ),
        (b"WuKongIM 2026-11-01 10:00:00.500\n", b"WuKongIM 2026-11-01 10:00:00.500\n"),
        (b"2026-99-01 10:00:00.500\tx\xff\n", b"2026-99-01 10:00:00.500\tx\xff\n"),
    ],
)
def test_log_lines_move_their_own_time_and_nothing_else(line: bytes, moved: bytes) -> None:
    assert times.shift_log_line(line, 3_600_000) == moved


@given(st.binary(max_size=300))
def test_no_line_breaks_the_shift(line: bytes) -> None:
    assert isinstance(times.shift_log_line(line, 1000), bytes)


def test_metrics_move_moments_only_and_exactly() -> None:
    text = (
        b"process_start_time_seconds 1.79350033662e+09\n"
        b"go_memstats_last_gc_time_seconds 1.795500459662907e+09\n"
        b'wukongim_x_total{a="1.795500459662907e+09"} 1.795500459e+09\n'
        b"go_memstats_last_gc_time_seconds 0\n"
    )
    moved = times.shift_metrics(text, 1500)
    assert moved.splitlines() == [
        b"process_start_time_seconds 1.79350033812e+09",
        b"go_memstats_last_gc_time_seconds 1.795500461162907e+09",
        b'wukongim_x_total{a="1.795500459662907e+09"} 1.795500459e+09',
        b"go_memstats_last_gc_time_seconds 0",
    ]
    assert times.shift_metrics(moved, -1500) == text

"""One connection, bounded in time and size."""

from __future__ import annotations

import time

import pytest
from tests.standin import dripping, serving

from wkcollect.http import Http, Unanswered


def test_an_answer_that_is_late_is_not_awaited() -> None:
    def late(_full: str) -> tuple[int, bytes]:
        time.sleep(0.6)
        return 200, b"late"

    with serving({"/x": late}) as server:
        began = time.monotonic()
        with pytest.raises(Unanswered) as caught:
            Http(server.url).get("/x", 0.2)
        assert caught.value.timeout
        assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_an_answer_that_drips_is_bounded_by_one_deadline(head: bytes) -> None:
    with dripping(head) as url:
        began = time.monotonic()
        with pytest.raises(Unanswered) as caught:
            Http(url).get("/x", 0.3)
        assert caught.value.timeout
        assert time.monotonic() - began < 1.0


def test_one_connection_serves_many_requests_one_each() -> None:
    with serving({"/x": b"1"}) as server:
        client = Http(server.url)
        try:
            client.get("/x", 1.0)
            sock = client._conn.sock
            for _ in range(3):
                assert client.get("/x", 1.0) == (200, b"1", False)
            assert client._conn.sock is sock
            assert len(server.seen) == 4
        finally:
            client.close()


def test_kept_connection_that_the_server_closed_is_opened_again() -> None:
    with serving({"/x": b"1"}) as server:
        client = Http(server.url)
        try:
            assert client.get("/x", 1.0) == (200, b"1", False)
            client._conn.sock.shutdown(2)
            assert client.get("/x", 1.0) == (200, b"1", False)
        finally:
            client.close()


def test_sink_gets_the_answer_and_never_a_refusal() -> None:
    with serving({"/log": b"line\n", "/gone": lambda _full: (404, b"no such log")}) as server:
        client = Http(server.url)
        pieces: list[bytes] = []
        try:
            assert client.get("/log", 1.0, sink=pieces.append) == (200, b"", False)
            assert client.get("/gone", 1.0, sink=pieces.append) == (404, b"no such log", False)
            assert pieces == [b"line\n"]
        finally:
            client.close()

"""HTTP over one kept connection, with a deadline for the whole answer and a limit for its size."""

from __future__ import annotations

import functools
import http.client
import io
import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from wkcollect.limits import SMALL_BODY
from wkcollect.values import describe, parse_json

NOT_RECORDED = "not recorded"


class Unanswered(Exception):
    """A request without a usable answer; ``timeout`` is true when none came in time."""

    def __init__(self, text: str, timeout: bool = False) -> None:
        super().__init__(text)
        self.timeout = timeout


class UnixConnection(http.client.HTTPConnection):
    """A connection to a server on a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Open the socket. Raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _Http10Connection(http.client.HTTPConnection):
    _http_vsn = 10
    _http_vsn_str = "HTTP/1.0"


class _InTime(io.RawIOBase):
    """What a connection receives, until one deadline for all of it.

    The timeout of a socket is for each piece: a server that sends a byte a second never meets it.
    """

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, deadline: float) -> None:
        super().__init__()
        self._sock, self._raw, self._deadline = sock, raw, deadline

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Receive some bytes. Raises socket.timeout once the deadline is over."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Let go of the socket."""
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer that ends at a deadline: its head as well as its body."""

    def __init__(self, deadline: float, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_InTime(sock, self.fp.detach(), deadline))


class Http:
    """One keep-alive connection to one server. Use from one thread only.

    ``base`` is http://host:port[/prefix], or unix:/path/of/socket. Raises ValueError for another.
    """

    def __init__(self, base: str) -> None:
        self._conn: http.client.HTTPConnection | None = None
        self._socket = self._prefix = self._host = ""
        self._port = 80
        if base.startswith("unix:"):
            self._socket = base[5:]
            return
        parts = urlsplit(base)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"not an http address: {base[:200]}")
        self._host, self._port = parts.hostname, parts.port or 80
        self._prefix = parts.path.rstrip("/")

    def close(self) -> None:
        """Close the connection, if any."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def get(
        self,
        path: str,
        timeout: float,
        limit: int = SMALL_BODY,
        sink: Callable[[bytes], Any] | None = None,
        large: bool = False,
    ) -> tuple[int, bytes, bool]:
        """GET ``path``; return (status, body, cut). Raises Unanswered.

        ``timeout`` bounds the whole exchange in seconds, ``limit`` the body in bytes; ``cut`` says
        that the body was longer. ``sink`` gets the pieces of a body with status 200 instead (body
        is b"" then). ``large`` asks with HTTP/1.0: no chunking, which is several times cheaper to
        read for big bodies.
        """
        deadline = time.monotonic() + timeout
        for attempt in (0, 1):
            reused = self._conn is not None and not large
            try:
                return self._exchange(path, deadline, limit, sink, large)
            except socket.timeout:
                self.close()
                raise Unanswered(f"no answer within {timeout:.1f} s", timeout=True) from None
            except (OSError, http.client.HTTPException, ValueError) as exc:
                self.close()
                # A kept connection may have been closed by the server meanwhile: ask once more.
                if reused and attempt == 0 and time.monotonic() < deadline:
                    continue
                raise Unanswered(describe(exc)) from None
        raise Unanswered("unreachable")

    def _connect(self, timeout: float, large: bool) -> http.client.HTTPConnection:
        conn: http.client.HTTPConnection
        if self._socket:
            conn = UnixConnection(self._socket, timeout)
        else:
            kind = _Http10Connection if large else http.client.HTTPConnection
            conn = kind(self._host, self._port, timeout=timeout)
        self._conn = conn
        conn.connect()
        return conn

    def _exchange(
        self,
        path: str,
        deadline: float,
        limit: int,
        sink: Callable[[bytes], Any] | None,
        large: bool,
    ) -> tuple[int, bytes, bool]:
        def left() -> float:
            return max(0.05, deadline - time.monotonic())

        if large:
            self.close()
        conn = self._conn or self._connect(left(), large)
        sock = conn.sock
        sock.settimeout(left())
        conn.request("GET", self._prefix + path, headers={"Accept-Encoding": "identity"})
        # Whatever can be called will do.
        conn.response_class = functools.partial(_Response, deadline)  # type: ignore[assignment]
        response = conn.getresponse()
        pieces: list[bytes] = []
        try:
            if response.status == 200:
                cut = _read(response, limit, sink or pieces.append)
            else:
                cut = _read(response, min(limit, SMALL_BODY), pieces.append)
            closing = cut or large or response.will_close
        finally:
            # read1() leaves a response open that was read to its end: the next request on this
            # connection would be sent and its answer refused.
            response.close()
        if closing:
            self.close()
        return response.status, b"".join(pieces), cut


def _read(response: http.client.HTTPResponse, limit: int, sink: Callable[[bytes], Any]) -> bool:
    """Pass the body on until its end or the limit; return whether it was longer."""
    size = 0
    while True:
        piece = response.read1(65536)
        if not piece:
            return False
        size += len(piece)
        if size > limit:
            sink(piece[: len(piece) - (size - limit)])
            return True
        sink(piece)


def refusal(code: int) -> str:
    """Return the words for an answer other than 200; stand-ins of a replay say 501."""
    return NOT_RECORDED if code == 501 else f"HTTP {code}"


def split_url(url: str) -> tuple[str, str]:
    """Return (base for Http, path) of a whole URL."""
    parts = urlsplit(url)
    return "http://" + parts.netloc, parts.path or "/"


def get_body(client: Http, path: str, timeout: float, limit: int, excerpt: int = 0) -> bytes:
    """Return the body of a page that may be large. Raises Unanswered, for all but 200 as well.

    The error of another status quotes the first ``excerpt`` bytes of its body.
    """
    code, body, cut = client.get(path, timeout, limit, large=True)
    if code != 200:
        raise Unanswered(f"HTTP {code} {body[:excerpt].decode('utf-8', 'replace')}".rstrip())
    if cut:
        raise Unanswered(f"answer larger than {limit} bytes")
    return body


def get_object(client: Http, path: str, timeout: float, limit: int = SMALL_BODY) -> dict[str, Any]:
    """Return the JSON object that a path answers with. Raises Unanswered, with the reason."""
    code, body, cut = client.get(path, timeout, limit)
    if code != 200:
        raise Unanswered(f"HTTP {code}")
    if cut:
        raise Unanswered(f"answer larger than {limit} bytes")
    try:
        document = parse_json(body)
    except ValueError as error:
        raise Unanswered(f"the answer is not JSON: {describe(error)}") from None
    if not isinstance(document, dict):
        raise Unanswered("the answer is not a JSON object")
    return document


def get_url(url: str, timeout: float, limit: int) -> tuple[int, bytes]:
    """GET a whole URL; return (status or 0, body)."""
    base, path = split_url(url)
    client = Http(base)
    try:
        code, body, _cut = client.get(path, timeout, limit)
        return code, body
    except Unanswered:
        return 0, b""
    finally:
        client.close()

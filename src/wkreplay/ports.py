"""TCP ports that a stand-in holds."""

from __future__ import annotations

import re
import socket

from wkreplay.errors import ReplayError


def parse_address(text: str) -> tuple[str, int]:
    """Return (address, port) of ADDRESS:PORT. Raises ReplayError for anything else."""
    match = re.fullmatch(r"([\w.-]+):(\d{1,5})", text)
    if not match or int(match[2]) > 65535:
        raise ReplayError(f"{text!r}: expected ADDRESS:PORT")
    return match[1], int(match[2])


class Port:
    """A TCP port that is ours while the stand-in lives, also when nothing listens on it.

    Two sockets that both ask for SO_REUSEADDR (without it the port of a stand-in that closed
    connections could not be bound again) may share a port until one listens. The UDP port of the
    same number keeps other replays away: it is taken or free, and goes with the process.
    """

    def __init__(self, address: tuple[str, int], *, or_another: bool = False) -> None:
        """Claim the port (0: any). Raises ReplayError when taken, unless another one will do."""
        host, preferred = address
        # A port that is free for TCP can be taken for UDP: try more than once.
        for number in [preferred, *([0] * 20 if or_another or preferred == 0 else [])]:
            try:
                with self._bind(socket.SOCK_STREAM, (host, number)) as sock:
                    self.address = (host, int(sock.getsockname()[1]))
                    self._claim = self._bind(socket.SOCK_DGRAM, self.address)
                return
            except OSError as caught:
                error = caught
        raise ReplayError(
            f"cannot listen on {host}:{preferred}: {error.strerror}; stop what uses "
            "the port or choose another one"
        ) from error

    @staticmethod
    def _bind(kind: int, address: tuple[str, int]) -> socket.socket:
        sock = socket.socket(socket.AF_INET, kind)
        try:
            if kind == socket.SOCK_STREAM:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
        except OSError:
            sock.close()
            raise
        return sock

    def bind(self) -> socket.socket:
        """Return a TCP socket bound to the port, not listening yet."""
        return self._bind(socket.SOCK_STREAM, self.address)

    def release(self) -> None:
        """Give the port back."""
        self._claim.close()

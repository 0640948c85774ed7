"""The container engine's events, as they happen."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from wkcollect.clock import iso
from wkcollect.http import UnixConnection
from wkcollect.run import Run, Target
from wkcollect.samplers.containers import States, engine_names
from wkcollect.values import describe, parse_json

ACTIONS = (
    "create", "destroy", "die", "kill", "oom", "pause", "restart", "start", "stop", "unpause",
    "update",
)  # fmt: skip
ATTRIBUTES = ("exitCode", "signal", "execDuration", "image", "name")
CONNECT_TIMEOUT = 5.0
RETRY_SECONDS = 2.0


class Events:
    """Writes the events of the containers until collecting is over."""

    def __init__(self, run: Run, containers: Sequence[Target], states: States) -> None:
        self._run = run
        self._states = states
        self._names = engine_names(containers)
        filters = {"type": ["container"], "container": list(self._names), "event": list(ACTIONS)}
        self._filters = quote(json.dumps(filters))
        self._since = run.since or run.clock.wall()
        self._tally = run.evidence.tally("events")
        self._seen: set[tuple[float, str, str]] = set()

    def follow(self) -> None:
        """Follow the engine; ask again from the last event on whenever its answer ends."""
        while not self._run.over.is_set():
            conn = None
            try:
                conn = UnixConnection(self._run.docker_socket, CONNECT_TIMEOUT)
                conn.request("GET", f"/events?since={self._since:.3f}&filters={self._filters}")
                response = conn.getresponse()
                if response.status != 200:
                    raise OSError(f"engine: HTTP {response.status}")
                self._tally.note(True)
                conn.sock.settimeout(None)
                for line in self._lines(response):
                    self._take(line)
            except (OSError, http.client.HTTPException) as error:
                self._tally.note(False, describe(error))
            finally:
                if conn is not None:
                    conn.close()
            self._run.over.wait(RETRY_SECONDS)

    def _lines(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        buffer = b""
        while not self._run.over.is_set():
            piece = response.read1(65536)
            if not piece:
                return
            buffer = (buffer + piece)[-(1 << 20) :]
            *lines, buffer = buffer.split(b"\n")
            yield from lines

    def _take(self, line: bytes) -> None:
        try:
            event = parse_json(line)
            actor = event["Actor"]["Attributes"]
            moment = event["timeNano"] / 1e9
            identity = (moment, str(event["Action"]), str(actor.get("name")))
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        self._since = max(self._since, moment)
        if identity in self._seen:
            return
        self._seen.add(identity)
        name = self._names.get(actor.get("name"), actor.get("name"))
        self._run.evidence.add_row(
            "events",
            "events.jsonl",
            {
                "time": iso(moment),
                "name": name,
                "action": event["Action"],
                "attributes": {k: str(v)[:200] for k, v in actor.items() if k in ATTRIBUTES},
            },
        )
        self._states.stale.add(name)

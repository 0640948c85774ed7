"""What every stand-in process answers."""

from __future__ import annotations

import bisect
import json
import re
import threading
import time

from wkreplay.failures import HANG, UNKNOWN, UP
from wkreplay.files import Row
from wkreplay.recording import Recording
from wkreplay.surfaces.answers import NOT_RECORDED, UNKNOWN_PATH, Answer, json_answer
from wkreplay.surfaces.usage import between, docker_usage
from wkreplay.times import log_line_time, shift_log_line, shift_time

LOG_KINDS = ("compose", "app", "error", "warn", "debug")


class Clock:
    """The recording's clock, moved to now by a whole number of milliseconds.

    It reads the host's clock once: a recording does not jump when that is set.
    """

    def __init__(self, recording: Recording, start_at: float) -> None:
        self.shift_ms = int(start_at * 1000) - recording.begin // 10**6
        self._booted = time.time_ns() - time.monotonic_ns()

    def moment(self) -> int:
        """Return the recorded moment (nanoseconds) that is now."""
        return self._booted + time.monotonic_ns() - self.shift_ms * 10**6


class Surface:
    """What every stand-in process answers; nodes and the simulator add their own paths."""

    def __init__(self, name: str, recording: Recording, clock: Clock) -> None:
        self.name = name
        self.recording = recording
        self.clock = clock
        self._logs: dict[str, tuple[list[int], list[bytes]]] = {}
        self._lock = threading.Lock()

    def reachable(self, moment: int) -> str:
        """Return how this process takes a connection at that moment."""
        raise NotImplementedError

    def mute(self, since: int, moment: int) -> bool:
        """Say whether a request taken at ``since`` has no answer yet."""
        return self.reachable(moment) == HANG

    def own(self, path: str, query: str, moment: int) -> Answer:
        """Return the answer of a path that the real process has too."""
        raise NotImplementedError

    def answer(self, path: str, query: str, moment: int) -> Answer:
        """Return the answer that is due at that moment."""
        state = self.reachable(moment)
        if state not in (UP, UNKNOWN):
            return Answer(state=state)
        return self.own(path, query, moment)

    # -- paths of the harness: what it reads from engines, files and /proc on a real stack

    def harness(self, what: str, moment: int) -> Answer:
        """Return what the harness does not ask the process itself for."""
        if what == "resource":
            return self._resource(moment)
        if what == "host":
            return self._host(moment)
        if what == "events":
            return self._events(moment)
        if what.startswith("logs/"):
            return self._log(what[len("logs/") :], moment)
        if what.startswith("bundle/"):
            return self._bundle_file(what[len("bundle/") :])
        return UNKNOWN_PATH

    def _shifted(self, row: Row, *keys: str) -> Row:
        moved = {
            k: shift_time(row[k], self.clock.shift_ms) for k in keys if isinstance(row.get(k), str)
        }
        return {**row, **moved}

    def _resource(self, moment: int) -> Answer:
        timeline = self.recording.resources.get(self.name)
        if timeline is None:
            usage = docker_usage(self.name, self.recording.docker_stats, moment)
            return NOT_RECORDED if usage is None else json_answer(usage)
        recorded = between(timeline, moment)
        if recorded is None:
            return NOT_RECORDED
        row = self._shifted(recorded, "started_at")
        row.pop("sample_time", None)
        return json_answer(row)

    def _host_name(self) -> str | None:
        hosts = self.recording.host
        if len(hosts) == 1:
            return next(iter(hosts))
        topology = self.recording.topology
        for entry in [*(topology.get("nodes") or []), topology.get("sim") or {}]:
            if isinstance(entry, dict) and entry.get("name") == self.name:
                return str(entry.get("host"))
        return None

    def _host(self, moment: int) -> Answer:
        timeline = self.recording.host.get(self._host_name() or "")
        row = between(timeline, moment)
        if row is None:
            return NOT_RECORDED
        return json_answer(
            {k: v for k, v in row.items() if k not in ("sample_time", "collector_cpu_seconds")}
        )

    def _events(self, moment: int) -> Answer:
        if not (self.recording.root / "events.jsonl").is_file():
            return NOT_RECORDED
        rows = [self._shifted(e.row, "time") for e in self.recording.events.until(moment)]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        return Answer(body=text.encode("utf-8"), kind="application/x-ndjson")

    def _bundle_file(self, name: str) -> Answer:
        if not re.fullmatch(
            r"(?:[\w-]+\.(?:txt|yml|json)|config/[\w-]+\.(?:json|toml|yaml))", name
        ):
            return UNKNOWN_PATH
        path = self.recording.root / name
        if not path.is_file():
            return UNKNOWN_PATH
        return Answer(body=path.read_bytes(), kind="text/plain; charset=utf-8")

    def log_until(self, kind: str, moment: int) -> list[bytes] | None:
        """Return the lines of a log that were there at that moment, times moved; None: no log."""
        with self._lock:
            if kind not in self._logs:
                path = self.recording.root / "logs" / kind / f"{self.name}.log"
                if not path.is_file():
                    return None
                times, lines, latest = [], [], 0
                with path.open("rb") as file:
                    for line in file:
                        own = log_line_time(line)
                        # Streams of one process interleave slightly out of order: keep the file's
                        # order, a line without a time comes with the one before it.
                        latest = max(latest, own[0]) if own else latest
                        times.append(latest)
                        lines.append(shift_log_line(line, self.clock.shift_ms))
                self._logs[kind] = (times, lines)
        times, lines = self._logs[kind]
        return lines[: bisect.bisect_right(times, moment)]

    def _log(self, kind: str, moment: int) -> Answer:
        if kind not in LOG_KINDS:
            return UNKNOWN_PATH
        lines = self.log_until(kind, moment)
        if lines is None:
            return NOT_RECORDED
        return Answer(body=b"".join(lines), kind="text/plain; charset=utf-8")

"""A node."""

from __future__ import annotations

import contextlib
import gzip
import json
import re

from wkreplay.failures import UNKNOWN, UP
from wkreplay.files import read_object
from wkreplay.surfaces.answers import (
    NOT_RECORDED,
    UNKNOWN_PATH,
    Answer,
    failure,
    json_answer,
    slowness,
)
from wkreplay.surfaces.base import Surface
from wkreplay.timeline import Event
from wkreplay.times import shift_metrics

EARLY_S = 2.0
"""A scrape recorded at t stands for the node from t - EARLY_S on: without it a window that begins a
moment earlier than the recorded one would end on the scrape before the last."""


class NodeSurface(Surface):
    """A node: health, metrics, debug and pprof."""

    def reachable(self, moment: int) -> str:
        """See Surface."""
        timeline = self.recording.reach[self.name]
        event = timeline.at(moment) or (timeline.events[0] if timeline.events else None)
        return str(event.row["state"]) if event else UNKNOWN

    def own(self, path: str, query: str, moment: int) -> Answer:
        """See Surface."""
        if path in ("/healthz", "/readyz"):
            return self._probe(path[1:], moment)
        if path == "/metrics":
            return self._metrics(moment)
        if path == "/debug/cluster":
            return self._cluster(moment)
        if path == "/debug/goroutines/summary":
            return self._goroutines(moment)
        if path.startswith("/debug/pprof/"):
            return self._pprof(path[len("/debug/pprof/") :], query)
        return UNKNOWN_PATH

    def _own_failure(self, event: Event) -> bool:
        """Say whether a failed request was this path's own trouble, not that of the whole node."""
        return self.reachable(event.at) in (UP, UNKNOWN)

    def _probe(self, probe: str, moment: int) -> Answer:
        timeline = self.recording.health[self.name, probe]
        if not timeline.events:
            # Plain: a node whose /metrics answered was alive then, and the simulator does not
            # get to `running` before every node is ready.
            if self.reachable(moment) == UP:
                return json_answer({"status": "ok"} if probe == "healthz" else {"ready": True})
            return NOT_RECORDED
        event = timeline.at(moment) or timeline.events[0]
        row = event.row
        if row.get("http_status"):
            default = {"status": "ok"} if probe == "healthz" else {"ready": bool(row.get("ok"))}
            body = row.get("body")
            text = body if isinstance(body, str) else json.dumps(default)
            return Answer(int(row["http_status"]), text.encode("utf-8"), delay_s=slowness(row))
        if self._own_failure(event):
            return failure(row.get("error"))
        return NOT_RECORDED

    def _metrics(self, moment: int) -> Answer:
        timeline = self.recording.metrics[self.name]
        event = timeline.at(moment + int(EARLY_S * 1e9))
        if event is None:
            return NOT_RECORDED
        if "error" in event.row:
            return failure(event.row["error"]) if self._own_failure(event) else NOT_RECORDED
        raw = event.row["path"].read_bytes()
        text = gzip.decompress(raw) if event.row["path"].suffix == ".gz" else raw
        moved = shift_metrics(text, self.clock.shift_ms)
        return Answer(body=moved, kind="text/plain; version=0.0.4; charset=utf-8")

    def _cluster(self, moment: int) -> Answer:
        timeline = self.recording.cluster.get(self.name)
        event = timeline.at(moment) if timeline else None
        if event is None:
            return NOT_RECORDED
        if "cluster" in event.row:
            return json_answer(event.row["cluster"])
        return failure(event.row.get("error")) if self._own_failure(event) else NOT_RECORDED

    def _goroutines(self, moment: int) -> Answer:
        timeline = self.recording.health[self.name, "goroutines"]
        event = timeline.at(moment) or (timeline.events[0] if timeline.events else None)
        # The last one has its own file, taken after the window.
        number = self.recording.node_number(self.name)
        final = self.recording.root / "pprof" / f"node{number}-goroutine-summary.json"
        if moment > self.recording.window[1] and final.is_file():
            return json_answer(
                self._shifted(read_object(final), "process_started_at", "generated_at")
            )
        if event is None:
            return NOT_RECORDED
        with contextlib.suppress(ValueError, TypeError):
            summary = json.loads(event.row.get("body") or "")
            if isinstance(summary, dict):
                return json_answer(self._shifted(summary, "process_started_at", "generated_at"))
        return failure(event.row.get("error")) if self._own_failure(event) else NOT_RECORDED

    def _pprof(self, what: str, query: str) -> Answer:
        suffixes = {"profile": "cpu.pb.gz", "heap": "heap.pb.gz", "goroutine": "goroutine.txt"}
        if what not in suffixes:
            return UNKNOWN_PATH
        number = self.recording.node_number(self.name)
        path = self.recording.root / "pprof" / f"node{number}-{suffixes[what]}"
        error = path.with_name(path.name + ".err")
        if path.is_file():
            seconds = re.search(r"(?:^|&)seconds=(\d{1,3})(?:&|$)", query)
            delay = float(seconds[1]) if what == "profile" and seconds else 0.0
            kind = (
                "text/plain; charset=utf-8" if path.suffix == ".txt" else "application/octet-stream"
            )
            return Answer(body=path.read_bytes(), kind=kind, delay_s=delay, long=True)
        if error.is_file():
            return failure(error.read_text("utf-8", "replace")[:200])
        return NOT_RECORDED

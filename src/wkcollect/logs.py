"""The logs of every target on this host, after the window, wherever its handle says they are."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from wkcollect import limits
from wkcollect.engine import Demultiplexer
from wkcollect.http import Unanswered, split_url
from wkcollect.logfiles import LogSink, copy_log, log_sources, split_level
from wkcollect.run import Run
from wkcollect.samplers.containers import reference
from wkcollect.values import describe

KINDS = ("app", "error", "warn", "debug")
#: What a target writes to its output, and what `docker compose logs` would show.
OUTPUT = "compose"


class NotRecorded(Exception):
    """The recording that a replay serves holds no such log."""


class TargetLogs:
    """Collects the logs of one node or of the simulator into logs/<kind>/<name>.log."""

    def __init__(self, run: Run, target: dict[str, Any], is_node: bool) -> None:
        self._run, self._target = run, target
        self._name: str = target["name"]
        self._handle: dict[str, Any] = target.get("handle") or {}
        self._directory: str | None = target.get("log_dir") if is_node else None
        self._is_node = is_node

    def collect(self) -> None:
        """Collect all kinds; what is not there to be collected is derived from what is."""
        if self._handle.get("kind") == "http":
            self._collect_served()
            return
        output = self._collect_output()
        kinds = self._collect_files()
        source = kinds.get("app") or output
        for level in ("error", "warn"):
            if level not in kinds and source:
                self._split(level, source)

    def _collect_output(self) -> str | None:
        if self._handle.get("kind") == "container":
            return self._write(OUTPUT, self._feed_engine)
        if self._handle.get("log_file"):
            # A process without an engine: its own output, where the driver put it.
            return self._write(OUTPUT, self._feed_output_file)
        return None

    def _collect_files(self) -> dict[str, str | None]:
        """Collect the files of the log directory; return the copies' paths by kind."""
        copies: dict[str, str | None] = {}
        deadline = time.monotonic() + limits.LOGS_TIMEOUT
        for kind in KINDS if self._directory else ():
            try:
                paths = log_sources(str(self._directory), kind, self._run.since)
            except OSError as error:
                self._fail(kind, describe(error), began=time.monotonic())
                continue
            if paths or kind in ("app", "debug"):
                copies[kind] = self._write(kind, self._copier(paths, deadline))
        return copies

    def _copier(self, paths: list[str], deadline: float) -> Callable[[LogSink], None]:
        local = self._handle.get("kind") == "process"
        return lambda sink: copy_log(paths, sink, self._run.since, local, deadline)

    def _file(self, kind: str) -> str:
        return f"logs/{kind}/{self._name}.log"

    def _write(self, kind: str, feed: Callable[[LogSink], None]) -> str | None:
        """Let feed(sink) fill a log; return its path, or None when there is none.

        Raises NotRecorded as feed() does, and leaves no file then.
        """
        began = time.monotonic()
        evidence, name = self._run.evidence, self._file(kind)
        path, tally = evidence.path(name), evidence.tally("logs-" + kind)
        sink = LogSink(path, self._run.log_bytes)
        try:
            feed(sink)
            sink.close()
            tally.add_file(name)
            tally.note(True, began=began)
            return path
        except NotRecorded:
            # Not recorded is not the same as empty.
            sink.close()
            os.remove(path)
            tally.note(True, began=began)
            raise
        except (Unanswered, OSError, EOFError, ValueError) as error:
            sink.close()
            self._fail(kind, describe(error), getattr(error, "timeout", False), began)
            if os.path.getsize(path):
                tally.add_file(name)
                return path
            os.remove(path)
            return None

    def _fail(
        self, kind: str, reason: str, timeout: bool = False, began: float | None = None
    ) -> None:
        collector = "logs-" + kind
        self._run.evidence.add_error(collector, self._file(kind), reason)
        self._run.evidence.tally(collector).note(False, reason, timeout, began)

    def _split(self, level: str, source: str) -> None:
        """Derive the log of one level from another log."""
        evidence, name = self._run.evidence, self._file(level)
        if os.path.exists(evidence.path(name + ".err")):
            return
        tally = evidence.tally("logs-" + level)
        began = time.monotonic()
        split_level(source, evidence.path(name), level.encode(), self._run.log_bytes)
        tally.add_file(name)
        tally.note(True, began=began)

    def _feed_engine(self, sink: LogSink) -> None:
        """Feed a container's output since the stack started to a sink."""
        since = int(self._run.since or 0)
        path = f"/containers/{reference(self._handle)}/logs"
        code, _body, _cut = self._run.engine().get(
            f"{path}?stdout=1&stderr=1&timestamps=1&since={since}",
            limits.LOGS_TIMEOUT,
            limits.LOG_BODY,
            sink=Demultiplexer(sink.feed).feed,
        )
        if code != 200:
            raise Unanswered(f"engine: HTTP {code}")

    def _feed_output_file(self, sink: LogSink) -> None:
        path = self._handle["log_file"]
        if os.path.islink(path):
            raise Unanswered("is a link")
        copy_log([path], sink, None, True, time.monotonic() + limits.LOGS_TIMEOUT)

    def _collect_served(self) -> None:
        """Collect the logs that the target itself serves (replay)."""
        url = self._handle.get("logs_url")
        # One deadline for all kinds: whoever leaves one of them unanswered is not waited for again.
        patience = self._run.patience(self._target, limits.LOGS_TIMEOUT)
        deadline = time.monotonic() + patience
        for kind in (OUTPUT, *KINDS) if url else ():
            try:
                self._write(kind, self._server(f"{str(url).rstrip('/')}/{kind}", deadline))
            except NotRecorded:
                if self._is_node:
                    tally = self._run.evidence.tally("logs-" + kind)
                    tally.error = tally.error or "not recorded: " + self._name

    def _server(self, url: str, deadline: float) -> Callable[[LogSink], None]:
        base, path = split_url(url)

        def feed(sink: LogSink) -> None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Unanswered("not asked: the logs before it took too long", timeout=True)
            code, _body, _cut = self._run.client(base).get(
                path, left, limits.LOG_BODY, sink=sink.feed
            )
            if code in (404, 501):
                raise NotRecorded
            if code != 200:
                raise Unanswered(f"HTTP {code}")

        return feed


def collect(run: Run) -> None:
    """Collect the logs of everything on this host, each target in its own thread."""
    targets = [TargetLogs(run, node, is_node=True) for node in run.nodes]
    if run.sim:
        targets.append(TargetLogs(run, run.sim, is_node=False))
    threads = [run.spawn("logs", target.collect) for target in targets]
    for thread in threads:
        thread.join()

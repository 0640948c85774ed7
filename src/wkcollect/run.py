"""What all parts of one host's collector share: the spec, the clock, the threads, the end."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from wkcollect import limits
from wkcollect.clock import Cadence, Clock, first_slot, parse_iso
from wkcollect.evidence import Evidence
from wkcollect.files import FULL, Reserve
from wkcollect.http import Http
from wkcollect.proc import Proc
from wkcollect.values import describe
from wkcollect.window import Window


class Target(NamedTuple):
    """A node or the simulator, and the handle by which this host gets at it."""

    name: str
    handle: dict[str, Any]


class Sampler(Protocol):
    """Takes one kind of sample again and again."""

    def take(self, seq: int, due: float, lateness: float, /) -> None:
        """Take the sample of slot ``seq``, due on the monotonic clock and late by seconds."""


class Run:
    """One run of the collector on one host.

    ``sampling_over`` ends the samplers, ``over`` ends everything. ``silent`` counts the questions
    in a row that a node (its health) or the simulator (its status) did not answer, ``connections``
    what each gateway holds.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.host: str = spec["host"]
        self.lead = bool(spec.get("lead"))
        self.nodes: list[dict[str, Any]] = spec.get("nodes") or []
        self.sim: dict[str, Any] | None = spec.get("sim") if self.lead else None
        self.interval = float(spec.get("interval", 1.0))
        self.out: str = spec["out_dir"]
        bounds = spec.get("limits") or {}
        self.log_bytes: int = bounds.get("log_bytes", limits.LOG_BYTES)
        self.file_bytes: int = bounds.get("file_bytes", limits.FILE_BYTES)
        self.clock = Clock(float(spec.get("clock_ahead_s") or 0))
        began = parse_iso(spec.get("stack_started_at"))
        # In this host's own time, as its logs and its engine have it.
        self.since = None if began is None else began + self.clock.ahead
        self.docker_socket: str = spec.get("docker_socket") or "/var/run/docker.sock"
        self.launched = time.monotonic()
        agreed = spec.get("begin_at")
        # When samples begin: on all hosts at once, however long their collectors took to start.
        self.began = first_slot(
            None if agreed is None else self.clock.mono(float(agreed)), self.interval, self.launched
        )
        self.proc = Proc(spec.get("hide_proc") or os.environ.get("WKTRIAGE_HIDE_PROC") == "1")
        self.window = Window(self.clock, float(spec["window"]["seconds"]), self.interval)
        self.reserve = Reserve(self.out)
        self.evidence = Evidence(os.path.join(self.out, "evidence"))
        self.sampling_over = threading.Event()
        self.over = threading.Event()
        self.stop_reason: str | None = None
        self.silent: dict[str, int] = {}
        self.connections: dict[str, int | None] = {}
        self._clients: list[Http] = []

    # Who is on this host

    def targets(self) -> list[Target]:
        """Return all nodes of this host, and the simulator when it is here."""
        entries = [*self.nodes, self.sim] if self.sim else self.nodes
        return [Target(e["name"], e.get("handle") or {}) for e in entries]

    def client(self, base: str) -> Http:
        """Return a connection of its own for one sampler, closed when collecting is over."""
        client = Http(base)
        self._clients.append(client)
        return client

    def engine(self) -> Http:
        """Return a client of the container engine."""
        return self.client("unix:" + self.docker_socket)

    def patience(self, node: dict[str, Any], seconds: float) -> float:
        """Return the timeout for a target, short when its last questions got no answer."""
        return limits.SILENT_NODE_TIMEOUT if self.is_silent(node) else seconds

    def is_silent(self, node: dict[str, Any]) -> bool:
        """Say whether a node, or the simulator, left its last two questions unanswered."""
        return self.silent.get(node["name"], 0) >= 2

    def heard(self, name: str, answered: bool) -> None:
        """Take note of whether a target answered."""
        self.silent[name] = 0 if answered else self.silent.get(name, 0) + 1

    # Phases

    def note(self, text: str) -> None:
        """Write a line to collector.log."""
        sys.stderr.write(f"{self.clock.iso()} {text[:300]}\n")
        sys.stderr.flush()

    def enter(self, phase: str, mono: float | None = None) -> None:
        """Begin a phase."""
        self.window.begin(phase, mono)
        self.note("phase " + phase)

    def stop(self, reason: str) -> None:
        """Ask for an early end."""
        with self.window.changed:
            if self.stop_reason is None:
                self.stop_reason = reason
                self.window.changed.notify_all()

    def close(self) -> None:
        """Close connections and files."""
        for client in self._clients:
            client.close()
        self.evidence.close()

    # Threads

    def spawn(self, name: str, target: Callable[..., Any], *args: Any) -> threading.Thread:
        """Run a part in a thread; its death is recorded, and costs only itself."""

        def body() -> None:
            try:
                target(*args)
            except Exception as error:
                self.evidence.tally(name).note(False, "collector error: " + describe(error))
                traceback.print_exc()

        thread = threading.Thread(target=body, name=name, daemon=True)
        thread.start()
        return thread

    def for_nodes(self, function: Callable[..., Any], *args: Any) -> None:
        """Call function(node, *args) for all nodes at once and wait for all."""
        threads = [self.spawn("nodes", function, node, *args) for node in self.nodes]
        for thread in threads:
            thread.join()

    def sample(self, name: str, interval: float, offset: float, sampler: Sampler) -> None:
        """Let a sampler take a sample at every slot until sampling is over, in a thread."""
        self.spawn(name, self._sample, name, interval, offset, sampler)

    def _sample(self, name: str, interval: float, offset: float, sampler: Sampler) -> None:
        cadence = Cadence(self.began + offset, interval, self.sampling_over)
        tally = self.evidence.tally(name)
        missed = 0
        for seq, due, lateness in cadence.slots():
            try:
                sampler.take(seq, due, lateness)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                tally.note(False, describe(error))
                if getattr(error, "errno", None) in FULL:
                    self.window.invalidate("samples were lost: " + describe(error))
            tally.missed += cadence.missed - missed
            missed = cadence.missed

"""A stack of stand-ins, and the collector that watches it: in a thread, or as a host runs it."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.hostprograms import oldest_python
from tests.standin import Simulator, StandIn, node_answers, serving

from wkcollect.clock import parse_iso
from wkcollect.collector import Collector
from wktriage.core import schemas, zipapps


def until(condition: Callable[[], Any], seconds: float = 15) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("the condition did not come about")


class Stack:
    """Three nodes and a simulator, all stand-ins, and the spec that watches them."""

    def __init__(self, tmp: Path, exits: ExitStack) -> None:
        self.tmp = tmp
        self.sim = Simulator()
        self.nodes: list[StandIn] = [exits.enter_context(serving(node_answers())) for _ in range(3)]
        self.front = exits.enter_context(serving({"/status": self.sim}))
        self.spec: dict[str, Any] = {
            "schema_version": 1, "run_id": "20260101T000000Z-custom-abcd", "lead": True,
            "out_dir": str(tmp / "out"), "host": "here", "project": "p",
            "stack_started_at": "2026-01-01T00:00:00.000Z",
            "status_url": self.front.url + "/status", "window": {"seconds": 1.0},
            "interval": 0.1, "series_interval": 1, "ready_timeout": 8, "settle": 8,
            "profile_seconds": 1, "docker_socket": str(tmp / "absent.sock"),
            "nodes": [
                {"name": f"wk-node{n}", "id": n, "host": "here", "api_url": node.url,
                 "handle": {"kind": "process", "pid": os.getpid()}, "data_dir": None,
                 "log_dir": None, "verbs": {}}
                for n, node in enumerate(self.nodes, 1)
            ],
            "sim": {"name": "wk-sim", "host": "here", "status_url": self.front.url + "/status",
                    "handle": {"kind": "process", "pid": os.getpid()}, "log_dir": None,
                    "verbs": {}},
        }  # fmt: skip
        self.evidence = tmp / "out" / "evidence"
        self.thread: threading.Thread | None = None
        self.collector: Any = None

    def start(self) -> Any:
        schemas.validate("collector_spec", self.spec)
        self.evidence.mkdir(parents=True)
        self.collector = Collector(self.spec)
        self.thread = threading.Thread(target=self.collector.collect, daemon=True)
        self.thread.start()
        return self.collector

    def phase(self) -> str:
        return str(self.collector.run.window.phase)

    def finish(self, seconds: float = 25) -> dict[str, Any]:
        assert self.thread is not None
        self.thread.join(seconds)
        assert not self.thread.is_alive(), f"still in phase {self.phase()}"
        document: dict[str, Any] = json.loads((self.evidence / "window.json").read_text())
        schemas.validate("window", document)
        return document

    def rows(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.evidence / name).read_text().splitlines()]

    def statuses(self) -> dict[str, str]:
        document = json.loads((self.tmp / "out" / "collectors.json").read_text())
        schemas.validate("collectors", document)
        return {c["name"]: c["status"] for c in document["collectors"]}


def seconds_between(window: dict[str, Any]) -> float:
    start, end = parse_iso(window["start"]), parse_iso(window["end"])
    assert start is not None
    assert end is not None
    return end - start


class Detached:
    """The collector as a host runs it."""

    def __init__(self, stack: Stack) -> None:
        self.out = stack.tmp / "out"
        self.program = zipapps.build("wkcollect")
        self.spec = stack.tmp / "spec.json"
        self.spec.write_text(json.dumps(stack.spec))

    def __call__(self, *args: str, check: bool = True) -> Any:
        done = subprocess.run(
            [oldest_python(), str(self.program), *args], capture_output=True, text=True, timeout=20
        )
        if check:
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)
        return done

    def poll(self) -> dict[str, Any]:
        found: dict[str, Any] = self("poll", str(self.out))
        return found

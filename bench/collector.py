"""Measures what the collector costs and how well it keeps its cadence.

    python -m bench.collector [--seconds 60] [--nodes 3] [--metrics-kb 650] [--hang]

Stand-ins answer as loaded nodes do (measured: /metrics of 640-660 KB a node); the collector is the
detached process that runs on hosts. Prints one JSON object: CPU in percent of one core, jitter of
the status samples, samples due and taken, bytes written.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.standin import Simulator, node_answers, serving

from wktriage.core import zipapps


def metrics(kilobytes: int) -> bytes:
    """Return an exposition of about that size, with the entropy of a real one."""
    line = 'wukongim_channelv2_append_duration_seconds_bucket{node_id="1",mode="m%d",le="%g"} %d\n'
    text, number = "", 0
    while len(text) < kilobytes * 1024:
        text += line % (number % 40, 0.001 * 2 ** (number % 16), number * number % 99991)
        number += 1
    return text.encode()


def measure(seconds: float, nodes: int, kilobytes: int, *, hang: bool) -> dict[str, Any]:
    """Run the collector over a window of ``seconds`` and return what it cost."""
    simulator = Simulator()
    with ExitStack() as exits:
        tmp = Path(exits.enter_context(tempfile.TemporaryDirectory()))
        body = metrics(kilobytes)
        servers = [
            exits.enter_context(serving({**node_answers(), "/metrics": body})) for _ in range(nodes)
        ]
        front = exits.enter_context(serving({"/status": simulator}))
        out = tmp / "out"
        spec = {
            "schema_version": 1, "run_id": "bench", "out_dir": str(out), "host": "bench",
            "lead": True, "project": "bench", "stack_started_at": None,
            "status_url": front.url + "/status", "window": {"seconds": seconds}, "interval": 1.0,
            "series_interval": 10, "ready_timeout": 30, "settle": 30, "profile_seconds": 1,
            "nodes": [
                {"name": f"wk-node{n}", "id": n, "host": "bench", "api_url": server.url,
                 "handle": {"kind": "process", "pid": 1}, "data_dir": None, "log_dir": None,
                 "verbs": {}}
                for n, server in enumerate(servers, 1)
            ],
            "sim": {"name": "wk-sim", "host": "bench", "status_url": front.url + "/status",
                    "handle": {"kind": "process", "pid": 1}, "log_dir": None, "verbs": {}},
        }  # fmt: skip
        (tmp / "spec.json").write_text(json.dumps(spec))
        run = [sys.executable, str(zipapps.build("wkcollect"))]
        subprocess.run([*run, "start", str(tmp / "spec.json")], check=True, capture_output=True)
        simulator.run()
        if hang:
            servers[0].hung.set()
        state = out / "state.json"
        while not json.loads(state.read_text())["done"]:
            time.sleep(0.5)
        window = json.loads((out / "evidence" / "window.json").read_text())
        size = sum(p.stat().st_size for p in (out / "evidence").rglob("*") if p.is_file())
        requests = sum(len(s.seen) for s in [*servers, front])
    (cost,) = window["collector"]
    return {
        "window_s": seconds,
        "nodes": nodes,
        "metrics_kb": kilobytes,
        "one_node_hangs": hang,
        "cpu_percent_of_core": round(100 * cost["cpu_seconds"] / cost["wall_seconds"], 2),
        "cpu_s": cost["cpu_seconds"],
        "wall_s": cost["wall_seconds"],
        "status_due": window["cadence"]["due"],
        "status_taken": window["cadence"]["taken"],
        "jitter_ms": window["cadence"]["jitter_ms"],
        "bytes_written": size,
        "requests": requests,
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--metrics-kb", type=int, default=650)
    parser.add_argument("--hang", action="store_true", help="one node accepts and never answers")
    args = parser.parse_args()
    found = measure(args.seconds, args.nodes, args.metrics_kb, hang=args.hang)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()

"""This harness beside WuKongIM's own dev-sim-perf-triage.sh: one stack, one load, one window.

Run with a checkout and Docker:

    python -m bench.beside_script --checkout ~/src/WuKongIM [--pause wk-node2] [-e connect_rate=100]

Both watch the same cluster at the same time for the same number of seconds. Prints, for each:
samples a second, the longest gap, wall time, CPU seconds, evidence files, and what it said.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
STATUS_URL = "http://127.0.0.1:19091/status"
PAUSE_AFTER_S = 8
READY_S = 240


def moving() -> bool:
    """Tell whether the simulator runs and its counters have moved."""
    try:
        with urllib.request.urlopen(STATUS_URL, timeout=2) as reply:
            status = json.load(reply)
    except (OSError, ValueError):
        return False
    return bool(status.get("state") == "running" and status.get("messages_sent", 0))


def gaps(file: Path) -> tuple[int, float, float]:
    """Return samples, samples a second, and the longest gap (s) of a status.jsonl."""
    times = []
    for line in file.read_text(errors="replace").splitlines():
        times.append(datetime.fromisoformat(json.loads(line)["sample_time"]).timestamp())
    spans = [b - a for a, b in itertools.pairwise(times)]
    length = times[-1] - times[0]
    return len(times), (len(times) - 1) / length if length else 0.0, max(spans, default=0.0)


def watched(argv: list[str], env: dict[str, str], log: Path) -> tuple[int, float, float]:
    """Run a command to its end; return its code, wall seconds and CPU seconds with children."""
    began = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(argv, env=env, stdout=out, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
    return os.waitstatus_to_exitcode(status), time.monotonic() - began, _cpu(used)


def _cpu(used: resource.struct_rusage) -> float:
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Run both and print the comparison as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("--scenario", default="sampled-correctness")
    parser.add_argument("--duration", type=int, default=40)
    parser.add_argument("--pause", metavar="NODE", help="pause this node in the window")
    parser.add_argument("-e", dest="extra", action="append", default=[])
    asked = parser.parse_args()
    where = Path(tempfile.mkdtemp(prefix="beside-"))
    bundle_id = time.strftime("%Y%m%dT%H%M%SZ-", time.gmtime()) + f"{asked.scenario}-be5d"
    ours: dict[str, Any] = {}

    def triage() -> None:
        extra = [
            f"scenario={asked.scenario}",
            f"duration={asked.duration}",
            f"wukongim_checkout={asked.checkout}",
            "stack_build=never",
            f"bundle_id={bundle_id}",
            f"runs_dir={where}",
            *asked.extra,
        ]
        argv = [str(Path(sys.executable).with_name("wktriage")), "triage"]
        argv += [word for pair in extra for word in ("-e", pair)]
        code, wall, cpu = watched(argv, dict(os.environ), where / "harness.log")
        ours.update(exit_code=code, wall_s=round(wall, 1), controller_cpu_s=round(cpu, 2))

    run = threading.Thread(target=triage)
    run.start()
    end = time.monotonic() + READY_S
    while not ((where / ".work" / bundle_id / "topology.json").exists() and moving()):
        if time.monotonic() > end or not run.is_alive():
            sys.exit(f"the load never ran: see {where}/harness.log")
        time.sleep(0.5)
    if asked.pause:
        container = f"wktriage-{asked.pause}-1"
        threading.Timer(PAUSE_AFTER_S, subprocess.run, [["docker", "pause", container]]).start()
    script = [str(asked.checkout / "scripts/dev-sim-perf-triage.sh"), asked.scenario]
    script += ["--no-up", "--no-build", "--duration", str(asked.duration)]
    script += ["--profile-seconds", "10", "--out-dir", str(where / "script")]
    env = {**os.environ, "COMPOSE_PROJECT_NAME": "wktriage"}
    code, wall, cpu = watched(script, env, where / "script.log")
    run.join()

    found = next((where / "script").iterdir())
    count, rate, gap = gaps(found / "status.jsonl")
    said = [x for x in (found / "summary.md").read_text().splitlines() if "- result:" in x]
    theirs = {
        "samples": count,
        "samples_per_s": round(rate, 2),
        "longest_gap_s": round(gap, 2),
        "wall_s": round(wall, 1),
        "cpu_s": round(cpu, 2),
        "files": sum(p.stat().st_size > 0 for p in found.rglob("*") if p.is_file()),
        "exit_code": code,
        "said": said,
    }
    bundle = where / bundle_id
    window = json.loads((bundle / "window.json").read_text())
    verdict = json.loads((bundle / "verdict.json").read_text())
    cadence = window["cadence"]
    collector = sum(c["cpu_seconds"] for c in window["collector"])
    ours.update(
        samples=cadence["taken"],
        samples_due=cadence["due"],
        samples_per_s=round(cadence["taken"] / asked.duration, 2),
        jitter_ms=cadence["jitter_ms"],
        longest_gap_s=round(gaps(bundle / "status.jsonl")[2], 2),
        collector_cpu_s=round(collector, 2),
        files=sum(p.stat().st_size > 0 for p in bundle.rglob("*") if p.is_file()),
        said={k: verdict[k] for k in ("category", "confidence", "nodes", "since")},
    )
    report = {"harness": ours, "script": theirs, "paused": asked.pause, "kept_in": str(where)}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()

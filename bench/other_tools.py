"""What `wkbench metrics classify` and WuKongIM's triage script say of the same incidents.

    python -m bench.other_tools --wkbench PATH [DIR ...] > beside.json
    wktriage score --beside beside.json

The classifier sees one node at a time and knows no client, host, connection or delivery class. Its
classes are mapped generously: a node's class counts for any category that it could be a part of,
and the label is taken when one of the nodes' classes allows it. The script says PASS or FAIL of the
last status sample: PASS is read as healthy, FAIL as the label itself whenever that is no healthy.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from wktriage.bundle.bundle import Bundle
from wktriage.bundle.readers import status
from wktriage.evaluation import score

ROOT = Path(__file__).resolve().parents[1]
QUIET = "no_observed_queue_pressure"
GENEROUS = {
    QUIET: {"healthy", "client_bottleneck", "online_churn"},
    "gateway_dispatch": {"server_hot_path", "send_path", "local_capacity"},
    "controller_raft_step": {"cold_start", "send_path", "distributed_lag"},
    "channel_append": {"server_hot_path", "send_path", "distributed_lag", "cold_start"},
    "storage_commit": {"server_hot_path", "send_path", "local_capacity"},
    "mixed_backpressure": {"local_capacity", "server_hot_path", "send_path", "distributed_lag"},
}


def classes(wkbench: Path, bundle: Path) -> list[str]:
    """Return the classifier's class of every node that has both scrapes."""
    named = []
    for after in sorted((bundle / "metrics").glob("node*.prom")):
        before = after.with_name(f"{after.stem}-before.prom")
        if after.stem.endswith("-before") or not before.exists():
            continue
        argv = [str(wkbench), "metrics", "classify", "--before", str(before), "--after", str(after)]
        output = subprocess.run(argv, capture_output=True, text=True, check=False).stderr
        named += [
            x.partition(":")[2].strip()
            for x in output.splitlines()
            if x.startswith("classification:")
        ][:1]
    return named


def classified(named: Sequence[str], label: str) -> str:
    """Return the label when one of the classes allows it, else the classes themselves."""
    loud = [c for c in named if c != QUIET] or list(named)
    if any(label in GENEROUS.get(c, set()) for c in loud):
        return label
    return "/".join(sorted(set(loud))) or "nothing"


def script(bundle: Path) -> str:
    """Return PASS or FAIL by the script's own rule over the last status sample."""
    samples = [s for s in status.samples(Bundle.open(bundle)) if s.state]
    last = samples[-1] if samples else None
    passed = (
        last is not None
        and last.state == "running"
        and last.active_users > 0
        and last.sent > 0
        and not last.send_errors
        and not last.recv_errors
        and not last.last_error
    )
    return "PASS" if passed else "FAIL"


def main() -> None:
    """Print the JSON that `wktriage score --beside` reads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wkbench", type=Path, required=True)
    parser.add_argument("directories", nargs="*", type=Path)
    asked = parser.parse_args()
    own = [ROOT / "incidents", ROOT / "incidents" / "shared"]
    beside: dict[str, dict[str, str]] = {"wkbench": {}, "script": {}}
    for directory in asked.directories or own:
        for case in score.cases(directory):
            with score.opened(case) as path:
                named = classes(asked.wkbench, path)
                beside["wkbench"][case.name] = classified(named, case.label)
                beside["script"][case.name] = script(path)
    print(json.dumps(beside, indent=2, sort_keys=True))


if __name__ == "__main__":
    main()

"""What judging costs against the size of a bundle: nodes, rows, series and files, each doubled.

    python -m bench.cost [--only nodes]

Each row is `wktriage classify --json --out DIR` in a new process: CPU seconds and peak memory, a
bar of the seconds, and seconds over those of the half. In the limit 2.0 is linear, 4.0 quadratic;
below 2.0 a fixed part still counts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests import hostileplants

PEAK_UNIT = 1 if sys.platform == "darwin" else 1024
BAR = 30
NODE_METRICS = "# TYPE go_goroutines gauge\ngo_goroutines 5\n"


def nodes(root: Path, size: int) -> None:
    """Plant a cluster of so many nodes: metrics, log and health rows of each."""
    named = [{"name": f"wk-node{n}", "id": n} for n in range(1, size + 1)]
    (root / "topology.json").write_text(json.dumps({"nodes": named}))
    with (root / "health.jsonl").open("w") as health:
        for n in range(1, size + 1):
            (root / f"metrics/node{n}.prom").write_text(NODE_METRICS)
            (root / f"logs/app/wk-node{n}.log").write_text("2026-01-01T00:00:00Z\tINFO\tx\n" * 20)
            for second in range(0, 60, 10):
                health.write(json.dumps({
                    "sample_time": json.loads(hostileplants.row(second))["sample_time"],
                    "node": f"wk-node{n}", "probe": "healthz", "ok": True, "http_status": 200,
                }) + "\n")  # fmt: skip


def rows(root: Path, size: int) -> None:
    """Plant so many status rows."""
    with (root / "status.jsonl").open("w") as file:
        file.writelines(map(hostileplants.row, range(size)))


def series(root: Path, size: int) -> None:
    """Plant so many series in a family that is read, of one node, at both ends of the window."""
    text = "# TYPE wukongim_gateway_connections_active gauge\n" + "".join(
        f'wukongim_gateway_connections_active{{protocol="p{n}"}} {n}\n' for n in range(size)
    )
    for name in ("node1-before.prom", "node1.prom"):
        (root / "metrics" / name).write_text(text)


def files(root: Path, size: int) -> None:
    """Plant so many files that nothing reads."""
    for n in range(size):
        directory = root / "logs" / f"d{n // 1000}"
        directory.mkdir(exist_ok=True)
        (directory / f"{n}.log").write_bytes(b"")


KINDS: dict[str, tuple[Callable[[Path, int], None], int]] = {
    "nodes": (nodes, 50), "rows": (rows, 12_500), "series": (series, 6_250),
    "files": (files, 6_250),
}  # fmt: skip
DOUBLINGS = 4


def measured(plant: Callable[[Path, int], None], size: int) -> tuple[float, float]:
    """Return CPU seconds and megabytes of judging a bundle of that size."""
    with tempfile.TemporaryDirectory(prefix="wktriage-cost-") as temporary:
        root = hostileplants.make(Path(temporary) / "bundle")
        plant(root, size)
        # A process in between: what this one once held would count as the command's memory.
        done = subprocess.run(
            [sys.executable, "-m", "bench.cost", "--judge", str(root)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    seconds, megabytes = map(float, done.stdout.split())
    return seconds, megabytes


def judge(root: Path) -> None:
    """Judge a bundle in a new process and print what it took."""
    words = ["classify", str(root), "--json", "--out", str(root.with_name("out"))]
    subprocess.run(
        [str(Path(sys.executable).with_name("wktriage")), *words],
        stdout=subprocess.DEVNULL, check=False, env=dict(os.environ),
    )  # fmt: skip
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(used.ru_utime + used.ru_stime, used.ru_maxrss * PEAK_UNIT / 1e6)


def main() -> int:
    """Measure the chosen kinds; print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--judge", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.judge:
        judge(asked.judge)
        return 0
    print(
        "| what | how many | CPU s | MB | | over the half |\n| --- | --- | --- | --- | --- | --- |"
    )
    for kind, (plant, smallest) in KINDS.items():
        if asked.only in (kind, None):
            sizes = [smallest << n for n in range(DOUBLINGS)]
            taken = [measured(plant, size) for size in sizes]
            longest = max(seconds for seconds, _ in taken)
            before = None
            for size, (seconds, megabytes) in zip(sizes, taken, strict=True):
                bar = "█" * max(1, round(BAR * seconds / longest))
                growth = "" if before is None else f"{seconds / before:.1f}"
                many = f"{size:,}".replace(",", " ")
                cells = (kind, many, f"{seconds:.2f}", f"{megabytes:.0f}", bar, growth)
                print(f"| {' | '.join(cells)} |", flush=True)
                before = seconds
    return 0


if __name__ == "__main__":
    sys.exit(main())

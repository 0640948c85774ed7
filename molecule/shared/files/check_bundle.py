"""Check a bundle of a run on stand-ins: whole, valid, hashes right.

``check_bundle.py DIR [FILE ...]``, the files being those that its driver never has.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from wktriage.bundle import manifest

FILES = (
    "window.json",
    "topology.json",
    "fingerprint.json",
    "status.jsonl",
    "health.jsonl",
    "resources.jsonl",
    "host.jsonl",
    "compose-config.yml",
    "config/workload.json",
    "metrics/node1-before.prom",
    "metrics/node3.prom",
    "logs/app/wk-node2.log",
    "logs/compose/wk-sim.log",
    "redaction.json",
)


def main() -> None:
    """Exit with what is wrong with it, if anything is."""
    bundle = Path(sys.argv[1])
    without = set(sys.argv[2:])
    wrong = [f"missing: {n}" for n in FILES if n not in without and not (bundle / n).is_file()]
    wrong += [f"not expected: {n}" for n in sorted(without) if (bundle / n).exists()]
    wrong += manifest.verify(bundle)
    listed = manifest.read(bundle)
    if listed is None or not listed["complete"]:
        wrong.append("the manifest is missing or says that the bundle is not complete")
    if not wrong:
        window = json.loads((bundle / "window.json").read_text())
        if not window["valid"]:
            wrong.append(f"the window is not valid: {window['reason']}")
        rows = [json.loads(r) for r in (bundle / "resources.jsonl").read_text().splitlines()]
        seen = {row["name"] for row in rows if row["state"] == "running"}
        topology = json.loads((bundle / "topology.json").read_text())
        if seen != {part["name"] for part in (*topology["nodes"], topology["sim"])}:
            wrong.append(f"resources of {sorted(seen)} only")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()

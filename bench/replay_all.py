"""Replays incidents through a whole triage and compares each verdict with its recording's.

    python -m bench.replay_all [ID ...]

In real time, so a minute and a half each; prints one line an incident, and fails when category or
nodes differ.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from wktriage.incidents import library
from wktriage.judging.verdict import verdict_of

ROOT = Path(__file__).resolve().parents[1]


def main(names: list[str]) -> int:
    """Replay the named incidents (all own ones by default); return how many differ."""
    incidents = library.list_incidents(ROOT / "incidents")
    chosen = [i for i in incidents if (i.bundle in names if names else not i.shared)]
    different = 0
    for incident in chosen:
        with tempfile.TemporaryDirectory() as directory:
            where = Path(directory)
            recorded = verdict_of(library.unpack(incident, where / "recorded"))
            argv = [str(Path(sys.executable).with_name("wktriage")), "triage"]
            argv += ["-i", "inventory/replay", "-e", f"incident={incident.bundle}"]
            argv += ["-e", f"runs_dir={where}/runs", "-e", f"stack_project=replay-{os.getpid()}"]
            done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
            bundle = next((p.parent for p in (where / "runs").glob("*/verdict.json")), None)
            replayed = json.loads((bundle / "verdict.json").read_text()) if bundle else {}
            keys = ("category", "nodes")
            same = all(recorded[k] == replayed.get(k) for k in keys)
            different += not same
            both = {k: (recorded[k], replayed.get(k)) for k in (*keys, "confidence")}
            if bundle is None:
                print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
            print("same" if same else "DIFFERENT", incident.bundle, json.dumps(both), flush=True)
    return different


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))

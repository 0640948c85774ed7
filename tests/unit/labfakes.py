"""A topology whose nodes note which of their verbs were called."""

from __future__ import annotations

import json
from pathlib import Path


def topology(tmp_path: Path, status_url: str) -> Path:
    verbs = {verb: ["sh", "-c", f"echo {verb} >> {tmp_path}/log"] for verb in ("pause", "unpause")}
    nodes = [
        {
            "name": f"wk-node{i}",
            "id": i,
            "host": "localhost",
            "api_url": "http://127.0.0.1:1",
            "handle": {"kind": "container", "id": "none"},
            "data_dir": None,
            "log_dir": None,
            "verbs": verbs,
        }
        for i in (1, 2, 3)
    ]
    sim = {
        "name": "wk-sim",
        "host": "localhost",
        "status_url": status_url,
        "handle": {"kind": "container", "id": "none"},
        "log_dir": None,
        "verbs": {},
    }
    path = tmp_path / "topology.json"
    path.write_text(
        json.dumps(
            {
                "schema_version": 1,
                "driver": "compose",
                "project": "t",
                "data_root": None,
                "replay_of": None,
                "nodes": nodes,
                "sim": sim,
            }
        )
    )
    return path

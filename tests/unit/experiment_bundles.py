"""Small bundles, signals and registrations for the tests of experiments."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wktriage.bundle.bundle import Bundle
from wktriage.core.model import Signal, SignalSet
from wktriage.experiments.effects import MinEffect
from wktriage.experiments.registration import BundleRef, Registration, Variable, register

CATALOGUE: dict[str, dict[str, Any]] = {
    "achieved_rate_ratio": {"scope": "cluster", "unit": "ratio"},
    "send_server_latency_mean": {"scope": "cluster", "unit": "s"},
    "send_errors": {"scope": "cluster", "unit": "count"},
    "recv_errors": {"scope": "cluster", "unit": "count"},
    "recv_share_of_errors": {"scope": "cluster", "unit": "share"},
    "node_up": {"scope": "node", "unit": "bool"},
    "steady": {"scope": "cluster", "unit": "bool"},
    "status_longest_gap": {"scope": "cluster", "unit": "s"},
    "collector_window_valid": {"scope": "cluster", "unit": "bool"},
    "collection_interrupted": {"scope": "cluster", "unit": "bool"},
    "foreign_cpu_of_host": {"scope": "cluster", "unit": "ratio"},
    "clock_step": {"scope": "cluster", "unit": "s"},
}
QUIET = {
    "status_longest_gap": 1.0,
    "collector_window_valid": True,
    "collection_interrupted": False,
    "foreign_cpu_of_host": 0.2,
    "clock_step": 0.0,
    "send_errors": 0,
    "recv_errors": 0,
}
INPUTS: dict[str, Any] = {
    "scenario": "custom",
    "workload": {"rate": "0.25/s", "concurrency": 2, "users": 1000},
    "node_env": {},
    "node_config_sha256": "c" * 64,
    "mode": "clean",
    "image": "wukongim-dev:local",
    "git_revision": "a" * 40,
    "git_diff_sha256": "d" * 64,
    "driver": "compose",
    "hosts": ["localhost"],
    "connect_rate": 100,
    "profiled": "after",
}


def changed(inputs: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return inputs with one dotted path set."""
    result: dict[str, Any] = copy.deepcopy(dict(inputs))
    *parents, last = path.split(".")
    place = result
    for parent in parents:
        place = place[parent]
    place[last] = value
    return result


def bundle(
    root: Path,
    bundle_id: str,
    inputs: Mapping[str, Any] = INPUTS,
    *,
    observed: Mapping[str, Any] | None = None,
    baseline: Mapping[str, Any] | None = None,
    replay_of: str | None = None,
) -> Bundle:
    """Write a small bundle with a manifest and open it."""
    directory = root / bundle_id
    (directory / "references").mkdir(parents=True)
    documents = {
        "fingerprint.json": {
            "schema_version": 1,
            "inputs": dict(inputs),
            "derived": {"image_digest": "sha256:1"},
            "observed": {"data_bytes_at_start": 0, **(observed or {})},
        },
        "window.json": {"start": "2026-11-24T09:00:00Z", "end": "2026-11-24T09:01:00Z"},
        "references/baseline.json": dict(baseline or {"healthy": True}),
    }
    for name, document in documents.items():
        (directory / name).write_text(json.dumps(document))
    (directory / "status.jsonl").write_text("")
    files = [
        {
            "path": path.relative_to(directory).as_posix(),
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    ]
    manifest = {
        "bundle_id": bundle_id, "scenario": inputs["scenario"], "driver": inputs["driver"],
        "replay_of": replay_of, "files": files,
    }  # fmt: skip
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return Bundle.open(directory)


def signals(**values: Any) -> SignalSet:
    """Return the signals of a quiet run with some values set; None is unknown."""
    made = SignalSet(names=CATALOGUE, nodes=("wk-node1", "wk-node2"))
    for name, value in {**QUIET, **values}.items():
        made.add(Signal(name, str(CATALOGUE[name]["unit"]), value))
    return made


def ref(name: str) -> BundleRef:
    """Return a reference to a bundle that need not be there."""
    return BundleRef(name, hashlib.sha256(name.encode()).hexdigest())


def registered(**changes: Any) -> Registration:
    """Return a registration with some parts changed."""
    parts: dict[str, Any] = {
        "question": "Why is the offer missed?",
        "statement": "The simulator's limit on messages in flight caps the rate.",
        "cause": "client-concurrency",
        "control": ref("control"),
        "variable": Variable("concurrency", "workload", "workload.concurrency", 2, 64),
        "expected": "achieved_rate_ratio >= 0.95",
        "min_effect": MinEffect(0.1, True),
        "registered_at": "2026-11-26T10:00:00Z",
        "seed": 7,
        "catalogue": CATALOGUE,
    }
    return register(**{**parts, **changes})

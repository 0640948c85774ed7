"""fingerprint.json: what a person chose, what follows from it, and what was found on the hosts.

Two runs are comparable when their ``inputs`` are equal; an experiment's differ in exactly one.
``observed`` values are bounded, not equal. Names and times of a run are in none of the parts.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wktriage.bundle.files import EvidenceFiles
from wktriage.bundle.readers import host_cpu
from wktriage.bundle.readers.jsonl import number, rows
from wktriage.core import schemas
from wktriage.core.times import parse_time
from wktriage.request.workload import KEYS

SCHEMA_VERSION = 1


def build(
    run: Mapping[str, Any],
    topology: Mapping[str, Any],
    bundle_dir: Path,
    host_facts: Mapping[str, Mapping[str, Any]],
    recorded: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the fingerprint of a run.

    ``run`` is run.json, ``host_facts`` what each host's collector said of it (the lead first).
    ``recorded`` is the fingerprint of the incident that was replayed: what was observed then is
    what the evidence shows. Raises SchemaError.
    """
    files = EvidenceFiles(bundle_dir)
    files.list_files()
    facts: Mapping[str, Any] = next(iter(host_facts.values()), {})
    observed = {
        "data_bytes_at_start": run.get("data_bytes_at_start"),
        "disk_free_bytes": run.get("disk_free_bytes") or _disk_free(files),
        "foreign_cpu": foreign_cpu(files),
        "kernel": facts.get("kernel"),
        "cpu_model": facts.get("cpu_model"),
        "ncpu": facts.get("ncpu"),
        "boot_id": run.get("boot_id") or facts.get("boot_id"),
        "hosts": {name: dict(known) for name, known in host_facts.items()},
    }
    if run.get("data_snapshot") is not None:
        observed["data_snapshot"] = run["data_snapshot"]
    then = (recorded or {}).get("observed")
    if isinstance(then, dict):
        observed.update({k: then[k] for k in observed if k in then and k != "boot_id"})
    document = {
        "schema_version": SCHEMA_VERSION,
        "inputs": inputs_of(run, topology),
        "derived": {"image_digest": run.get("image_digest")},
        "observed": observed,
    }
    schemas.validate("fingerprint", document)
    return document


def inputs_of(run: Mapping[str, Any], topology: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``inputs`` of a run's fingerprint, known before there is a bundle."""
    workload = run.get("workload") or {}
    hosts = run.get("hosts") or [n["host"] for n in topology["nodes"]]
    return {
        "scenario": run.get("scenario"),
        "workload": {k: workload.get(k) for k in KEYS},
        "node_env": dict(run.get("node_env") or {}),
        "node_config_sha256": run.get("node_config_sha256"),
        # What it is, measured from the data, not what was asked for.
        "mode": run.get("mode_measured") or run.get("mode"),
        "image": run.get("image"),
        "git_revision": run.get("git_revision"),
        "git_diff_sha256": run.get("git_diff_sha256"),
        "driver": topology["driver"],
        "hosts": sorted({str(h) for h in hosts}),
        "connect_rate": run.get("connect_rate"),
        "profiled": _asked_profiles(run),
    }


def _asked_profiles(run: Mapping[str, Any]) -> str | None:
    if run.get("profile_seconds") is None:
        return None
    return str(run.get("profile") or "after") if float(run["profile_seconds"]) > 0 else "none"


def profiled(value: object) -> str | None:
    """Return when a run was to be profiled (onset, after, none), by its input ``profiled``.

    Bundles from before there was an onset say only whether they were. None when it is unknown.
    """
    if isinstance(value, bool):
        return "after" if value else "none"
    return value if isinstance(value, str) else None


def current(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a fingerprint of any age as one of today."""
    inputs = dict(document["inputs"])
    if "profiled" in inputs:
        inputs["profiled"] = profiled(inputs["profiled"])
    return {**document, "inputs": inputs}


def compare(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the inputs in which two fingerprints differ, as dotted paths, sorted.

    An input that is unknown (None) on both sides counts as different: unknown is not equal.
    """
    left, right = (dict(_leaves(current(each)["inputs"])) for each in (one, other))
    # Nothing was asked for there, which is known.
    optional = {"connect_rate"}
    return sorted(
        path
        for path in left.keys() | right.keys()
        if left.get(path) != right.get(path) or (left.get(path) is None and path not in optional)
    )


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key in value:
            yield from _leaves(value[key], f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _disk_free(files: EvidenceFiles) -> int | None:
    """Return the free bytes of the fullest disk at the first sample; None when unknown."""
    for row in rows(files, "host.jsonl"):
        disks = row.data.get("disks")
        free = [d.get("free_bytes") for d in disks or [] if isinstance(d, dict)]
        known = [f for f in free if isinstance(f, int)]
        return min(known) if known else None
    return None


def foreign_cpu(files: EvidenceFiles) -> float | None:
    """Return the cores that something else used in the window, on all hosts together.

    None when any part of it is unknown. The container engine counts as foreign.
    """
    window = _window(files)
    if window is None:
        return None
    busy = collectors = 0.0
    hosts = host_cpu.read(files, window)
    for host in hosts:
        busy_cores, collector_cores = host.busy_cores(), host.collector_cores()
        if busy_cores is None or collector_cores is None:
            return None
        busy += busy_cores
        collectors += collector_cores
    stack = _stack_cores(files, window)
    if stack is None or not hosts:
        return None
    return round(host_cpu.foreign_cores(busy, stack, collectors), 3)


def _window(files: EvidenceFiles) -> tuple[float, float] | None:
    document = files.read_json("window.json") or {}
    start, end = parse_time(document.get("start")), parse_time(document.get("end"))
    return (start, end) if start is not None and end is not None else None


def _stack_cores(files: EvidenceFiles, window: tuple[float, float]) -> float | None:
    """Return the cores that all nodes and the simulator used in the window; None when unknown."""
    by_name: dict[str, list[tuple[float, float]]] = {}
    for row in rows(files, "resources.jsonl"):
        seconds = number(row.data.get("cpu_seconds"))
        if row.time is not None and window[0] <= row.time <= window[1] and seconds is not None:
            by_name.setdefault(str(row.data.get("name")), []).append((row.time, seconds))
    if not by_name:
        return None
    cores = 0.0
    for samples in by_name.values():
        span = samples[-1][0] - samples[0][0]
        for (_, before), (_, after) in itertools.pairwise(samples):
            # A counter that went backwards is a restart, which starts from zero.
            grown = after - before if after >= before else after
            cores += grown / span if span > 0 else 0.0
    return cores

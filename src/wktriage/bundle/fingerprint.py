"""fingerprint.json: what a person chose, what follows from it, and what was found on the hosts.

Two runs are comparable when their ``inputs`` are equal; an experiment's differ in exactly one.
``observed`` values are bounded, not equal. Names and times of a run are in none of the parts.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wktriage.core import schemas
from wktriage.core.json_files import parse_object, read_object
from wktriage.core.times import parse_time

SCHEMA_VERSION = 1
WORKLOAD_KEYS = (
    "users", "person_channels", "group_channels", "group_members", "rate", "concurrency", "warmup",
    "verify_recv",
)  # fmt: skip
GIT_SECONDS = 20


@dataclass(frozen=True)
class GitState:
    """Where a checkout stands; None where git can't tell."""

    branch: str | None
    revision: str | None
    status: str | None

    def as_text(self) -> str:
        """Return the form of git.txt: branch, revision, changed files."""
        known = [self.branch or "unknown", self.revision or "unknown"]
        return "\n".join(known) + "\n" + (self.status or "")


def git_state(checkout: Path) -> GitState:
    """Ask git where a checkout stands; never raises for a folder without git."""

    def git(*args: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(checkout), "--no-optional-locks", *args],
                capture_output=True, timeout=GIT_SECONDS, check=False,
                env={**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None

    branch, revision = git("rev-parse", "--abbrev-ref", "HEAD"), git("rev-parse", "HEAD")
    return GitState(
        branch.strip() if branch else None,
        revision.strip() if revision else None,
        git("status", "--short"),
    )


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
    facts: Mapping[str, Any] = next(iter(host_facts.values()), {})
    observed = {
        "data_bytes_at_start": run.get("data_bytes_at_start"),
        "disk_free_bytes": run.get("disk_free_bytes") or _disk_free(bundle_dir),
        "foreign_cpu": foreign_cpu(bundle_dir),
        "kernel": facts.get("kernel"),
        "cpu_model": facts.get("cpu_model"),
        "ncpu": facts.get("ncpu"),
        "boot_id": run.get("boot_id") or facts.get("boot_id"),
        "hosts": {name: dict(found) for name, found in host_facts.items()},
    }
    was = (recorded or {}).get("observed")
    if isinstance(was, dict):
        observed.update({k: was[k] for k in observed if k in was and k != "boot_id"})
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
        "workload": {k: workload.get(k) for k in WORKLOAD_KEYS},
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
        "profiled": None
        if run.get("profile_seconds") is None
        else float(run["profile_seconds"]) > 0,
    }


def compare(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the inputs in which two fingerprints differ, as dotted paths, sorted.

    An input that is unknown (None) on both sides counts as different: unknown is not equal.
    """
    left, right = dict(_leaves(one["inputs"])), dict(_leaves(other["inputs"]))
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


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    with path.open("rb") as handle:
        for line in handle:
            row = parse_object(line)
            if row is not None:
                yield row


def _window(bundle_dir: Path) -> tuple[str, str] | None:
    document = read_object(bundle_dir / "window.json") or {}
    start, end = document.get("start"), document.get("end")
    return (start, end) if start and end else None


def _disk_free(bundle_dir: Path) -> int | None:
    for row in _rows(bundle_dir / "host.jsonl"):
        free = [d.get("free_bytes") for d in row.get("disks") or [] if isinstance(d, dict)]
        known = [f for f in free if isinstance(f, int)]
        return min(known) if known else None
    return None


def foreign_cpu(bundle_dir: Path) -> float | None:
    """Return the cores that something else used in the window, on all hosts together.

    Busy host ticks less what nodes, simulator and collectors used, in cores; None when any of it
    is unknown. The container engine counts as foreign.
    """
    window = _window(bundle_dir)
    if window is None:
        return None
    hosts = [r for r in _rows(bundle_dir / "host.jsonl") if _inside(r, window)]
    busy = 0.0
    seconds = 0.0
    for name in sorted({str(r.get("host")) for r in hosts}):
        rows = [r for r in hosts if str(r.get("host")) == name]
        first, last = rows[0], rows[-1]
        try:
            total = last["cpu_total_ticks"] - first["cpu_total_ticks"]
            idle = sum(last[k] - first[k] for k in ("cpu_idle_ticks", "cpu_iowait_ticks"))
            share = (total - idle) / total
            busy += share * last["ncpu"]
            own = last["collector_cpu_seconds"] - first["collector_cpu_seconds"]
            seconds = max(seconds, _seconds(first, last))
            busy -= own / _seconds(first, last)
        except (KeyError, TypeError, ZeroDivisionError):
            return None
    used = _used_cores(bundle_dir, window)
    if used is None or seconds <= 0:
        return None
    return round(max(0.0, busy - used), 3)


def _used_cores(bundle_dir: Path, window: tuple[str, str]) -> float | None:
    """Return the cores that all nodes and the simulator used in the window; None when unknown."""
    ends: dict[str, list[dict[str, Any]]] = {}
    for row in _rows(bundle_dir / "resources.jsonl"):
        if _inside(row, window) and isinstance(row.get("cpu_seconds"), int | float):
            ends.setdefault(str(row.get("name")), []).append(row)
    if not ends:
        return None
    used = 0.0
    for rows in ends.values():
        for before, after in itertools.pairwise(rows):
            # A counter that went backwards is a restart, which starts from zero.
            grown = after["cpu_seconds"] - before["cpu_seconds"]
            used += (grown if grown >= 0 else after["cpu_seconds"]) / _seconds(rows[0], rows[-1])
    return used


def _inside(row: Mapping[str, Any], window: tuple[str, str]) -> bool:
    # One format, one zone: these times sort as text.
    return window[0] <= str(row.get("sample_time")) <= window[1]


def _seconds(first: Mapping[str, Any], last: Mapping[str, Any]) -> float:
    begin, end = parse_time(str(first["sample_time"])), parse_time(str(last["sample_time"]))
    if begin is None or end is None:
        raise TypeError("no time")
    return end - begin

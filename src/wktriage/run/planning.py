"""Small decisions between a checked request and the run that serves it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from wktriage.core.durations import parse_duration
from wktriage.core.git import GitState, git_state
from wktriage.request import scenarios
from wktriage.request import workload as workloads
from wktriage.request.code import CLEAN_DIFF
from wktriage.request.request import Request, new_bundle_id
from wktriage.run.baseline import BASELINE_SCENARIO

BASELINE_SECONDS = 30
DEFAULT_CONNECT_RATE = 10.0  # users/s, docker/sim/dev-sim.yaml of WuKongIM
READINESS_SECONDS = 120.0  # the simulator's own readiness_timeout
COUNTER_SECONDS = 10.0  # its counters move this often
RETRY_SECONDS = 5.0  # its restart_backoff


def uid_prefix(bundle_id: str) -> str:
    """Return the simulator's user prefix of one run: fresh, so that no channel is warm."""
    return f"t{hashlib.sha256(bundle_id.encode()).hexdigest()[:8]}-u"


def sim_env(request: Request) -> dict[str, str]:
    """Return the simulator's WK_SIM_* variables for a request."""
    workload = {**request.workload, "uid_prefix": uid_prefix(request.bundle_id)}
    return workloads.environment(workload)


def baseline_request(request: Request) -> Request:
    """Return the request for the smoke-default that vouches for ``request``'s stack.

    Same stack, node environment and connect rate; clean. For an accumulated target it runs
    beside the data, never on it.
    """
    data_root = Path(request.data_root)
    return replace(
        request,
        scenario=BASELINE_SCENARIO,
        duration=BASELINE_SECONDS,
        mode="clean",
        workload=scenarios.effective_workload(BASELINE_SCENARIO, {}),
        data_root=str(data_root / "baseline" if request.mode == "accumulated" else data_root),
        data_snapshot=None,
        keep_stack=False,
        bundle_id=new_bundle_id(BASELINE_SCENARIO),
    )


def ready_timeout(request: Request) -> float:
    """Return the seconds after which a simulator that does not run yet never will.

    Its own readiness time-out, connecting all users twice (one failure starts over) and the
    warm-up, with one retry pause and one counter interval.
    """
    connect = int(request.workload["users"]) / (request.connect_rate or DEFAULT_CONNECT_RATE)
    warmup = parse_duration(request.workload["warmup"]) or 0.0
    return READINESS_SECONDS + 2 * connect + warmup + RETRY_SECONDS + COUNTER_SECONDS


def run_document(request: Request, *, purpose: str, boot_id: str | None) -> dict[str, Any]:
    """Return the first form of run.json: what was asked. The stack adds what it turns out to be."""
    workload = {
        "scenario": request.scenario,
        **request.workload,
        "uid_prefix": uid_prefix(request.bundle_id),
        "connect_rate": request.connect_rate,
    }
    return {
        "schema_version": 1,
        "bundle_id": request.bundle_id,
        "scenario": request.scenario,
        "mode": request.mode,
        "driver": request.driver,
        "purpose": purpose,
        "replay_of": request.incident,
        "duration": request.duration,
        "profile": request.profile,
        "profile_seconds": request.profile_seconds,
        "connect_rate": request.connect_rate,
        "workload": workload,
        "node_env": request.node_env,
        "checkout": request.checkout,
        "git": _git(request),
        "project": request.project,
        "boot_id": boot_id,
        "wall": {},
    }


def _git(request: Request) -> dict[str, str | None] | None:
    """Return the state of what runs: a clean commit that was built, else the checkout's own."""
    if request.code is not None:
        commit, diff = request.code.commit, CLEAN_DIFF
        return GitState(request.code.ref, commit, "", diff).as_dict()
    return git_state(Path(request.checkout)).as_dict() if request.checkout else None

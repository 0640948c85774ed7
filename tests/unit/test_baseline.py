"""The baseline gate: what vouches for a stack, and what does not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from wktriage.core.errors import UsageError
from wktriage.run.baseline import Identity, Judge, Search, Twin, find_baseline, find_twin, scenarios

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
RUN: dict[str, Any] = {
    "driver": "compose",
    "hosts": ["localhost"],
    "image_digest": "sha256:a",
    "node_config_sha256": "c",
    "node_env": {"WK_LOG_LEVEL": "info"},
    "boot_id": "b",
}


def bundle(runs: Path, name: str = "20260102T110000Z-smoke-default-aaaa", **changes: Any) -> Path:
    path = runs / name
    path.mkdir(parents=True)
    manifest = {
        "scenario": "smoke-default",
        "purpose": "baseline",
        "complete": True,
        "interrupted": None,
        "created": "2026-01-02T11:00:00.000Z",
    }
    run = {**RUN}
    for key, value in changes.items():
        (manifest if key in manifest else run)[key] = value
    fingerprint = {
        "inputs": {k: run[k] for k in ("driver", "hosts", "node_config_sha256", "node_env")},
        "derived": {"image_digest": run["image_digest"]},
        "observed": {"boot_id": run["boot_id"]},
    }
    (path / "manifest.json").write_text(json.dumps(manifest))
    (path / "fingerprint.json").write_text(json.dumps(fingerprint))
    return path


def healthy(_bundle: Path) -> Mapping[str, Any]:
    return {"category": "healthy"}


def look(runs: Path, judge: Judge = healthy, **wanted: Any) -> Search:
    return find_baseline(runs, Identity.of_run({**RUN, **wanted}), now=NOW, judge=judge)


def test_a_healthy_twin_vouches(tmp_path: Path) -> None:
    made = bundle(tmp_path)
    assert look(tmp_path).baseline == made


def test_the_newest_is_taken(tmp_path: Path) -> None:
    bundle(tmp_path, "20260102T100000Z-smoke-default-aaaa")
    newest = bundle(tmp_path, "20260102T110000Z-smoke-default-bbbb")
    assert look(tmp_path).baseline == newest


def test_no_runs_directory_is_no_baseline(tmp_path: Path) -> None:
    assert look(tmp_path / "none").baseline is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"image_digest": "sha256:other"}, "other image"),
        ({"node_config_sha256": "other"}, "other node configuration"),
        ({"node_env": {}}, "other node environment"),
        ({"hosts": ["elsewhere"]}, "other hosts"),
        ({"driver": "processes"}, "other driver"),
        ({"boot_id": "other"}, "other boot of the hosts"),
        ({"boot_id": None}, "boot of the hosts unknown"),
        ({"image_digest": None}, "image unknown"),
        ({"purpose": "lab"}, "made for lab"),
        ({"complete": False}, "interrupted or incomplete"),
        ({"interrupted": "by the user"}, "interrupted or incomplete"),
        ({"created": "2026-01-01T11:59:59.000Z"}, "older than 24 h"),
        ({"created": "2026-01-02T13:00:00.000Z"}, "from the future"),
        ({"created": "yesterday"}, "its time is unknown"),
    ],
)
def test_what_differs_does_not_vouch(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    made = bundle(tmp_path, **changes)
    found = look(tmp_path)
    assert found.baseline is None
    assert found.rejected == ((made.name, why),)


def test_unknown_on_both_sides_is_not_equal(tmp_path: Path) -> None:
    bundle(tmp_path, boot_id=None)
    assert look(tmp_path, boot_id=None).baseline is None


def test_a_verdict_file_beside_the_bundle_is_not_trusted(tmp_path: Path) -> None:
    made = bundle(tmp_path)
    (made / "verdict.json").write_text('{"category": "healthy"}')
    found = look(tmp_path, judge=lambda _b: {"category": "send_path"})
    assert found.rejected == ((made.name, "not healthy: send_path"),)


def test_a_bundle_that_cannot_be_judged_does_not_vouch(tmp_path: Path) -> None:
    bundle(tmp_path)

    def broken(_bundle: Path) -> Mapping[str, Any]:
        raise UsageError("torn")

    assert "torn" in look(tmp_path, judge=broken).rejected[0][1]


def test_other_scenarios_and_work_files_are_no_candidates(tmp_path: Path) -> None:
    bundle(tmp_path, scenario="mixed-highrate")
    bundle(tmp_path / ".work")
    assert look(tmp_path) == Search(None)


def test_age_limit_is_a_day(tmp_path: Path) -> None:
    created = (NOW - timedelta(hours=23, minutes=59)).isoformat()
    made = bundle(tmp_path, created=created)
    assert look(tmp_path).baseline == made


# --- clean twins ---------------------------------------------------------------------------------

INPUTS: dict[str, Any] = {
    "scenario": "accumulated-data",
    "workload": {"users": 1000, "rate": "0.25/s"},
    "node_env": {},
    "node_config_sha256": "c",
    "mode": "accumulated",
    "image": "wukongim-dev:local",
    "git_revision": "r",
    "git_diff_sha256": "d",
    "driver": "compose",
    "hosts": ["localhost"],
    "connect_rate": None,
    "profiled": "after",
}


def twin(
    runs: Path, name: str = "20260102T110000Z-smoke-default-aaaa", *,
    data: int | None = 0, image_digest: str | None = "sha256:a", manifest: Mapping[str, Any] = {},
    **inputs: Any,
) -> Path:  # fmt: skip
    """Make a bundle: by default the clean twin of INPUTS under the scenario's clean name."""
    path = bundle(runs, name, **manifest)
    fingerprint = {
        "inputs": {**INPUTS, "scenario": "smoke-default", "mode": "clean", **inputs},
        "derived": {"image_digest": image_digest},
        "observed": {"data_bytes_at_start": data},
    }
    (path / "fingerprint.json").write_text(json.dumps(fingerprint))
    return path


def twins(runs: Path, judge: Judge = healthy) -> Twin:
    return find_twin(runs, INPUTS, "sha256:a", now=NOW, judge=judge)


def failed(_bundle: Path) -> Mapping[str, Any]:
    return {"category": "send_path", "component": "node_process"}


def test_a_clean_run_with_the_same_inputs_is_the_twin(tmp_path: Path) -> None:
    made = twin(tmp_path)
    reference = twins(tmp_path).reference
    assert reference is not None
    assert reference["bundle_id"] == made.name
    assert (reference["passed"], reference["category"]) == (True, "healthy")
    digest = hashlib.sha256((made / "manifest.json").read_bytes()).hexdigest()
    assert reference["manifest_sha256"] == digest
    # Numbers of the two are never compared, so none are carried.
    assert "figures" not in reference


def test_a_failed_twin_did_not_pass(tmp_path: Path) -> None:
    twin(tmp_path, "20260102T100000Z-smoke-default-aaaa")
    newest = twin(tmp_path)
    reference = twins(tmp_path, lambda b: failed(b) if b == newest else healthy(b)).reference
    assert reference is not None
    assert (reference["passed"], reference["category"]) == (False, "send_path")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"workload": {"users": 10, "rate": "0.25/s"}}, "other workload.users"),
        ({"node_env": {"WK_LOG_LEVEL": "info"}}, "other node_env.WK_LOG_LEVEL"),
        ({"git_revision": None}, "other git_revision"),
        ({"image_digest": "sha256:other"}, "other image_digest"),
        ({"image_digest": None}, "other image_digest"),
        ({"scenario": "../x"}, "other success criteria"),
        ({"mode": "accumulated"}, "its mode is accumulated"),
        ({"data": 9}, "not known to have started on empty data"),
        ({"data": None}, "not known to have started on empty data"),
        ({"manifest": {"interrupted": "by the user"}}, "interrupted or incomplete"),
        ({"manifest": {"complete": False}}, "interrupted or incomplete"),
        ({"manifest": {"created": "2026-01-01T11:59:59.000Z"}}, "older than 24 h"),
    ],
)
def test_what_is_no_twin(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    made = twin(tmp_path, **changes)
    assert twins(tmp_path) == Twin(None, ((made.name, why),))


def test_other_success_criteria_make_no_twin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = scenarios.load("smoke-default")
    criterion = {"signal": "send_errors", "op": "==", "value": 0}
    stricter = msgspec.structs.replace(clean, success=criterion)
    named = {"smoke-default": clean, "accumulated-data": stricter}
    monkeypatch.setattr(scenarios, "load", lambda name: named[name])
    made = twin(tmp_path)
    assert twins(tmp_path).rejected == ((made.name, "other success criteria"),)


def test_a_fault_says_nothing_of_the_inputs_it_was_made_in(tmp_path: Path) -> None:
    made = twin(tmp_path, manifest={"purpose": "lab"})
    assert twins(tmp_path, failed).rejected == ((made.name, "failed, with a fault in it"),)
    assert twins(tmp_path).reference is not None


def test_a_twin_that_cannot_be_decided_is_passed_over(tmp_path: Path) -> None:
    older = twin(tmp_path, "20260102T100000Z-smoke-default-aaaa")
    torn = twin(tmp_path)
    abstain = {"category": "insufficient_evidence"}
    reference = twins(tmp_path, lambda b: abstain if b == torn else healthy(b)).reference
    assert reference is not None
    assert reference["bundle_id"] == older.name


def test_the_twin_of_another_boot_is_one(tmp_path: Path) -> None:
    path = twin(tmp_path)
    fingerprint = json.loads((path / "fingerprint.json").read_text())
    fingerprint["observed"]["boot_id"] = "other"
    (path / "fingerprint.json").write_text(json.dumps(fingerprint))
    assert twins(tmp_path).reference is not None


def test_a_bundle_without_a_fingerprint_is_no_twin(tmp_path: Path) -> None:
    made = twin(tmp_path)
    (made / "fingerprint.json").write_text("[]")
    assert twins(tmp_path).rejected == ((made.name, "its fingerprint cannot be read"),)

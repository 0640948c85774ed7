from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.experiment_bundles import INPUTS, bundle, changed

from wktriage.core.errors import UsageError
from wktriage.experiments import aa, noise
from wktriage.experiments.aa import Plan
from wktriage.experiments.effects import MinEffect
from wktriage.experiments.noise import NoiseRun


def plan(**changes: Any) -> Plan:
    parts: dict[str, Any] = {
        "signal": "value",
        "repeats": 4,
        "min_effect": MinEffect(0.05, True),
        "comparisons": 200,
    }
    return Plan(**{**parts, **changes})


@pytest.mark.parametrize("scheme", aa.SCHEMES)
@pytest.mark.parametrize("sigma", [0.01, 0.08])
def test_equal_sides_are_hardly_ever_supported(scheme: str, sigma: float) -> None:
    said = aa.share(aa.synthetic(sigma, 40).runs, plan(scheme=scheme))
    assert said.comparisons == 200
    assert said.share <= 0.05


@pytest.mark.parametrize("factor", [1.10, 0.90])
def test_a_planted_effect_is_found_where_noise_allows(factor: float) -> None:
    runs = aa.synthetic(0.01, 40).runs
    assert aa.share(runs, aa.planted(plan(), factor)).share >= 0.8


def test_it_is_not_found_in_noise() -> None:
    runs = aa.synthetic(0.15, 40).runs
    assert aa.share(runs, aa.planted(plan(), 1.10)).share < 0.2


def test_a_drift_over_the_day_fools_nobody() -> None:
    runs = [
        NoiseRun(f"b{i}", f"s{i}", f"day-{i // 8}", {"value": 100 * 1.02 ** (i % 8)})
        for i in range(64)
    ]
    assert aa.share(runs, plan(scheme="in time")).share <= 0.05


def test_the_same_seed_says_the_same() -> None:
    runs = aa.synthetic(0.02, 30).runs
    assert aa.share(runs, plan(seed=5)) == aa.share(runs, plan(seed=5))


def test_reruns_of_one_instance_count_once() -> None:
    runs = [NoiseRun(f"b{i}", "one stack", "day", {"value": 1.0 + i}) for i in range(50)]
    with pytest.raises(UsageError, match="1 stack instances tell it"):
        aa.share(runs, plan())


def test_file_form_comes_back(tmp_path: Path) -> None:
    runs = aa.synthetic(0.02, 5)
    (tmp_path / "noise.json").write_bytes(aa.dump(runs))
    assert noise.load(tmp_path / "noise.json") == runs
    (tmp_path / "noise.json").write_text("{}")
    with pytest.raises(UsageError, match=r"noise\.json: no file of A/A runs"):
        noise.load(tmp_path / "noise.json")


def test_runs_of_bundles(tmp_path: Path) -> None:
    runs = aa.runs_of([bundle(tmp_path, "b1"), bundle(tmp_path, "b2")])
    assert runs.key == noise.key_of(INPUTS)
    assert [run.day for run in runs.runs] == ["2026-11-24"] * 2


def test_bundles_of_other_inputs_are_no_aa_runs(tmp_path: Path) -> None:
    other = bundle(tmp_path, "b2", changed(INPUTS, "workload.concurrency", 64))
    with pytest.raises(UsageError, match="2 different sets of inputs"):
        aa.runs_of([bundle(tmp_path, "b1"), other])


REAL = Path(__file__).resolve().parents[1] / "fixtures" / "noise" / "client-limited.json"


@pytest.mark.parametrize("scheme", aa.SCHEMES)
@pytest.mark.parametrize("signal", ["achieved_rate_ratio", "send_server_latency_mean"])
def test_equal_runs_of_the_real_cluster_are_hardly_ever_supported(signal: str, scheme: str) -> None:
    """Runs of as many stack instances, recorded on two days on a shared disk."""
    recorded = noise.load(REAL)
    assert len({run.instance for run in recorded.runs}) == 22
    assert len({run.day for run in recorded.runs}) == 2
    result = aa.share(recorded.runs, plan(signal=signal, scheme=scheme))
    assert result.comparisons == 200
    assert result.share <= 0.05

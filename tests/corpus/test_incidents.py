"""The recorded incidents: right class, right node, cited, reproducible, honest about gaps."""

from __future__ import annotations

import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from wktriage.bundle import manifest
from wktriage.bundle.bundle import Bundle
from wktriage.bundle.citations import verify_citation
from wktriage.cli.commands.verify import citations
from wktriage.core import schemas
from wktriage.core.categories import CAUSES
from wktriage.core.errors import UsageError
from wktriage.core.model import Signal, SignalSet
from wktriage.evaluation import robustness, score
from wktriage.judging import signals
from wktriage.judging.decision import decide
from wktriage.judging.verdict import verdict_of
from wktriage.judging.verdict_files import dump, target, write_verdict
from wktriage.request import scenarios

ROOT = Path(__file__).resolve().parents[2] / "incidents"
CASES = [
    case
    for directory in (ROOT, ROOT / "shared")
    if (directory / "labels.jsonl").is_file()
    for case in score.cases(directory)
]
SHARED = [c for c in CASES if c.path.parent.name == "shared"]
SUCCESS = scenarios.load(scenarios.CUSTOM).success
SEED = 7
SAMPLE = 16


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("incidents")
    found = {}
    for case in CASES:
        with score.opened(case) as path:
            # A name that tells nothing: labels never reach judging.
            found[case.name] = root / f"b{len(found)}"
            shutil.copytree(path, found[case.name])
    return found


OWN = [c for c in CASES if c not in SHARED]


@pytest.mark.parametrize("case", OWN, ids=lambda c: c.name)
def test_what_the_plain_layout_leaves_is_enough(
    case: score.Case, unpacked: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(unpacked[case.name], tmp_path / "b")
    robustness.plain(tmp_path / "b")
    said = verdict_of(tmp_path / "b")
    assert said["category"] in (case.label, *case.also_ok)
    if case.nodes:
        assert set(said["nodes"]) == set(case.nodes)


@pytest.fixture(scope="module")
def verdicts(unpacked: dict[str, Path]) -> dict[str, dict[str, Any]]:
    return {name: verdict_of(path) for name, path in unpacked.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_class_and_nodes(case: score.Case, verdicts: dict[str, dict[str, Any]]) -> None:
    said = verdicts[case.name]
    assert said["category"] in (case.label, *case.also_ok)
    if case.nodes:
        assert set(said["nodes"]) == set(case.nodes)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_verdict_fits_its_schema(case: score.Case, verdicts: dict[str, dict[str, Any]]) -> None:
    schemas.validate("verdict", verdicts[case.name])


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_every_claim_is_cited_and_every_citation_holds(
    case: score.Case, verdicts: dict[str, dict[str, Any]], unpacked: dict[str, Path]
) -> None:
    bundle = Bundle.open(unpacked[case.name])
    verdict = verdicts[case.name]
    assert all(reason["citations"] for reason in verdict["reasons"])
    wrong = {c: w for c in citations(verdict) if (w := verify_citation(bundle, c)) is not None}
    assert wrong == {}


@pytest.mark.parametrize("name", ["p01", "b01"])
def test_same_bytes_elsewhere(name: str, unpacked: dict[str, Path], tmp_path: Path) -> None:
    copy = tmp_path / "renamed and moved"
    shutil.copytree(unpacked[name], copy)
    here = dump(verdict_of(unpacked[name]))
    assert dump(verdict_of(copy)) == here


def test_foreign_bundle_is_not_written_into(unpacked: dict[str, Path], tmp_path: Path) -> None:
    before = sorted(p for p in unpacked["b01"].rglob("*"))
    with pytest.raises(UsageError, match="--out"):
        target(unpacked["b01"], None, tmp_path)
    assert write_verdict(unpacked["b01"], tmp_path).parent == tmp_path
    assert sorted(p for p in unpacked["b01"].rglob("*")) == before


def sentences(verdict: dict[str, Any]) -> list[str]:
    experiment = verdict["next_experiment"]
    return [
        *(r["text"] for r in verdict["reasons"]),
        *(a["why_not"] for a in verdict["alternatives"]),
        *(f"{u['what']}: {u['why']}" for u in verdict["unknown"]),
        *(s["text"] for s in verdict["hard_stops"]),
        *verdict["hypothesis"].values(),
        *(experiment[key] for key in ("expected_result", "stop_condition")),
        *(c["text"] for c in verdict["fix_eligibility"]["conditions"]),
        *verdict["scenario"]["success_criteria"],
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_sentences_hold_no_internal_name(
    case: score.Case, verdicts: dict[str, dict[str, Any]]
) -> None:
    verdict = verdicts[case.name]
    internal = {n for n in verdict["signals"] if "_" in n} | {r["id"] for r in verdict["rules"]}
    # A node's own words and a metric's name are evidence.
    texts = [re.sub(r'"[^"]*"|wukongim_\w+', "", text) for text in sentences(verdict)]
    words = {word for text in texts for word in re.findall(r"[\w.]+\w", text)}
    assert words & internal == set()


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_only_a_healthy_run_proposes_no_command(
    case: score.Case, verdicts: dict[str, dict[str, Any]]
) -> None:
    verdict = verdicts[case.name]
    healthy = verdict["category"] == "healthy"
    assert (verdict["next_experiment"]["command"] is None) == healthy


def test_refused_setting_is_quoted_first_and_taken_away(
    verdicts: dict[str, dict[str, Any]],
) -> None:
    verdict = verdicts["refused"]
    first = verdict["reasons"][0]
    assert "unknown config env: WK_CLUSTER_COMMIT_WINDOW" in first["text"]
    assert first["citations"][0]["file"].startswith("logs/")
    experiment = verdict["next_experiment"]
    assert (experiment["variable"], experiment["to"]) == ("WK_CLUSTER_COMMIT_WINDOW", "not set")
    assert "WK_CLUSTER_COMMIT_WINDOW" not in experiment["command"]


def test_kill_for_want_of_memory_is_said(verdicts: dict[str, dict[str, Any]]) -> None:
    texts = [r["text"] for r in verdicts["oom1"]["reasons"]]
    assert "The kernel killed wk-node1 because it ran out of memory (OOM)." in texts
    assert not any("OOM" in r["text"] for r in verdicts["restart1"]["reasons"])


def test_client_limit_gates_the_servers(verdicts: dict[str, dict[str, Any]]) -> None:
    said = verdicts["c02"]
    assert "client_is_the_limit" in [s["id"] for s in said["hard_stops"]]
    assert said["fix_eligibility"]["code_change_needed"] == "no"


@pytest.mark.parametrize("lost", ["metrics/node1-before.prom", "metrics/node3.prom"])
def test_a_wait_that_is_not_recorded_is_no_wait_of_zero(
    lost: str, unpacked: dict[str, Path], tmp_path: Path
) -> None:
    # Sends wait 600 ms before WuKongIM's own time of them begins.
    copy = Path(shutil.copytree(unpacked["batches"], tmp_path / "b"))
    (copy / lost).unlink()
    manifest.reseal(copy)
    assert verdict_of(copy)["category"] != "healthy"


def rebuilt(verdict: dict[str, Any], **changes: Any) -> SignalSet:
    """Return the signals of a verdict, some of them changed."""
    nodes = tuple(dict.fromkeys(n for s in verdict["signals"].values() for n in s.get("nodes", ())))
    made = SignalSet(names=signals.catalogue(), nodes=nodes)
    for name, entry in verdict["signals"].items():
        made.add(Signal(name, entry["unit"], changes.get(name, entry["value"])))
        for node, value in entry.get("nodes", {}).items():
            made.add(Signal(name, entry["unit"], value, node=node))
    return made


def with_one_failed_send(verdict: dict[str, Any]) -> SignalSet:
    sent = verdict["signals"]["messages_sent"]["value"] or 0
    return rebuilt(verdict, send_errors=1, send_error_ratio=1 / (sent + 1))


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_one_failed_send_overrides_no_mechanism(
    case: score.Case, verdicts: dict[str, dict[str, Any]]
) -> None:
    verdict = verdicts[case.name]
    if verdict["signals"]["send_errors"]["value"] != 0:
        pytest.skip("incidents that have failed sends already, or do not tell")
    said, before = decide(with_one_failed_send(verdict), SUCCESS), verdict["category"]
    if before == "healthy":
        # Any error forbids it.
        assert said.category != "healthy"
    else:
        assert said.category == before
        assert said.winner is not None
        assert said.winner.rule.component == verdict["component"] or before not in CAUSES


def test_paused_node_is_dated_by_evidence_and_not_before(
    verdicts: dict[str, dict[str, Any]],
) -> None:
    # The pause was injected 46.2 s after the first status sample, at 06:06:24.5.
    assert verdicts["p01"]["since_not_before"] <= "2026-11-24T06:06:24.600Z"
    assert verdicts["p01"]["since"] >= "2026-11-24T06:06:24.500Z"


@pytest.mark.slow
def test_damaged_evidence_is_never_a_confident_lie() -> None:
    chosen = random.Random(SEED).sample(list(robustness.trials(SHARED)), SAMPLE)
    for finding in robustness.run(sorted(chosen, key=lambda t: t.case.name), SEED):
        assert finding.error is None, finding
        assert not finding.lie, finding


def test_dropping_what_does_not_decide_keeps_the_category() -> None:
    drops = [t for t in robustness.trials(SHARED, ["drop"]) if t.file not in robustness.DECIDING]
    chosen = sorted(random.Random(SEED).sample(drops, SAMPLE), key=lambda t: t.case.name)
    kept = [finding.kept for finding in robustness.run(chosen, SEED)]
    assert sum(kept) >= 0.8 * len(kept)

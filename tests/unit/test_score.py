from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from wktriage.cli.commands import judge as commands
from wktriage.cli.commands.verify import verify_citations
from wktriage.core.errors import UsageError
from wktriage.evaluation import score
from wktriage.judging.verdict import verdict_of

INCIDENTS = Path(__file__).resolve().parents[2] / "incidents" / "shared"


def result(
    label: str,
    said: str,
    confidence: float = 0.9,
    nodes: tuple[str, ...] = (),
    named: tuple[str, ...] = (),
    also: tuple[str, ...] = (),
) -> score.Result:
    case = score.Case(f"{label}-{said}-{confidence}", Path(), label, also, nodes)
    return score.Result(case, said, confidence, named)


def test_figures_count_what_they_say() -> None:
    found = score.summary(
        [
            result("healthy", "healthy"),
            result("healthy", "send_path"),
            result("send_path", "healthy", nodes=("wk-node2",)),
            result(
                "online_churn",
                "send_path",
                also=("send_path",),
                nodes=("wk-node3",),
                named=("wk-node3",),
            ),
            result("client_bottleneck", "server_hot_path"),
            result("client_bottleneck", "insufficient_evidence"),
        ]
    )
    values = {name: interval.value for name, interval in found.items()}
    assert values["category is the label"] == pytest.approx(1 / 6)
    assert values["category accepted"] == pytest.approx(2 / 6)
    assert values["nodes right"] == pytest.approx(1 / 2)
    assert values["failing called healthy"] == pytest.approx(1 / 4)
    assert values["healthy called failing"] == pytest.approx(1 / 2)
    assert values["client limit blamed on the server"] == pytest.approx(1 / 2)
    assert values["abstentions"] == pytest.approx(1 / 6)


def test_a_component_is_right_when_the_label_accepts_it_and_counts_where_it_names_one() -> None:
    def named(component: str, *accepted: str, nodes: tuple[str, ...] = ()) -> score.Result:
        case = score.Case(component, Path(), "send_path", (), nodes, accepted)
        return score.Result(case, "send_path", 0.9, (), component)

    results = [
        named("transport", "transport", "connections"),
        named("gateway", "transport"),
        named("gateway"),
        named("transport", "transport", nodes=("wk-node1",)),
    ]
    assert [r.component_right for r in results] == [True, False, None, True]
    assert [r.grounded for r in results] == [True, False, True, False]
    found = score.summary(results)
    assert found["component right"].value == pytest.approx(2 / 3)
    assert found["category, nodes and component right"].value == pytest.approx(2 / 4)
    assert "WRONG" in score.report(results)


def test_naming_one_node_too_many_is_wrong() -> None:
    said = result("send_path", "send_path", nodes=("wk-node2",), named=("wk-node2", "wk-node1"))
    assert said.nodes_right is False
    assert "WRONG" in score.report([said])


def test_calibration_is_zero_when_confidence_is_the_hit_rate() -> None:
    honest = [(0.95, True)] * 19 + [(0.95, False)]
    assert score.expected_calibration_error(honest) == pytest.approx(0.0)
    assert score.expected_calibration_error([(0.95, False)] * 4) == pytest.approx(0.95)
    assert score.brier([(1.0, True), (0.0, False)]) == 0.0
    assert score.brier([(1.0, False)]) == 1.0


def test_intervals_hold_their_value_and_repeat() -> None:
    interval = score.wilson(9, 10)
    # Reference value of the Wilson interval for 9 of 10.
    assert (interval.low, interval.high) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert score.wilson(0, 0).value is None
    said = [(0.8, True)] * 8 + [(0.8, False)] * 2
    assert score.bootstrap(said, score.brier) == score.bootstrap(said, score.brier)


def test_labels_that_do_not_fit_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--labels"):
        score.cases(tmp_path)
    row = {"bundle": "x9", "label": "healthy", "fault": "nothing", "scenario": "x"}
    (tmp_path / "labels.jsonl").write_text(json.dumps(row))
    with pytest.raises(UsageError, match=r"x9\.tar\.xz"):
        score.cases(tmp_path)


def unpacked(name: str, target: Path) -> Path:
    case = next(c for c in score.cases(INCIDENTS) if c.name == name)
    with score.opened(case) as path:
        path.rename(target)
    return target


def run(*words: str | Path) -> tuple[int, str]:
    ended = CliRunner().invoke(
        commands.classify
        if words[0] == "classify"
        else commands.explain
        if words[0] == "explain"
        else verify_citations
        if words[0] == "verify-citations"
        else commands.score_command,
        [str(w) for w in words[1:]],
        standalone_mode=False,
        catch_exceptions=False,
    )
    return int(ended.return_value), ended.output


def test_classify_says_it_in_words_json_and_exit_code(tmp_path: Path) -> None:
    bundle = unpacked("b01", tmp_path / "b")
    before = sorted(bundle.rglob("*"))
    code, text = run("classify", bundle)
    assert code == 5
    assert "baseline_health" in text
    code, text = run("classify", bundle, "--json")
    assert json.loads(text)["category"] == "baseline_health"
    assert sorted(bundle.rglob("*")) == before


def test_explain_lists_the_rules_that_fired_and_others_when_asked(tmp_path: Path) -> None:
    bundle = unpacked("b01", tmp_path / "b")
    _, text = run("explain", bundle)
    assert "+ baseline_health.never_ran" in text
    assert "<- status.jsonl:" in text
    assert "? send_path" not in text
    assert "more rules: wktriage explain --all" in text
    _, everything = run("explain", bundle, "--all")
    assert "? send_path" in everything
    assert "more rules" not in everything
    _, one = run("explain", bundle, "--rule", "send_path.node_process")
    assert "? send_path.node_process" in one
    assert "never_ran" not in one


def test_explain_prints_json_and_suggests_a_rule(tmp_path: Path) -> None:
    bundle = unpacked("b01", tmp_path / "b")
    fired = json.loads(run("explain", bundle, "--json")[1])
    assert {rule["result"] for rule in fired} == {"fired"}
    assert len(json.loads(run("explain", bundle, "--all", "--json")[1])) > len(fired)
    with pytest.raises(UsageError, match=r"did you mean 'send_path.node_process'"):
        run("explain", bundle, "--rule", "send_path.node_proces")


def test_an_archive_is_judged_like_its_directory(tmp_path: Path) -> None:
    archive = tmp_path / "b01.tar.xz"
    shutil.copy(INCIDENTS / "b01.tar.xz", archive)
    code, text = run("classify", archive, "--json")
    assert (code, json.loads(text)) == (5, verdict_of(unpacked("b01", tmp_path / "b")))
    assert [p.name for p in tmp_path.glob("*.tar.xz*")] == ["b01.tar.xz"]
    _, text = run("classify", archive, "--out", tmp_path / "out")
    assert f"Reports: {tmp_path / 'out'}" in text
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "report.html",
        "summary.md",
        "verdict.json",
    ]
    assert run("verify-citations", archive)[0] == 0
    assert "never_ran" in run("explain", archive)[1]


def test_a_damaged_archive_is_refused_in_words(tmp_path: Path) -> None:
    archive = tmp_path / "broken.tar.xz"
    archive.write_bytes(b"not an archive")
    with pytest.raises(UsageError, match=r"broken\.tar\.xz"):
        run("classify", archive)


def test_changed_evidence_fails_the_citations_of_a_written_verdict(tmp_path: Path) -> None:
    bundle = unpacked("b01", tmp_path / "b")
    assert run("verify-citations", bundle)[0] == 0
    _, text = run("classify", bundle, "--json")
    (bundle / "verdict.json").write_text(text)
    assert run("verify-citations", bundle)[0] == 0
    status = bundle / "status.jsonl"
    status.write_text(status.read_text().replace("waiting", "running"))
    code, text = run("verify-citations", bundle)
    assert code == 3
    assert "sha256 differs" in text


def test_score_takes_a_directory_and_what_others_said(tmp_path: Path) -> None:
    unpacked("b01", tmp_path / "b01")
    row = {"bundle": "b01", "label": "baseline_health", "fault": "one node", "scenario": "x"}
    (tmp_path / "labels.jsonl").write_text(json.dumps(row))
    (tmp_path / "beside.json").write_text(json.dumps({"wkbench": {"b01": "no_pressure"}}))
    _, text = run("score", tmp_path, "--beside", tmp_path / "beside.json")
    assert "category is the label               1.000" in text
    assert "no_pressure" in text

"""Published findings as golden cases: what each states, as signals, decides as it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from wktriage.core import categories
from wktriage.core.categories import ABSTAIN
from wktriage.core.model import Signal, SignalSet, Tri
from wktriage.judging import signals
from wktriage.judging.decision import Decision
from wktriage.judging.decision import decide as decide_signals
from wktriage.request import scenarios

FILE = Path(__file__).resolve().parents[1] / "fixtures" / "findings.yml"
DOCUMENT: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
FINDINGS: list[dict[str, Any]] = DOCUMENT["findings"]
PUBLISHED = {*(f"W{i}" for i in range(1, 14)), *(f"H{i}" for i in range(1, 32))}
NODES = ("wk-node1", "wk-node2", "wk-node3")
SUCCESS = scenarios.load(scenarios.CUSTOM).success
BLAMES_SERVERS = set(categories.CATEGORIES) - categories.blaming("nobody", "client", "connections")
KEYS = {
    *("id", "says", "given", "nodes", "category", "also_ok", "room", "component", "never"),
    *("client", "gate_only", "abstains", "missing", "xfail", "xfail_component"),
}


def decide(finding: dict[str, Any]) -> Decision:
    found = SignalSet(names=signals.catalogue(), nodes=NODES)
    catalogue = signals.catalogue()
    for name, value in finding["given"].items():
        found.add(Signal(name, catalogue[name]["unit"], value))
    for node, values in finding.get("nodes", {}).items():
        for name, value in values.items():
            found.add(Signal(name, catalogue[name]["unit"], value, node=node))
    return decide_signals(found, SUCCESS)


def cases(mark: str, findings: list[dict[str, Any]] = FINDINGS) -> list[Any]:
    """Return the findings as parameters, those that the rules get wrong marked so."""
    return [
        pytest.param(
            f,
            id=f["id"],
            marks=[pytest.mark.xfail(strict=True, reason=f[mark])] if mark in f else [],
        )
        for f in findings
    ]


@pytest.mark.parametrize("finding", cases("xfail"))
def test_category_is_what_the_finding_says(finding: dict[str, Any]) -> None:
    category = decide(finding).category
    assert category not in finding.get("never", ())
    if finding.get("client"):
        assert category not in BLAMES_SERVERS
    if finding["category"] != "healthy":
        assert category != "healthy"
    if finding.get("abstains"):
        assert category == ABSTAIN
    else:
        assert category in (finding["category"], *finding.get("also_ok", ()))


@pytest.mark.parametrize(
    "finding", cases("xfail_component", [f for f in FINDINGS if "component" in f])
)
def test_component_is_the_one_named(finding: dict[str, Any]) -> None:
    decision = decide(finding)
    fired = decision.fired(decision.category)
    assert fired
    assert fired[0].rule.component == finding["component"]


@pytest.mark.parametrize("finding", cases("", [f for f in FINDINGS if f.get("abstains")]))
def test_abstaining_is_for_want_of_what_is_named(finding: dict[str, Any]) -> None:
    """No rule says that it was another thing, and the rules of its category ask for the rest."""
    decision = decide(finding)
    assert Tri.YES not in decision.holds.values()
    assert decision.holds[finding["category"]] is Tri.UNKNOWN
    asked = {
        name
        for outcome in decision.of(finding["category"])
        for name in (
            *outcome.missing,
            *(leaf.signal for leaf in outcome.evaluation.leaves if leaf.result is Tri.UNKNOWN),
        )
    }
    assert finding["missing"]
    assert set(finding["missing"]) <= asked
    assert not set(finding["missing"]) & set(finding["given"])


def test_every_published_finding_is_here_or_said_to_be_left_out() -> None:
    ids = [f["id"] for f in FINDINGS]
    assert len(ids) == len(set(ids))
    kept = {i.rstrip("bcd") for i in ids}
    assert kept | set(DOCUMENT["left_out"]) == PUBLISHED
    assert not kept & set(DOCUMENT["left_out"])


@pytest.mark.parametrize("finding", cases(""))
def test_finding_is_well_formed(finding: dict[str, Any]) -> None:
    assert set(finding) <= KEYS
    assert {finding["category"], *finding.get("also_ok", ()), *finding.get("never", ())} <= set(
        categories.CATEGORIES
    )
    assert finding.get("component", "none") in categories.COMPONENTS
    assert ("also_ok" in finding) == ("room" in finding)
    assert ("abstains" in finding) == ("missing" in finding)

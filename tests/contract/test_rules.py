"""Every gate: valid, named after its category, with a page, and with fixtures that hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from wktriage.core.categories import CATEGORIES
from wktriage.core.model import Signal, SignalSet, Tri
from wktriage.judging import causes, next_experiment, rules, signals
from wktriage.request import knobs, scenarios

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "rules"
NODES = ("wk-node1", "wk-node2", "wk-node3")
RULES = rules.load(signals.catalogue(), scenarios.load(scenarios.CUSTOM).success)
ELEMENTS = causes.load(signals.catalogue())
EXPECTED = {"fires": Tri.YES, "not_fires": Tri.NO, "unknown": Tri.UNKNOWN}


def fixture_signals(given: dict[str, Any]) -> SignalSet:
    found = SignalSet(names=signals.catalogue(), nodes=NODES)
    for name, value in given.get("signals", {}).items():
        found.add(Signal(name, signals.catalogue()[name]["unit"], value))
    for node, values in given.get("nodes", {}).items():
        for name, value in values.items():
            found.add(Signal(name, signals.catalogue()[name]["unit"], value, node=node))
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.id)
def test_rule_has_fixtures_that_hold(rule: rules.Rule) -> None:
    path = FIXTURES / f"{rule.id}.yml"
    assert path.is_file(), f"{path.name} is missing: a case that fires, one not, one unknown"
    given = yaml.safe_load(path.read_text("utf-8"))
    assert given["rule"] == rule.id
    assert set(EXPECTED) <= set(given)
    # A rule that fires for more than one reason has a case for each: fires, fires_2, …
    for case in set(given) - {"rule"}:
        tri = EXPECTED[re.sub(r"_\d+$", "", case)]
        assert rules.evaluate(rule, fixture_signals(given[case])).tri is tri, case


def test_no_fixture_without_rule() -> None:
    assert {p.stem for p in FIXTURES.glob("*.yml")} == {r.id for r in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.id)
def test_rule_belongs_to_its_category(rule: rules.Rule) -> None:
    prefix = rule.id.partition(".")[0]
    assert prefix == rule.category


@pytest.mark.parametrize("category", CATEGORIES)
def test_category_can_be_decided_and_has_a_page(category: str) -> None:
    if category in rules.GATES:
        names = [r.id.split(".")[1] for r in RULES if r.category == category]
    else:
        names = [c.element for c in ELEMENTS.values() if category in c.file.category.values()]
    assert names
    page = (ROOT / "rules" / f"{category}.md").read_text("utf-8")
    for heading in ("## Means", "## Proof", "## Confused with", "## Experiments"):
        assert heading in page
    assert [name for name in names if name not in page] == []


def test_every_hypothesis_is_used() -> None:
    used = {h for r in RULES for h in r.hypotheses} | {
        *(h for c in ELEMENTS.values() for h in c.file.hypotheses),
        next_experiment.UNEXPLAINED,
        next_experiment.SHIPPED,
        next_experiment.OWN,
    }
    assert set(knobs.hypotheses()) == used

"""What a person reads of a verdict: no internal names, no zero as a reason, verbs that agree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from wktriage.core.categories import CATEGORIES
from wktriage.core.model import Signal, SignalSet, Tri
from wktriage.judging import decision, next_experiment, reasons, rules, signals
from wktriage.judging.wording import Names, Shown
from wktriage.request import knobs, scenarios

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
NODES = ("wk-node1", "wk-node2", "wk-node3")
SUCCESS = scenarios.load(scenarios.CUSTOM).success
DECIDED = decision.decide(SignalSet(names=signals.catalogue(), nodes=NODES), SUCCESS)
RULES = [outcome.rule for outcome in DECIDED.outcomes]
"""Every gate, and every cause in each of its categories."""
TWO = Names(NODES[:2])

INTERNAL = re.compile(
    r"\b(?:" + "|".join(re.escape(n) for n in signals.catalogue() if "_" in n) + r")\b"
    r"|\b(?:" + "|".join(CATEGORIES) + r")\.[a-z_]+\b|\{\{|\bTrue\b|\bFalse\b|\bNone\b"
)
"""Names of signals and rules, templates, and truth values of the program."""

ZERO = re.compile(r"(?<![\d.,])0 (?!%|s\b)[a-z]+|\bonly 0\b")
SINGULAR = re.compile(
    r"wk-node2 (?:does|is|was|has|stalls|commits|leads|keeps|receives|serves|holds|refuses|takes)\b"
)


def plain(text: str) -> str:
    """Return a text in which nothing reads like the inside of the program."""
    for pattern in (INTERNAL, ZERO, SINGULAR):
        assert not pattern.search(text), text
    assert text[:1].isupper() or text[:1].isdigit() or text.startswith("wk-"), text
    assert text.rstrip('"').endswith("."), text
    return text


def cases(rule: rules.Rule) -> list[dict[str, Any]]:
    folder = "rules" if rule.category in rules.GATES else "causes"
    name = rule.id if folder == "rules" else rule.id.split(".")[1]
    given = yaml.safe_load((FIXTURES / folder / f"{name}.yml").read_text("utf-8"))
    return [case for name, case in given.items() if name.startswith(("fires", "abnormal"))]


def signal_set(case: dict[str, Any]) -> SignalSet:
    made = SignalSet(names=signals.catalogue(), nodes=NODES)
    for name, value in case.get("signals", {}).items():
        made.add(Signal(name, signals.catalogue()[name]["unit"], value))
    for node, values in case.get("nodes", {}).items():
        for name, value in values.items():
            made.add(Signal(name, signals.catalogue()[name]["unit"], value, node=node))
    return made


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.id)
@pytest.mark.parametrize("nodes", [(), NODES[:1], NODES[:2]], ids=["none", "one", "two"])
def test_reason_reads_well_for_no_node_one_and_two(
    rule: rules.Rule, nodes: tuple[str, ...]
) -> None:
    for case in cases(rule):
        made = signal_set(case)
        outcome = rules.Outcome(rule, Tri.YES, rule.when.evaluate(made), nodes)
        plain(reasons.text_of(outcome, made))


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.id)
def test_title_of_a_rule_is_a_noun_phrase_for_a_sentence(rule: rules.Rule) -> None:
    assert re.fullmatch(r"[a-z][^.;:]+", rule.title)
    assert not INTERNAL.search(rule.title)


@pytest.mark.parametrize("name", sorted(signals.catalogue()))
def test_title_of_a_signal_fits_its_unit(name: str) -> None:
    title, unit = signals.title(name), signals.catalogue()[name]["unit"]
    # "kind of the simulator's last_error" names a field of the simulator's status.
    assert not INTERNAL.search(title.replace("last_error", ""))
    # There is a lost quorum, there are failed sends, the offered rate is 4/s.
    article = bool(re.match(r"(?:a|an) ", title))
    assert article == (unit == "bool") or title == "data of earlier runs"
    assert (unit == "share") == bool(re.search(r"\bshare\b|\bfill level\b", title))


@pytest.mark.parametrize("name", sorted(knobs.hypotheses()))
@pytest.mark.parametrize("nodes", [Names(()), Names(NODES[:1]), TWO], ids=["none", "one", "two"])
def test_hypothesis_and_experiment_read_well(name: str, nodes: Names) -> None:
    run = next_experiment.Run(
        "person-hotpath",
        {"rate": "1/s", "concurrency": 16, "warmup": "10s"},
        "clean",
        60,
        refused=("WK_X",),
    )
    made = signal_set({"signals": {"achieved_rate_ratio": 0.4}})
    values = {"s": Shown(made), "nodes": nodes, "component": "transport"}
    hypothesis, experiment = next_experiment.propose("send_path", [name], run, values)
    for key in ("statement", "expected_observation", "falsification_test"):
        plain(hypothesis[key])
    for key in ("expected_result", "stop_condition"):
        plain(experiment[key])

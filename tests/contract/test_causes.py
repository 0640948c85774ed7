"""Every cause: valid, named after its element, without circles, and with fixtures that hold."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from wktriage.core.categories import CAUSES
from wktriage.core.errors import UsageError
from wktriage.core.model import Signal, SignalSet, Tri
from wktriage.judging import candidates, causes, signals

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "causes"
NODES = ("wk-node1", "wk-node2", "wk-node3")
LOADED = causes.load(signals.catalogue())


def state(element: str, given: dict[str, Any]) -> candidates.Abnormal:
    made = SignalSet(names=signals.catalogue(), nodes=NODES)
    for name, value in given.get("signals", {}).items():
        made.add(Signal(name, signals.catalogue()[name]["unit"], value))
    for node, values in given.get("nodes", {}).items():
        for name, value in values.items():
            made.add(Signal(name, signals.catalogue()[name]["unit"], value, node=node))
    return candidates.abnormal(LOADED[element], made)


@pytest.mark.parametrize("element", LOADED)
def test_cause_has_fixtures_that_hold(element: str) -> None:
    given = yaml.safe_load((FIXTURES / f"{element}.yml").read_text("utf-8"))
    assert given["element"] == element
    for case, what in given.items():
        if case == "element":
            continue
        result = state(element, what)
        if case.startswith("abnormal"):
            assert (result.tri, list(result.nodes)) == (Tri.YES, what["names"]), case
        else:
            # What is missing is never a fault; where many bundles lack it, nothing was seen.
            wanted = {Tri.NO} if case == "normal" else {Tri.NO, Tri.UNKNOWN}
            assert result.tri in wanted, case
    assert {"abnormal", "normal", "missing"} <= set(given)


def test_no_fixture_without_cause() -> None:
    assert {p.stem for p in FIXTURES.glob("*.yml")} == set(LOADED)


def test_every_category_of_a_cause_can_be_found() -> None:
    reached = {c for cause in LOADED.values() for c in cause.file.category.values()}
    everywhere = {c.file.everywhere.capacity for c in LOADED.values() if c.file.everywhere}
    assert reached | everywhere == CAUSES


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("elements: [", "elements: [data_devise, "), "did you mean 'data_device'"),
        (("element: quorum", "element: quorom"), "must be quorum"),
        (("signal: quorum_lost", "signal: quorum_loss"), "did you mean 'quorum_lost'"),
        (("elements: [", "elements: [node_process, "), "hold each other up"),
        (("hypotheses: [node_back]", "hypotheses: [node_bark]"), "did you mean 'node_back'"),
    ],
)
def test_a_mistake_is_one_error_with_its_place(
    change: tuple[str, str], message: str, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(causes.DIRECTORY, tmp_path / "causes"))
    path = copy / "quorum.yml"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(UsageError, match=message):
        causes.load(signals.catalogue(), copy)

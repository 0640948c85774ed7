"""Every fault's labels can be evaluated: known categories, known signals."""

from __future__ import annotations

import pytest

from wktriage.judging import predicates, rules, signals
from wktriage.lab import faults


@pytest.mark.parametrize("name", faults.names())
def test_labels_name_known_categories_and_signals(name: str) -> None:
    for label in faults.load(name).labels:
        assert {label.label, *label.also_ok} <= set(rules.CATEGORIES)
        predicates.parse(label.when, f"faults/{name}.yml", signals.catalogue())

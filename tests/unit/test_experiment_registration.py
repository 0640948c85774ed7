from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.experiment_bundles import CATALOGUE, bundle, ref, registered, signals

from wktriage.core.errors import UsageError
from wktriage.experiments import expectations, registration
from wktriage.experiments.effects import Direction
from wktriage.experiments.expectations import Effect
from wktriage.experiments.registration import BundleRef, TamperedError, Variable


class TestExpectations:
    @pytest.mark.parametrize(
        ("text", "tree"),
        [
            ("a >= 0.95", {"signal": "a", "op": ">=", "value": 0.95}),
            ("a == true", {"signal": "a", "op": "==", "value": True}),
            ("a != 'none at all'", {"signal": "a", "op": "!=", "value": "none at all"}),
            ("a < -3", {"signal": "a", "op": "<", "value": -3}),
            ("a < b", {"signal": "a", "op": "<", "other_signal": "b"}),
            ("known(a)", {"known": "a"}),
            ("not a > 1e3", {"not": {"signal": "a", "op": ">", "value": 1000.0}}),
            ("any_node(a > 1)", {"any_node": {"signal": "a", "op": ">", "value": 1}}),
        ],
    )
    def test_reads(self, text: str, tree: dict[str, Any]) -> None:
        assert expectations.tree(text, "test") == tree

    def test_and_binds_closer_than_or(self) -> None:
        assert expectations.tree("a > 1 or b > 2 and c > 3", "t") == {
            "any": [
                {"signal": "a", "op": ">", "value": 1},
                {"all": [
                    {"signal": "b", "op": ">", "value": 2},
                    {"signal": "c", "op": ">", "value": 3},
                ]},
            ]
        }  # fmt: skip

    @pytest.mark.parametrize(
        "text",
        ["", "a", "a >=", ">= 1", "a >= 1 b", "(a >= 1", "a >= 1)", "a => 1", "a >= {{ 1 }}",
         "and >= 1", "not", "known(1)", "a >= 'x", "(" * 200, "a >= 1 and " * 200],
    )  # fmt: skip
    def test_refuses_what_is_none(self, text: str) -> None:
        with pytest.raises(UsageError, match="expected"):
            expectations.tree(text, "expected")

    @given(st.text(max_size=60))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        try:
            expectations.tree(text, "t")
        except UsageError:
            return

    def test_unknown_signals_get_a_suggestion(self) -> None:
        with pytest.raises(UsageError, match="did you mean 'achieved_rate_ratio'"):
            expectations.parse("achieved_rate_ration >= 1", "expected", CATALOGUE)

    @given(st.floats(0, 1), st.booleans())
    def test_text_of_a_predicate_reads_as_the_same(self, number: float, steady: bool) -> None:
        text = f"achieved_rate_ratio >= {number:.3f} and not steady == {str(steady).lower()}"
        predicate = expectations.parse(text, "t", CATALOGUE)
        again = expectations.parse(expectations.text_of(predicate), "t", CATALOGUE)
        assert again == predicate

    @given(st.one_of(st.none(), st.floats(0, 1)))
    def test_negation_is_the_opposite(self, value: float | None) -> None:
        text = "achieved_rate_ratio >= 0.5 and send_errors == 0"
        found = signals(achieved_rate_ratio=value)
        straight = expectations.parse(text, "t", CATALOGUE).evaluate(found).tri
        opposite = expectations.parse(expectations.negation(text), "t", CATALOGUE)
        assert opposite.evaluate(found).tri is ~straight

    def effects(self, text: str) -> tuple[Effect, ...]:
        return expectations.effects(expectations.parse(text, "t", CATALOGUE), CATALOGUE, "t")

    def test_effects_say_signal_and_direction(self) -> None:
        assert self.effects("achieved_rate_ratio >= 0.95 and send_server_latency_mean < 0.1") == (
            Effect("achieved_rate_ratio", Direction.INCREASE, 0.95),
            Effect("send_server_latency_mean", Direction.DECREASE, 0.1),
        )
        assert self.effects("not achieved_rate_ratio >= 0.95") == (
            Effect("achieved_rate_ratio", Direction.DECREASE, 0.95),
        )

    def test_counters_and_facts_are_no_effects(self) -> None:
        text = "send_errors <= 0 and steady == true and all_nodes(node_up == true)"
        assert self.effects(text) == ()

    @pytest.mark.parametrize(
        "text",
        ["achieved_rate_ratio > 1 or send_server_latency_mean < 1",
         "not (achieved_rate_ratio > 1 and send_server_latency_mean < 1)"],
    )  # fmt: skip
    def test_an_or_cannot_be_refuted_part_by_part(self, text: str) -> None:
        with pytest.raises(UsageError, match="one experiment for each"):
            self.effects(text)


class TestRegister:
    def test_same_input_same_bytes(self) -> None:
        assert registered().canonical() == registered().canonical()
        assert registered().sha256() == registered().sha256()

    @pytest.mark.parametrize(
        "change",
        [{"seed": 8}, {"expected": "achieved_rate_ratio >= 0.5"}, {"repeats": 5},
         {"alpha": 0.1}, {"control": ref("other")}, {"statement": "Another one."},
         {"registered_at": "2026-11-26T10:00:01Z"}, {"attribution_only": True},
         {"disturbed_if": ("status_longest_gap > 6",)}],
    )  # fmt: skip
    def test_every_part_is_in_the_hash(self, change: dict[str, Any]) -> None:
        assert registered(**change).sha256() != registered().sha256()

    def test_bytes_come_back_as_they_were(self) -> None:
        made = registered(stop_if="send_errors > 0")
        assert registration.decode(made.canonical()) == made

    def test_falsification_is_the_opposite_unless_given(self) -> None:
        assert registered().falsified_if == "not (achieved_rate_ratio >= 0.95)"
        made = registered(falsified_if="achieved_rate_ratio < 0.5")
        assert made.falsified_if == "achieved_rate_ratio < 0.5"

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"question": " "}, "question is empty"),
            ({"expected": "nonsense >= 1"}, "no signal 'nonsense'"),
            ({"expected": "steady == true"}, "has no number"),
            (
                {"falsified_if": "known(send_server_latency_mean)"},
                "falsification test: has no number",
            ),
            ({"stop_if": "send_errors"}, "stop condition"),
            ({"registered_at": "today"}, "no ISO 8601 time"),
            ({"repeats": 0}, "registration"),
            ({"alpha": 1.0}, "registration"),
            ({"seed": -1}, "registration"),
            ({"disturbed_if": ("what > 1",)}, "exclusion rule"),
        ],
    )
    def test_refuses(self, change: dict[str, Any], why: str) -> None:
        with pytest.raises(UsageError, match=why):
            registered(**change)

    def test_a_variable_must_change(self) -> None:
        with pytest.raises(ValueError, match="nothing would change"):
            Variable("concurrency", "workload", "workload.concurrency", 64, 64)

    def test_remarks_say_that_two_a_side_cannot_decide(self) -> None:
        assert registered().remarks() == []
        assert "it takes 4 a side" in registered(repeats=2).remarks()[0]
        assert "attribution" in registered(attribution_only=True).remarks()[0]

    def test_foreign_load_is_measured_against_the_control(self) -> None:
        rule = registration.exclusion_rule(signals(foreign_cpu_of_host=0.4))
        assert rule[0] == "foreign_cpu_of_host > 0.65"
        assert registration.exclusion_rule(signals(foreign_cpu_of_host=None)) == (
            registration.DISTURBED
        )

    def test_a_proposal_in_prose_is_refused(self) -> None:
        with pytest.raises(UsageError, match="give expect"):
            registration.of_proposal({"expected_result": "It looks better."})
        taken = registration.of_proposal(
            {"expect": "send_server_latency_mean < 1", "stop_if": "a > 1"}
        )
        assert taken == {"expected": "send_server_latency_mean < 1", "stop_if": "a > 1"}

    def test_default_rule_names_signals_that_exist(self) -> None:
        for text in registration.DISTURBED:
            expectations.parse(text, "t", registration.signals.catalogue())


class TestTampering:
    def test_an_edited_registration_is_seen(self, tmp_path: Path) -> None:
        made = registered()
        path = tmp_path / "registration.json"
        path.write_bytes(made.canonical())
        assert registration.load(path, made.sha256()) == made
        document = json.loads(path.read_bytes())
        document["min_effect"]["size"] = 0.01
        path.write_text(json.dumps(document))
        with pytest.raises(TamperedError, match="edited after the fact"):
            registration.load(path, made.sha256())

    def test_white_space_counts_as_an_edit(self, tmp_path: Path) -> None:
        path = tmp_path / "registration.json"
        path.write_bytes(registered().canonical() + b"\n")
        with pytest.raises(TamperedError):
            registration.load(path, registered().sha256())

    def test_unreadable(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="cannot be read"):
            registration.load(tmp_path / "none.json", "x")
        with pytest.raises(UsageError, match="no registration"):
            registration.decode(b"{}")

    def test_a_bundle_is_known_by_its_manifest(self, tmp_path: Path) -> None:
        held = BundleRef.of(bundle(tmp_path, "b1"))
        held.check(bundle(tmp_path / "copy", "b1"))

    def test_another_bundle_in_its_place_is_seen(self, tmp_path: Path) -> None:
        held = BundleRef.of(bundle(tmp_path, "b1"))
        with pytest.raises(TamperedError, match="not b1"):
            held.check(bundle(tmp_path, "b2"))

    def test_same_name_with_other_content_is_seen(self, tmp_path: Path) -> None:
        held = BundleRef.of(bundle(tmp_path, "b1"))
        swapped = bundle(tmp_path / "other", "b1", observed={"ncpu": 64})
        with pytest.raises(TamperedError, match="swapped or edited"):
            held.check(swapped)

    def test_an_edited_file_of_a_bundle_is_seen(self, tmp_path: Path) -> None:
        made = bundle(tmp_path, "b1")
        held = BundleRef.of(made)
        (made.root / "status.jsonl").write_text('{"messages_sent": 1000000}\n')
        with pytest.raises(TamperedError, match=r"status\.jsonl"):
            held.check(type(made).open(made.root))

    def test_a_plain_bundle_cannot_be_held(self, tmp_path: Path) -> None:
        made = bundle(tmp_path, "b1")
        (made.root / "manifest.json").unlink()
        with pytest.raises(UsageError, match="no usable manifest"):
            BundleRef.of(type(made).open(made.root))

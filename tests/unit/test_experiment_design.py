from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.experiment_bundles import CATALOGUE, ref, registered, signals

from wktriage.experiments import design
from wktriage.experiments.design import RunRecord, Side, Stop
from wktriage.experiments.registration import Registration, TamperedError

SEEDS = st.integers(0, 2**63 - 1)


def record(made: Registration, place: int, attempt: int = 1, **changes: Any) -> RunRecord:
    parts: dict[str, Any] = {
        "place": place,
        "attempt": attempt,
        "side": design.order(made.seed, 50)[place],
        "bundle": ref(f"run-{place}-{attempt}"),
        "registration_sha256": made.sha256(),
    }
    return RunRecord(**{**parts, **changes})


class TestOrder:
    @given(SEEDS, st.integers(1, 20))
    def test_both_sides_run_as_often(self, seed: int, repeats: int) -> None:
        drawn = design.order(seed, repeats)
        assert len(drawn) == 2 * repeats
        assert drawn.count(Side.CONTROL) == repeats

    @given(SEEDS, st.integers(1, 10), st.integers(1, 10))
    def test_an_extension_begins_as_the_planned_part(self, seed: int, few: int, more: int) -> None:
        assert design.order(seed, few + more)[: 2 * few] == design.order(seed, few)

    @given(SEEDS)
    def test_blocks_are_abba_or_baab(self, seed: int) -> None:
        drawn = design.order(seed, 8)
        a, b = Side.CONTROL, Side.TREATMENT
        for start in range(0, 16, 4):
            assert drawn[start : start + 4] in ((a, b, b, a), (b, a, a, b))

    def test_seeds_draw_both_kinds(self) -> None:
        first = [design.order(seed, 2)[0] for seed in range(200)]
        assert 60 < first.count(Side.CONTROL) < 140

    def test_a_seed_draws_the_same_for_ever(self) -> None:
        letters = "".join("A" if s is Side.CONTROL else "B" for s in design.order(7, 4))
        assert letters == "BAABBAAB"


class TestNext:
    def test_runs_go_in_order_and_end(self) -> None:
        made = registered()
        records: list[RunRecord] = []
        while (due := design.next_run(made, records)) is not None:
            assert due.place == len(records)
            records.append(record(made, due.place))
        assert [r.side for r in records] == list(design.order(made.seed, 4))

    @given(SEEDS, st.integers(0, 2**32))
    def test_interrupted_anywhere_it_ends_as_if_it_had_not_been(self, seed: int, luck: int) -> None:
        made = registered(seed=seed)
        draw = random.Random(luck)
        records: list[RunRecord] = []
        while (due := design.next_run(made, records)) is not None:
            lost = draw.random() < 0.3
            if lost:  # Killed in the middle: nothing was recorded, and the same run is due again.
                continue
            disturbed = "disturbed" if due.attempt < 3 and draw.random() < 0.3 else None
            records.append(record(made, due.place, due.attempt, excluded=disturbed))
        counted = [r for r in records if r.excluded is None]
        assert [r.side for r in counted] == list(design.order(seed, 4))

    def test_a_disturbed_run_is_repeated_in_its_place(self) -> None:
        made = registered()
        records = [record(made, 0), record(made, 1, excluded="disturbed: x")]
        due = design.next_run(made, records)
        assert due is not None
        assert (due.place, due.attempt, due.side) == (1, 2, design.order(made.seed, 4)[1])

    def test_a_place_disturbed_three_times_ends_it(self) -> None:
        made = registered()
        records = [record(made, 0, n, excluded="disturbed: x") for n in (1, 2, 3)]
        assert design.next_run(made, records) is None
        stop = design.stop_after(made, records[-1], signals(), records, catalogue=CATALOGUE)
        assert stop is not None
        assert "disturbed 3 times" in stop.reason

    def test_an_extension_goes_on(self) -> None:
        made = registered(repeats=2)
        records = [record(made, place) for place in range(4)]
        assert design.next_run(made, records) is None
        due = design.next_run(made, records, repeats=4)
        assert due is not None
        assert due.place == 4

    def test_a_stop_ends_it(self) -> None:
        assert design.next_run(registered(), [], Stop("x", 0)) is None


class TestChecks:
    def test_a_changed_seed_is_seen(self) -> None:
        made = registered(seed=7)
        records = [record(made, place) for place in range(4)]
        other = next(s for s in range(8, 99) if design.order(s, 4) != design.order(7, 4))
        with pytest.raises(TamperedError, match="another registration"):
            design.check_records(registered(seed=other), records)

    def test_a_side_that_was_not_drawn_is_seen(self) -> None:
        made = registered()
        wrong = Side.TREATMENT if design.order(7, 4)[0] is Side.CONTROL else Side.CONTROL
        with pytest.raises(TamperedError, match="does not draw"):
            design.check_records(made, [record(made, 0, side=wrong)])

    def test_one_bundle_for_two_runs_is_seen(self) -> None:
        made = registered()
        records = [record(made, 0, bundle=ref("same")), record(made, 1, bundle=ref("same"))]
        with pytest.raises(TamperedError, match="more than one run"):
            design.check_records(made, records)

    def test_two_runs_that_count_in_one_place_are_seen(self) -> None:
        made = registered()
        with pytest.raises(TamperedError, match="more than one run that counts"):
            design.check_records(made, [record(made, 0), record(made, 0, 2)])


class TestDisturbed:
    @pytest.mark.parametrize(
        ("values", "why"),
        [
            ({"status_longest_gap": 9.0}, "status_longest_gap was 9.0"),
            ({"collector_window_valid": False}, "collector_window_valid"),
            ({"collection_interrupted": True}, "collection_interrupted"),
        ],
    )
    def test_rule(self, values: dict[str, Any], why: str) -> None:
        reason, _ = design.disturbed(registered(), signals(**values), CATALOGUE)
        assert reason is not None
        assert why in reason

    def test_foreign_load(self) -> None:
        made = registered(disturbed_if=("foreign_cpu_of_host > 0.45",))
        reason, _ = design.disturbed(made, signals(foreign_cpu_of_host=0.9), CATALOGUE)
        assert reason is not None

    def test_a_quiet_run_counts(self) -> None:
        assert design.disturbed(registered(), signals(), CATALOGUE) == (None, ())

    def test_what_cannot_be_told_is_listed(self) -> None:
        reason, unknown = design.disturbed(
            registered(), signals(status_longest_gap=None), CATALOGUE
        )
        assert reason is None
        assert unknown == ("status_longest_gap > 5",)

    def test_what_a_run_found_does_not_matter(self) -> None:
        for value in (0.1, 0.99, None):
            run = signals(achieved_rate_ratio=value, send_errors=1000)
            assert design.disturbed(registered(), run, CATALOGUE)[0] is None


class TestStop:
    def test_the_stop_condition(self) -> None:
        made = registered(stop_if="send_errors > 0")
        run = record(made, 0)
        stop = design.stop_after(made, run, signals(send_errors=3), [run], catalogue=CATALOGUE)
        assert stop is not None
        assert stop.reason == "The stop condition holds: send_errors > 0"
        assert design.stop_after(made, run, signals(), [run], catalogue=CATALOGUE) is None

    def test_unknown_does_not_stop(self) -> None:
        made = registered(stop_if="send_errors > 0")
        run = record(made, 0)
        unknown = signals(send_errors=None)
        assert design.stop_after(made, run, unknown, [run], catalogue=CATALOGUE) is None

    def test_a_hard_stop(self) -> None:
        made = registered()
        run = record(made, 0)
        stop = design.stop_after(made, run, signals(), [run], ["baseline failed"])
        assert stop is not None
        assert "baseline failed" in stop.reason

    def test_a_disturbed_run_stops_nothing(self) -> None:
        made = registered(stop_if="send_errors > 0")
        run = record(made, 0, excluded="disturbed: x")
        stop = design.stop_after(made, run, signals(send_errors=3), [run], catalogue=CATALOGUE)
        assert stop is None


class TestProgress:
    def test_says_what_may_be_said(self) -> None:
        made = registered()
        records = [record(made, 0), record(made, 1, excluded="disturbed: x")]
        assert design.progress(made, records, 120.0) == (
            "1 of 8 runs are done; 1 disturbed run was excluded; next is run 2 (attempt 2); "
            "about 14 min left."
        )

    def test_the_end(self) -> None:
        made = registered()
        records = [record(made, place) for place in range(8)]
        assert "nothing is left to run" in design.progress(made, records)
        assert "stopped early" in design.progress(made, records[:2], stop=Stop("x", 1))

    @given(SEEDS)
    def test_the_text_is_the_same_whichever_side_ran(self, seed: int) -> None:
        made = registered(seed=seed)
        text = design.progress(made, [record(made, place) for place in range(3)], 60)
        assert text == "3 of 8 runs are done; next is run 4; about 5 min left."

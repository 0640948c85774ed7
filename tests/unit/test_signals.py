"""Signals: catalogue, citations, and what synthetic and recorded evidence must say."""

from __future__ import annotations

import gzip
import json
import random
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wktriage.bundle.bundle import Bundle
from wktriage.bundle.citations import verify_citation
from wktriage.bundle.readers.usage import Busy, UsageSample
from wktriage.core.model import Signal, SignalSet, UnknownSignalError
from wktriage.core.times import iso
from wktriage.judging.signals import catalogue, compute
from wktriage.judging.signals.context import Others, median
from wktriage.judging.signals.cpu import gomaxprocs

PAUSED = Path(__file__).parents[1] / "fixtures" / "signals" / "paused"
T0 = 1767225600.0  # 2026-01-01T00:00:00Z
NODES = ("wk-node1", "wk-node2", "wk-node3")
P = "wukongim_"


def at(second: float) -> str:
    return str(iso(T0 + second))


@dataclass
class Scenario:
    """A full-layout bundle made of functions of the second; the window is [40, 100]."""

    root: Path
    rate: str = "1/s"
    person: int = 10
    group: int = 0
    concurrency: int = 64
    warmup: str = "10s"
    sent: Callable[[int], int] = lambda s: max(0, (s - 30) // 10) * 100
    send_errors: Callable[[int], int] = lambda s: 0
    recv_errors: Callable[[int], int] = lambda s: 0
    run_id: Callable[[int], str] = lambda s: "r1"
    healthz: Callable[[str, int], tuple[bool, float]] = lambda n, s: (True, 2.0)
    cpu: Callable[[str, int], float] = lambda n, s: 0.2 * s
    resource: Callable[[str, int], dict[str, Any]] = lambda n, s: {}
    idle: Callable[[int], float] = lambda s: 100.0 * s
    scrape: Callable[[str, str], dict[str, float] | None] = lambda n, when: {}
    files: dict[str, str] = field(default_factory=dict)

    def signals(self) -> SignalSet:
        self.build()
        return compute(Bundle.open(self.root), strict=True)

    def put(self, rel: str, content: str | Iterable[dict[str, Any]]) -> None:
        path = self.root / rel
        path.parent.mkdir(parents=True, exist_ok=True)
        text = (
            content
            if isinstance(content, str)
            else "".join(json.dumps(row) + "\n" for row in content)
        )
        path.write_text(text)

    def build(self) -> None:
        config = {
            "total_users": 20,
            "person_channels": self.person,
            "group_channels": self.group,
            "group_members": 4,
            "person_rate_per_channel": self.rate,
            "group_rate_per_channel": self.rate,
            "concurrency": self.concurrency,
            "verify_recv": "none",
            "warmup": self.warmup,
        }
        self.put(
            "status.jsonl",
            (
                {
                    "sample_time": at(s),
                    "status": {
                        "state": "running" if s >= 30 else "waiting",
                        "run_id": self.run_id(s),
                        "active_users": 20,
                        "reconnected_users": 0,
                        "messages_sent": self.sent(s),
                        "send_errors": self.send_errors(s),
                        "recv_errors": self.recv_errors(s),
                        "last_error": "",
                        "config": config,
                    },
                }
                for s in range(101)
            ),
        )
        self.put("window.json", json.dumps({"valid": True, "start": at(40), "end": at(100)}))
        self.put(
            "topology.json",
            json.dumps({"nodes": [{"name": n, "id": i + 1} for i, n in enumerate(NODES)]}),
        )
        self.put(
            "health.jsonl",
            (
                {
                    "sample_time": at(s),
                    "node": n,
                    "probe": "healthz",
                    "ok": self.healthz(n, s)[0],
                    "took_ms": self.healthz(n, s)[1],
                }
                for s in range(101)
                for n in NODES
            ),
        )
        self.put(
            "resources.jsonl",
            (
                {
                    "sample_time": at(s),
                    "name": n,
                    "state": "running",
                    "cpu_seconds": self.cpu(n, s),
                    "cpu_limit_cores": None,
                    "cpu_limited": False,
                    "periods": 0,
                    "throttled_periods": 0,
                    "started_at": at(-5),
                    "restart_count": 0,
                    "oom_killed": False,
                    **self.resource(n, s),
                }
                for s in range(101)
                for n in (*NODES, "wk-sim")
            ),
        )
        self.put(
            "host.jsonl",
            (
                {
                    "sample_time": at(s),
                    "host": "h",
                    "ncpu": 2,
                    "cpu_total_ticks": 200 * s,
                    "cpu_idle_ticks": self.idle(s),
                    "cpu_iowait_ticks": 0,
                    "cpu_steal_ticks": 0,
                    "load1": 1.0,
                    "disks": [{"path": "/", "free_bytes": 30, "total_bytes": 100}],
                }
                for s in range(101)
            ),
        )
        for i, node in enumerate(NODES):
            for when, rel in (("before", f"node{i + 1}-before"), ("after", f"node{i + 1}")):
                values = self.scrape(node, when)
                if values is None:
                    self.put(f"metrics/{rel}.prom.err", "connection refused\n")
                else:
                    self.put(f"metrics/{rel}.prom", exposition(values))
        for rel, text in self.files.items():
            self.put(rel, text)


def exposition(values: dict[str, float]) -> str:
    """Return exposition text; start time and a last family are always there."""
    everything = {
        "process_start_time_seconds": T0 - 5,
        P + "transport_write_batches_total": 1.0,
        **values,
    }
    families: dict[str, list[str]] = {}
    for series, value in everything.items():
        name = series.split("{")[0]
        family = name
        for suffix in ("_bucket", "_sum", "_count"):
            family = family.removesuffix(suffix) if "_duration_" in name else family
        families.setdefault(family, []).append(f"{series} {value!r}")
    lines: list[str] = []
    for family in sorted(families):
        kind = "histogram" if "_duration_" in family else "untyped"
        if family.endswith("_total"):
            kind = "counter"
        lines += [f"# HELP {family} x", f"# TYPE {family} {kind}", *families[family]]
    return "\n".join(lines) + "\n"


def histogram(family: str, labels: str, count: float, mean: float) -> dict[str, float]:
    """Return the series of a histogram whose observations all took ``mean``."""
    bounds = [0.005, 0.05, 0.5, 5.0]
    series = {
        f'{family}_bucket{{{labels},le="{b}"}}': float(count if mean <= b else 0) for b in bounds
    }
    series[f'{family}_bucket{{{labels},le="+Inf"}}'] = float(count)
    series[f"{family}_sum{{{labels}}}"] = count * mean
    series[f"{family}_count{{{labels}}}"] = float(count)
    return series


def get(signals: SignalSet, name: str, node: str | None = None) -> Signal:
    found = signals.get(name, node)
    assert found is not None, name
    return found


def value(signals: SignalSet, name: str, node: str | None = None) -> Any:
    return get(signals, name, node).value


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> SignalSet:
    return Scenario(tmp_path_factory.mktemp("healthy")).signals()


@pytest.fixture(scope="module")
def paused() -> SignalSet:
    return compute(Bundle.open(PAUSED), strict=True)


# -- the contract ---------------------------------------------------------------------------------


def test_every_catalogued_signal_is_stated_in_its_scope(healthy: SignalSet) -> None:
    for name, entry in catalogue().items():
        assert entry["scope"] in ("cluster", "node", "both")
        assert entry["meaning"]
        assert entry["source"]
        assert (healthy.get(name) is not None) == (entry["scope"] != "node"), name
        per_node = healthy.per_node(name)
        assert set(per_node) == (set() if entry["scope"] == "cluster" else set(NODES)), name
    assert {s.name for s in healthy} == set(catalogue())


def test_every_known_signal_cites_and_every_unknown_one_says_why(
    healthy: SignalSet, paused: SignalSet
) -> None:
    for signal in (*healthy, *paused):
        if signal.value is None:
            assert signal.why_unknown, signal.name
        else:
            assert 1 <= len(signal.citations) <= 6, signal.name
            unit = catalogue()[signal.name]["unit"]
            assert isinstance(signal.value, bool) == (unit == "bool"), signal.name
            assert isinstance(signal.value, str) == (unit == "string"), signal.name


def test_every_citation_can_be_checked_again(paused: SignalSet) -> None:
    bundle = Bundle.open(PAUSED)
    wrong = [v for s in paused for c in s.citations if (v := verify_citation(bundle, c))]
    assert wrong == []


def test_signals_are_the_same_every_time_and_everywhere(paused: SignalSet, tmp_path: Path) -> None:
    shutil.copytree(PAUSED, tmp_path / "renamed")
    again = compute(Bundle.open(tmp_path / "renamed"), strict=True)
    assert list(again) == list(paused)


# -- recorded: a paused node ----------------------------------------------------------------------


def test_paused_node_is_named_from_every_side(paused: SignalSet) -> None:
    assert value(paused, "send_errors") == 2153
    assert value(paused, "send_error_ratio") == pytest.approx(0.585, abs=0.001)
    assert value(paused, "active_users_changes") == 0
    assert value(paused, "last_error_seen") is False
    for name in ("node_unreachable", "node_frozen", "node_scrape_failed"):
        assert [value(paused, name, n) for n in NODES] == [False, True, False], name
    assert [value(paused, "peers_reporting_failures", n) for n in NODES] == [0, 2, 0]
    assert [value(paused, "push_errors_to", n) for n in NODES] == [0, 271, 0]
    assert value(paused, "push_rpc_latency_to_vs_others", "wk-node2") > 100
    assert value(paused, "quorum_lost") is False


def test_paused_node_is_dated_within_the_sampling(paused: SignalSet) -> None:
    errors = get(paused, "send_errors")
    # Counters tell it to ten seconds, the log line to the millisecond.
    assert errors.since_not_before == "2026-11-24T06:06:24.355Z"
    assert errors.since == "2026-11-24T06:06:29.538Z"
    trouble = get(paused, "onset_seen")
    assert trouble.since is not None
    assert "2026-11-24T06:06:24" <= trouble.since <= "2026-11-24T06:06:30"


def test_append_latency_reads_the_fed_family(paused: SignalSet) -> None:
    # channel_append_duration_seconds is exported too and never fed: it would say 0 observations.
    assert value(paused, "append_mean", "wk-node1") > 0.01


# -- rates and errors -----------------------------------------------------------------------------


def test_healthy_run_is_nothing_but_met(healthy: SignalSet) -> None:
    assert value(healthy, "offered_rate") == 10
    assert value(healthy, "achieved_rate_ratio") == pytest.approx(1.0)
    assert value(healthy, "counter_intervals") == 6
    assert value(healthy, "run_failed") is False
    assert value(healthy, "error_free_tail") == pytest.approx(60.0)
    assert value(healthy, "errors_early_share") is None
    assert value(healthy, "onset_seen") is False
    assert value(healthy, "sim_restarts") == 0
    assert value(healthy, "status_coverage") == 1


def test_a_stall_that_is_over_at_the_end_still_counts(tmp_path: Path) -> None:
    def sent(second: int) -> int:
        steps = max(0, (second - 30) // 10)
        return 100 * (steps if second < 60 else 2 if second < 80 else steps - 3)

    signals = Scenario(tmp_path, sent=sent).signals()
    worst = get(signals, "worst_achieved_rate_ratio")
    assert worst.value == pytest.approx(0.25)
    assert (worst.since_not_before, worst.since) == (at(50), at(90))
    assert value(signals, "intervals_below_offer_ratio") == pytest.approx(2 / 3, rel=1e-5)
    assert value(signals, "error_intervals_ratio") == 0


def test_what_failures_kept_from_being_sent_is_told_by_the_intervals_they_fill(
    tmp_path: Path,
) -> None:
    # Half of the window sends all of its offer of 10/s; then three intervals fail, five sends each.
    def sent(second: int) -> int:
        return 100 * min(4, max(0, (second - 30) // 10))

    def failed(second: int) -> int:
        return 5 * max(0, (second - 70) // 10)

    signals = Scenario(tmp_path, sent=sent, send_errors=failed).signals()
    assert value(signals, "unsent_beside_failures_ratio") == pytest.approx(3 * 95 / 600, rel=1e-3)


def test_counters_that_stand_still_at_the_end_are_a_step(tmp_path: Path) -> None:
    signals = Scenario(tmp_path, sent=lambda s: min(300, max(0, (s - 30) // 10) * 100)).signals()
    assert value(signals, "sent_rate") == pytest.approx(200 / 60, rel=1e-5)
    assert value(signals, "worst_achieved_rate_ratio") == 0
    assert value(signals, "run_failed") is True


def test_errors_that_end_are_early(tmp_path: Path) -> None:
    signals = Scenario(
        tmp_path, send_errors=lambda s: 0 if s < 40 else 3 if s < 50 else 9
    ).signals()
    assert value(signals, "errors_before_window") == 3
    assert value(signals, "send_errors") == 6
    assert value(signals, "errors_early_share") == 1.0
    assert value(signals, "error_free_tail") == pytest.approx(50.0)
    first = get(signals, "send_errors")
    assert (first.since_not_before, first.since) == (at(40), at(50))


def test_receive_errors_dominate(tmp_path: Path) -> None:
    signals = Scenario(
        tmp_path, recv_errors=lambda s: max(0, s // 10 - 4) * 3, send_errors=lambda s: s // 60
    ).signals()
    assert value(signals, "recv_errors") > 9 * value(signals, "send_errors") > 0


def test_simulator_restart_is_seen_and_no_rate_is_made_of_it(tmp_path: Path) -> None:
    signals = Scenario(
        tmp_path,
        run_id=lambda s: "r1" if s < 65 else "r2",
        sent=lambda s: max(0, (s - 30) // 10) * 100 if s < 65 else 0,
    ).signals()
    restart = get(signals, "sim_restarts")
    assert restart.value == 1
    assert (restart.since_not_before, restart.since) == (at(64), at(65))
    assert value(signals, "messages_sent") == 200


def test_status_gaps_show_in_the_coverage(tmp_path: Path) -> None:
    scenario = Scenario(tmp_path)
    scenario.build()
    rows = (tmp_path / "status.jsonl").read_text().splitlines()
    kept = [*rows[:60], '{"sample_time": "broken', *rows[90:]]
    (tmp_path / "status.jsonl").write_text("\n".join(kept))
    signals = compute(Bundle.open(tmp_path), strict=True)
    assert value(signals, "status_longest_gap") == pytest.approx(31.0)
    assert value(signals, "status_coverage") == pytest.approx(31 / 61)
    assert value(signals, "status_unreadable_rows") == 1


# -- the client -----------------------------------------------------------------------------------


def send_latency(
    mean: float, count: int, waited: float = 0.0
) -> Callable[[str, str], dict[str, float]]:
    def scrape(node: str, when: str) -> dict[str, float]:
        sends = count if when == "after" else 0
        handled = histogram(
            P + "gateway_frame_handle_duration_seconds", 'frame_type="SEND"', sends, mean
        )
        if not waited:
            return handled
        return handled | histogram(
            P + "gateway_async_send_dispatch_wait_duration_seconds",
            'protocol="wkproto"',
            sends,
            waited,
        )

    return scrape


def test_client_limit_binds_whatever_the_servers_do(tmp_path: Path) -> None:
    signals = Scenario(
        tmp_path,
        person=250,
        concurrency=1,
        sent=lambda s: max(0, (s - 30) // 10) * 550,
        scrape=send_latency(0.01, 1100),
    ).signals()
    assert value(signals, "in_flight_limit") == 1
    assert value(signals, "in_flight_used_ratio") == pytest.approx(0.55, abs=0.01)
    assert value(signals, "in_flight_limit_binds") is True
    assert value(signals, "send_server_latency_mean") == pytest.approx(0.01)


def test_waiting_for_dispatch_is_time_of_the_servers(tmp_path: Path) -> None:
    # WuKongIM's own "frame handle" begins after it: 128 in flight at 200/s leave 0.64 s each.
    signals = Scenario(
        tmp_path,
        person=250,
        concurrency=128,
        sent=lambda s: max(0, (s - 30) // 10) * 2000,
        scrape=send_latency(0.04, 4000, waited=0.56),
    ).signals()
    assert value(signals, "send_server_latency_mean") == pytest.approx(0.6)
    assert value(signals, "send_server_latency_mean", "wk-node2") == pytest.approx(0.6)
    assert value(signals, "send_server_latency_p99") == value(signals, "dispatch_wait_p99") > 0.5
    assert value(signals, "cycle_share_outside_servers") == pytest.approx(1 - 0.6 / 0.64)


def test_a_wide_limit_with_slow_servers_is_not_the_clients(tmp_path: Path) -> None:
    signals = Scenario(
        tmp_path,
        rate="6/s",
        person=500,
        concurrency=256,
        sent=lambda s: max(0, (s - 30) // 10) * 5700,
        scrape=send_latency(0.45, 11000),
    ).signals()
    assert value(signals, "in_flight_limit_binds") is False
    assert value(signals, "in_flight_used_ratio") == pytest.approx(1.0, abs=0.01)


def test_sim_cpu_against_its_own_quota(tmp_path: Path) -> None:
    signals = Scenario(
        tmp_path,
        cpu=lambda n, s: 0.06 * s,
        resource=lambda n, s: (
            {
                "cpu_limit_cores": 0.06,
                "cpu_limited": True,
                "periods": 10 * s,
                "throttled_periods": 9 * s,
            }
            if n == "wk-sim"
            else {}
        ),
    ).signals()
    assert value(signals, "sim_cpu_of_limit") == pytest.approx(1.0)
    assert value(signals, "sim_throttled_ratio") == pytest.approx(0.9)
    assert value(signals, "node_throttled_ratio") == 0


# -- nodes ----------------------------------------------------------------------------------------


def test_killed_and_restarted_node(tmp_path: Path) -> None:
    def scrape(node: str, when: str) -> dict[str, float]:
        lost = node == "wk-node2" and when == "after"
        return {
            "process_start_time_seconds": T0 + 70 if lost else T0 - 5,
            P + 'gateway_connections_active{protocol="tcp"}': 0.0 if lost else 7.0,
            P + 'gateway_sendacks_total{class="none"}': 5.0 if lost else 50.0,
        }

    signals = Scenario(
        tmp_path,
        healthz=lambda n, s: (not (n == "wk-node2" and 60 <= s < 72), 2.0),
        resource=lambda n, s: (
            {"state": "exited", "cpu_seconds": None}
            if n == "wk-node2" and 60 <= s < 70
            else {"started_at": at(70), "restart_count": 1, "oom_killed": True}
            if n == "wk-node2" and s >= 70
            else {}
        ),
        scrape=scrape,
    ).signals()
    restarted = get(signals, "node_restarted", "wk-node2")
    assert restarted.value is True
    assert restarted.since == at(70)
    assert value(signals, "node_restarts", "wk-node2") == 1
    assert value(signals, "node_restarts") == 1
    assert value(signals, "node_exited", "wk-node2") is True
    assert value(signals, "node_oom_killed", "wk-node2") is True
    assert value(signals, "node_counter_resets", "wk-node2") == 1
    assert value(signals, "node_unreachable_seconds", "wk-node2") == pytest.approx(12.0)
    gone = get(signals, "node_unreachable", "wk-node2")
    assert (gone.since_not_before, gone.since) == (at(59), at(60))
    assert value(signals, "node_unreachable_at_end", "wk-node2") is False
    assert value(signals, "connections_lost", "wk-node2") == 7
    assert value(signals, "connections_lost") == 7
    for node in ("wk-node1", "wk-node3"):
        for name in ("node_restarted", "node_exited", "node_unreachable", "node_frozen"):
            assert value(signals, name, node) is False, (name, node)


def test_a_node_whose_address_another_one_has_did_not_restart(tmp_path: Path) -> None:
    def scrape(node: str, when: str) -> dict[str, float]:
        lost = node == "wk-node2" and when == "after"
        number = "3" if lost else node[-1]
        begun = T0 - 5 + int(number)
        return {
            "process_start_time_seconds": begun,
            P + f'gateway_connections_active{{node_id="{number}"}}': 7.0,
            P + f'gateway_sendacks_total{{class="none",node_id="{number}"}}': 50.0,
        }

    signals = Scenario(tmp_path, scrape=scrape).signals()
    assert value(signals, "answered_by_others", "wk-node2") == 1
    assert value(signals, "answered_by_others", "wk-node3") == 0
    assert value(signals, "node_restarted", "wk-node2") is False
    assert value(signals, "sendack_errors", "wk-node2") is None


def test_node_that_freezes_on_a_duty_cycle(tmp_path: Path) -> None:
    signals = Scenario(
        tmp_path,
        healthz=lambda n, s: (True, 1400.0 if n == "wk-node3" and s % 2 else 2.0),
    ).signals()
    assert [value(signals, "node_frozen", n) for n in NODES] == [False, False, True]
    assert value(signals, "node_stalls", "wk-node3") == 30
    assert [value(signals, "node_unreachable", n) for n in NODES] == [False] * 3


def test_node_that_works_on_unasked_is_cut_off_and_not_frozen(tmp_path: Path) -> None:
    def silent(node: str, second: int) -> tuple[bool, float]:
        return (False, 2000.0) if node == "wk-node3" and second >= 50 else (True, 2.0)

    signals = Scenario(tmp_path / "works", healthz=silent).signals()
    assert value(signals, "node_frozen", "wk-node3") is False
    assert value(signals, "node_unreachable_seconds", "wk-node3") == 50
    signals = Scenario(
        tmp_path / "stands",
        healthz=silent,
        cpu=lambda n, s: 0.2 * (min(s, 50) if n == "wk-node3" else s),
    ).signals()
    assert value(signals, "node_frozen", "wk-node3") is True


def test_the_window_of_a_plain_bundle_lasts_as_long_as_somebody_asked(tmp_path: Path) -> None:
    scenario = Scenario(tmp_path)
    scenario.build()
    for name in ("window.json", "topology.json"):
        (tmp_path / name).unlink()
    status = tmp_path / "status.jsonl"
    asked = [json.loads(line) for line in status.read_text().splitlines()]
    unanswered = [
        {"sample_time": row["sample_time"], "error": "no answer"} if n > 55 else row
        for n, row in enumerate(asked)
    ]
    scenario.put("status.jsonl", unanswered)
    signals = compute(Bundle.open(tmp_path), strict=True)
    assert value(signals, "window_seconds") == 60
    assert value(signals, "status_longest_gap") == 45


@pytest.mark.parametrize(
    ("in_use", "sys", "processors"),
    [
        (4592, 16072, 2),  # recorded: Go 1.26 on two CPUs
        (8 * 2296, 2 * 16072, 8),
        (4 * 1208, 15704, 4),
        (16 * 1200, 2 * 15600, 16),
        (13 * 1200, 15600, None),  # 13 of 1200 bytes, or 10 of 1560
        (4592, 15600, None),
        (0, 16072, None),
        (float("nan"), 16072, None),
        (4592, float("inf"), None),
    ],
)
def test_processors_of_a_go_runtime(in_use: float, sys: float, processors: int | None) -> None:
    assert gomaxprocs(in_use, sys) == processors


def test_cpus_that_nobody_recorded_are_those_the_nodes_see(tmp_path: Path) -> None:
    cache = {"go_memstats_mcache_inuse_bytes": 4 * 2296.0, "go_memstats_mcache_sys_bytes": 16072.0}
    scenario = Scenario(
        tmp_path,
        scrape=lambda n, w: {
            **cache,
            **({"go_memstats_mcache_inuse_bytes": 2 * 2296.0} if n == "wk-node1" else {}),
        },
    )
    scenario.build()
    (tmp_path / "host.jsonl").unlink()
    signals = compute(Bundle.open(tmp_path), strict=True)
    assert value(signals, "host_ncpu") == 4
    assert value(signals, "containers_cpu_of_host") == pytest.approx(0.2)


def test_effect_pools_are_as_busy_as_their_effects_take(tmp_path: Path) -> None:
    # The gauges of these pools are never fed; one worker, 50 s of work in the 60 s of the window.
    def scrape(node: str, when: str) -> dict[str, float]:
        done = 1000 if when == "after" and node == "wk-node2" else 0
        pool = 'component="channelappend",pool="append_effect"'
        return {P + f"ants_pool_capacity{{{pool}}}": 1.0} | histogram(
            P + "channelappend_effect_duration_seconds", 'result="ok",stage="append"', done, 0.05
        )

    signals = Scenario(tmp_path, scrape=scrape).signals()
    assert value(signals, "effect_pool_busy") == pytest.approx(50 / 60)
    assert value(signals, "effect_pool_busy", "wk-node1") == 0


def test_slowness_of_all_freezes_none(tmp_path: Path) -> None:
    signals = Scenario(tmp_path, healthz=lambda n, s: (True, 700.0 if s % 3 else 2.0)).signals()
    assert [value(signals, "node_frozen", n) for n in NODES] == [False] * 3
    assert value(signals, "node_stalls") == 41


def test_quorum_is_lost_with_two_of_three(tmp_path: Path) -> None:
    signals = Scenario(
        tmp_path,
        healthz=lambda n, s: (n == "wk-node1" or s < 50, 2.0),
        scrape=lambda n, w: {} if n == "wk-node1" or w == "before" else None,
    ).signals()
    assert value(signals, "quorum_lost") is True
    assert value(signals, "nodes_unreachable") == 2


def test_node_that_never_was(tmp_path: Path) -> None:
    scenario = Scenario(
        tmp_path,
        healthz=lambda n, s: (n != "wk-node3", 2.0),
        scrape=lambda n, w: {} if n != "wk-node3" else None,
        resource=lambda n, s: {"state": "missing"} if n == "wk-node3" else {},
    )
    signals = scenario.signals()
    assert [value(signals, "node_never_up", n) for n in NODES] == [False, False, True]
    assert [value(signals, "node_absent", n) for n in NODES] == [False, False, True]
    assert value(signals, "nodes_never_up") == 1


def test_a_workload_that_cannot_run_is_refused_though_no_log_says_so(tmp_path: Path) -> None:
    workload = {
        "users": 10,
        "person_channels": 50,
        "group_channels": 0,
        "group_members": 0,
        "rate": "1/s",
        "concurrency": 8,
        "warmup": "0s",
        "verify_recv": "none",
    }
    silent = {"status.jsonl": "".join(
        json.dumps({"sample_time": f"2026-11-24T06:00:{s:02d}Z", "error": "connection refused"})
        + "\n"
        for s in range(21)
    )}  # fmt: skip
    for users, refused in ((10, True), (100, None)):
        files = {**silent, "config/workload.json": json.dumps(workload | {"users": users})}
        made = Scenario(tmp_path / str(users), files=files).signals()
        assert value(made, "sim_config_rejected") is refused


def test_refused_start_is_told_by_the_log(tmp_path: Path) -> None:
    signals = Scenario(
        tmp_path,
        files={
            "logs/compose/wk-node2.log": "load config: unknown config env: WK_NOPE\n",
            "logs/compose/wk-sim.log": "config validation failed: users\n",
        },
    ).signals()
    assert value(signals, "node_start_failed", "wk-node2") is True
    assert value(signals, "node_start_failed", "wk-node1") is None
    assert value(signals, "sim_config_rejected") is True


def test_a_node_that_waited_for_the_others_did_not_fail_itself(tmp_path: Path) -> None:
    line = (
        "2026-11-24 12:31:34.633\tERROR\t[lifecycle]\tapp/lifecycle.go:743\tcomponent failed\t"
        '{"event": "internal.app.lifecycle_start_failed", "component": "%s", "phase": "start"}\n'
    )
    signals = Scenario(
        tmp_path,
        files={
            "logs/error/wk-node1.log": line % "cluster",
            "logs/error/wk-node3.log": line % "cluster_write_ready",
        },
    ).signals()
    assert value(signals, "node_start_failed", "wk-node1") is True
    assert value(signals, "node_start_failed", "wk-node3") is False


def test_log_and_counter_of_one_failure_count_once(tmp_path: Path) -> None:
    line = (
        "2026-01-01 00:00:55.000\tWARN\t[delivery]\ta.go:1\tincomplete\t"
        '{"event": "internal.app.delivery.plan_incomplete", "ownerNodeID": 3}\n'
    )

    def scrape(node: str, when: str) -> dict[str, float]:
        failed = 4.0 if node == "wk-node1" and when == "after" else 0.0
        return {P + 'delivery_push_rpc_total{result="timeout",target_node="3"}': failed}

    signals = Scenario(
        tmp_path,
        scrape=scrape,
        files={"logs/warn/wk-node1.log": line * 3, "logs/warn/wk-node2.log": line * 2},
    ).signals()
    assert value(signals, "peer_reported_failures", "wk-node3") == 6
    assert value(signals, "peers_reporting_failures", "wk-node3") == 2
    assert value(signals, "peers_reporting_failures", "wk-node1") == 0
    assert value(signals, "push_errors_to", "wk-node3") == 4
    assert get(signals, "peers_reporting_failures", "wk-node3").since == at(55)


def test_a_cut_link_is_told_from_a_cut_off_node(tmp_path: Path) -> None:
    def suspects(where: str, failed: Iterable[str]) -> list[object]:
        """Pushes that failed, as "from>to"."""

        def scrape(node: str, when: str) -> dict[str, float]:
            lost = {t: f"{node[-1]}>{t}" in failed and when == "after" for t in "123"}
            family = P + 'delivery_push_rpc_total{result="timeout",target_node="%s"}'
            return {family % target: 8.0 if lost[target] else 0.0 for target in "123"}

        found = Scenario(tmp_path / where, scrape=scrape).signals()
        return [value(found, "link_failure_suspected", node) for node in NODES]

    assert suspects("both ways", {"1>2", "2>1"}) == [True, True, False]
    # One way only is what a lossy way into node 2 looks like as well.
    assert suspects("one way", {"1>2"}) == [False, False, False]
    # One that reaches nobody complains of all; one that nobody reaches is what all complain of.
    assert suspects("deaf", {"1>2", "3>2"}) == [False, False, False]
    assert suspects("mute", {"2>1", "2>3"}) == [False, False, False]
    assert suspects("off", {"1>2", "3>2", "2>1", "2>3"}) == [False, False, False]


@pytest.mark.parametrize(("there", "back", "suspected"), [(5.0, 2.0, True), (2.0, 2.0, False)])
def test_failures_of_a_link_count_together(
    tmp_path: Path, there: float, back: float, suspected: bool
) -> None:
    def scrape(node: str, when: str) -> dict[str, float]:
        failed = {"wk-node1": ("2", there), "wk-node2": ("1", back)}.get(node)
        if failed is None or when != "after":
            return {}
        family = P + 'delivery_push_rpc_total{result="timeout",target_node="%s"}'
        return {family % failed[0]: failed[1]}

    found = Scenario(tmp_path, scrape=scrape).signals()
    assert [value(found, "link_failure_suspected", n) for n in NODES] == [suspected] * 2 + [False]


# -- servers and host -----------------------------------------------------------------------------


def test_slow_disk_of_one_node_stands_out(tmp_path: Path) -> None:
    def scrape(node: str, when: str) -> dict[str, float]:
        n = 600 if when == "after" else 0
        slow = node == "wk-node2"
        labels = 'result="ok",stage="commit",store="message"'
        return {
            **histogram(
                P + "storage_commit_batch_duration_seconds", labels, n, 0.2 if slow else 0.002
            ),
            **histogram(
                P + "storage_commit_request_duration_seconds",
                'lane="leader_append",result="ok"',
                n,
                0.25 if slow else 0.004,
            ),
        }

    signals = Scenario(tmp_path, scrape=scrape).signals()
    assert value(signals, "storage_commit_vs_peers", "wk-node2") == pytest.approx(100)
    assert value(signals, "storage_commit_mean", "wk-node1") == pytest.approx(0.002)
    assert value(signals, "storage_queueing_share", "wk-node2") == pytest.approx(0.2)
    assert value(signals, "storage_queueing_share", "wk-node1") == pytest.approx(0.5)
    assert value(signals, "storage_commit_p99", "wk-node2") == pytest.approx(0.05 + 0.45 * 0.99)


def test_busy_pool_is_told_by_utilisation(tmp_path: Path) -> None:
    pool = 'component="channel",pool="channelv2-store-append"'

    def scrape(node: str, when: str) -> dict[str, float]:
        n = 12_000 if when == "after" else 0
        return {
            P + f"runtime_pool_workers{{{pool}}}": 8.0,
            **histogram(
                P + "runtime_pool_task_duration_seconds",
                pool + ',result="ok",task="quorum_commit"',
                n,
                0.038,
            ),
        }

    signals = Scenario(tmp_path, scrape=scrape).signals()
    assert value(signals, "worker_saturation") == pytest.approx(12_000 * 0.038 / 60 / 8, rel=1e-4)
    assert value(signals, "worker_saturation_pool") == "channel/channelv2-store-append"


def test_foreign_load_is_what_no_container_took(tmp_path: Path) -> None:
    signals = Scenario(tmp_path, cpu=lambda n, s: 0.1 * s, idle=lambda s: 20.0 * s).signals()
    assert value(signals, "host_cpu_busy") == pytest.approx(0.9)
    assert value(signals, "containers_cpu_cores") == pytest.approx(0.4)
    assert value(signals, "foreign_cpu_cores") == pytest.approx(1.4)
    assert value(signals, "containers_cpu_of_host") == pytest.approx(0.2)
    assert value(signals, "disk_free_ratio") == pytest.approx(0.3)


def test_without_host_facts_the_host_is_unknown(tmp_path: Path) -> None:
    scenario = Scenario(tmp_path)
    scenario.build()
    (tmp_path / "host.jsonl").unlink()
    signals = compute(Bundle.open(tmp_path), strict=True)
    for name in (
        "host_cpu_busy",
        "foreign_cpu_cores",
        "containers_cpu_of_host",
        "disk_free_ratio",
        "sim_cpu_of_limit",
    ):
        assert value(signals, name) is None, name
        assert get(signals, name).why_unknown


def test_a_missing_scrape_is_unknown_not_zero(tmp_path: Path) -> None:
    signals = Scenario(
        tmp_path, scrape=lambda n, w: None if (n, w) == ("wk-node2", "after") else {}
    ).signals()
    assert value(signals, "sendack_errors", "wk-node1") == 0
    assert value(signals, "sendack_errors", "wk-node2") is None
    assert "connection refused" in str(get(signals, "sendack_errors", "wk-node2").why_unknown)
    assert value(signals, "fanout_ratio") is None


def test_connections_lost_mid_window_count_though_they_came_back(tmp_path: Path) -> None:
    active = P + 'gateway_connections_active{protocol="tcp"}'
    scenario = Scenario(tmp_path, scrape=lambda n, w: {active: 66.0})
    scenario.build()
    for second, online in ((50, 66.0), (60, 5.0), (70, 66.0)):
        path = tmp_path / f"metrics/series/node3/{int((T0 + second) * 1000)}.prom.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(exposition({active: online}).encode()))
    signals = compute(Bundle.open(tmp_path), strict=True)
    lost = get(signals, "connections_lost", "wk-node3")
    assert lost.value == 61
    assert (lost.since_not_before, lost.since) == (at(50), at(60))
    assert value(signals, "connections_lost", "wk-node1") == 0
    assert all(verify_citation(Bundle.open(tmp_path), c) is None for c in lost.citations)


@pytest.mark.parametrize(("found", "accumulated"), [(0, False), (16_774_700, True), (None, None)])
def test_any_data_before_the_start_is_accumulated(
    tmp_path: Path, found: int | None, accumulated: bool | None
) -> None:
    observed = json.dumps({"observed": {"data_bytes_at_start": found}})
    signals = Scenario(tmp_path, files={"fingerprint.json": observed}).signals()
    assert value(signals, "mode_accumulated") is accumulated


def test_history_and_references(tmp_path: Path) -> None:
    signals = Scenario(
        tmp_path,
        files={
            "fingerprint.json": json.dumps(
                {"inputs": {"mode": "clean"}, "observed": {"data_bytes_at_start": 9e9}}
            ),
            "references/clean-twin.json": json.dumps({"category": "healthy"}),
            "references/baseline.json": json.dumps({"category": "insufficient_evidence"}),
        },
    ).signals()
    assert value(signals, "mode_accumulated") is True
    assert value(signals, "clean_twin_passed") is True
    assert value(signals, "baseline_passed") is None


# -- damage ---------------------------------------------------------------------------------------


def damage(path: Path, how: str, rng: random.Random) -> None:
    data = path.read_bytes()
    if how == "drop":
        path.unlink()
    elif how == "truncate":
        path.write_bytes(data[: rng.randrange(len(data) + 1)])
    elif how == "garbage":
        path.write_bytes(rng.randbytes(4000))
    else:
        flipped = bytearray(data)
        for _ in range(20):
            if flipped:
                flipped[rng.randrange(len(flipped))] = rng.randrange(256)
        path.write_bytes(bytes(flipped))


@pytest.mark.parametrize("how", ["drop", "truncate", "garbage", "flip"])
@pytest.mark.parametrize("full", [False, True], ids=["plain", "full"])
def test_damaged_evidence_is_unknown_never_a_crash(tmp_path: Path, how: str, full: bool) -> None:
    rng = random.Random(f"{how}{full}")
    source = tmp_path / "source"
    if full:
        Scenario(source, scrape=send_latency(0.01, 1000)).build()
    else:
        shutil.copytree(PAUSED, source)
    files = sorted(p.relative_to(source) for p in source.rglob("*") if p.is_file())
    for rel in rng.sample(files, 10):
        target = tmp_path / "copy"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
        damage(target / rel, how, rng)
        bundle = Bundle.open(target)
        signals = compute(bundle, strict=True)
        for signal in signals:
            assert signal.value is not None or signal.why_unknown, (rel, signal.name)
            for citation in signal.citations:
                assert verify_citation(bundle, citation) is None, (rel, signal.name)


def test_an_area_that_trips_leaves_the_others_standing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trip(_: object) -> None:
        raise KeyError("surprise")

    Scenario(tmp_path).build()
    monkeypatch.setattr("wktriage.judging.signals.cpu.compute", trip)
    signals = compute(Bundle.open(tmp_path))
    assert value(signals, "sent_rate") is not None
    assert "KeyError" in str(get(signals, "host_cpu_busy").why_unknown)


def test_a_signal_that_the_catalogue_lacks_is_a_mistake_in_the_code(tmp_path: Path) -> None:
    found = Scenario(tmp_path).signals()
    for read in (found.get, found.per_node):
        with pytest.raises(UnknownSignalError, match="did you mean 'send_errors'"):
            read("send_eror")
    with pytest.raises(UnknownSignalError):
        found.add(Signal("send_eror", "count", 1))


@given(st.dictionaries(st.sampled_from("abcdefg"), st.none() | st.integers(0, 5).map(float)))
def test_the_median_of_others_is_that_of_all_but_one(values: dict[str, float | None]) -> None:
    others = Others(values)
    for name in [*values, "z"]:
        rest = [v for n, v in values.items() if n != name and v is not None]
        assert others.median(name) == median(rest)


@given(
    st.dictionaries(
        st.sampled_from("abcd"),
        st.lists(
            st.tuples(st.integers(0, 20), st.sampled_from([None, 0.0, 0.01, 1.0])), max_size=6
        ),
    ),
    st.integers(0, 20),
)
def test_busy_peers_are_those_of_any_other_node(
    recorded: dict[str, list[tuple[int, float | None]]], moment: int
) -> None:
    samples = {
        node: [UsageSample(float(t), 1, cores, None, None, None) for t, cores in rows]
        for node, rows in recorded.items()
    }
    busy = Busy(samples, 0.05)
    for node in [*samples, "z"]:
        expected = any(
            s.cpu_cores is not None and s.cpu_cores > 0.05 and abs(s.time - moment) <= 2
            for other, mine in samples.items()
            if other != node
            for s in mine
        )
        assert busy.near(node, moment) == expected

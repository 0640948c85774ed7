"""Readers on hostile, damaged and ordinary evidence."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from wktriage.bundle.bundle import Bundle
from wktriage.bundle.readers import goroutines, health, logs, pprof, prom, usage
from wktriage.core.durations import parse_duration, parse_rate
from wktriage.core.text import LINE_CAP, AnyOf, grep
from wktriage.core.times import iso, parse_time

PAUSED = Path(__file__).parents[1] / "fixtures" / "signals" / "paused"
BEFORE = b"""# HELP a_seconds x
# TYPE a_seconds histogram
a_seconds_bucket{k="v",le="0.1"} 10
a_seconds_bucket{k="v",le="1"} 20
a_seconds_bucket{k="v",le="+Inf"} 20
a_seconds_sum{k="v"} 5
a_seconds_count{k="v"} 20
# HELP b_total x
# TYPE b_total counter
b_total{c="ok"} 100
b_total{c="bad"} 7
# HELP z_gauge x
# TYPE z_gauge gauge
z_gauge 1
"""
WANTED = ("a_seconds", "b_total", "m_total", "zz_total")


def after(count: int, low: int, mid: int, total: float, ok: int, bad: int) -> bytes:
    return (
        BEFORE.replace(b'le="0.1"} 10', b'le="0.1"} %d' % low)
        .replace(b'le="1"} 20', b'le="1"} %d' % mid)
        .replace(b'le="+Inf"} 20', b'le="+Inf"} %d' % count)
        .replace(b'_sum{k="v"} 5', b'_sum{k="v"} %d' % total)
        .replace(b'_count{k="v"} 20', b'_count{k="v"} %d' % count)
        .replace(b'"ok"} 100', b'"ok"} %d' % ok)
        .replace(b'"bad"} 7', b'"bad"} %d' % bad)
    )


def test_histogram_delta_interpolates_like_prometheus() -> None:
    old = prom.parse(BEFORE, WANTED)
    new = prom.parse(after(220, 110, 220, 65, 0, 0), WANTED)
    found = prom.histogram(old, new, "a_seconds", {})
    assert found is not None
    assert (found.count, found.total) == (200, 60)
    assert found.mean == pytest.approx(0.3)
    # 100 below 0.1, 100 in (0.1, 1]: rank 198 of 200 is 98 % into the second bucket.
    assert found.quantile(0.99) == pytest.approx(0.1 + 0.9 * 0.98)
    assert found.quantile(0.5) == pytest.approx(0.1)
    assert not found.saturated(0.99)


def test_a_quantile_needs_observations_beyond_it() -> None:
    old = prom.parse(BEFORE, WANTED)
    few = prom.histogram(old, prom.parse(after(119, 100, 119, 9, 0, 0), WANTED), "a_seconds", {})
    assert few is not None
    assert few.count == 99
    assert few.quantile(0.99) is None
    assert few.quantile(0.9) is not None


def test_the_open_bucket_saturates() -> None:
    old = prom.parse(BEFORE, WANTED)
    new = prom.histogram(old, prom.parse(after(220, 10, 20, 9, 0, 0), WANTED), "a_seconds", {})
    assert new is not None
    assert new.quantile(0.99) == 1.0
    assert new.saturated(0.99)


def test_counters_going_backwards_are_a_restart_not_a_negative_rate() -> None:
    old = prom.parse(BEFORE, WANTED)
    new = prom.parse(after(5, 5, 5, 1, 40, 9), WANTED)
    grown = prom.increase(old, new, "b_total")
    assert grown is not None
    assert grown[0] == 40 + 2
    found = prom.histogram(old, new, "a_seconds", {})
    assert found is not None
    assert found.count == 5


def test_absent_is_zero_only_where_the_text_goes_past_it() -> None:
    scrape = prom.parse(BEFORE, WANTED)
    assert scrape.known("m_total")
    assert prom.increase(scrape, scrape, "m_total") == (0, [])
    assert not scrape.known("zz_total")
    assert prom.increase(scrape, scrape, "zz_total") is None
    cut = prom.parse(BEFORE[: BEFORE.index(b"b_total{c")], WANTED)
    assert not cut.known("m_total")
    half = prom.parse(BEFORE[: BEFORE.index(b'b_total{c="bad"') + 9], WANTED)
    assert not half.known("b_total")


@pytest.mark.parametrize("damage", [b"b_total{c=", b"b_total garbage", b"\xff\xff{} 1"])
def test_a_damaged_family_is_unknown_and_the_others_are_not(damage: bytes) -> None:
    scrape = prom.parse(BEFORE.replace(b'b_total{c="bad"} 7', damage), WANTED)
    assert not scrape.known("b_total")
    assert scrape.known("a_seconds")


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"<html>502</html>", b"# TYPE \n", b"# TYPE a"])
def test_what_is_no_scrape_says_nothing(data: bytes) -> None:
    scrape = prom.parse(data, WANTED)
    assert not any(scrape.known(f) for f in WANTED)


def bundle_with(root: Path, **files: bytes) -> Bundle:
    (root / "status.jsonl").write_text("{}\n")
    for rel, content in files.items():
        path = root / rel
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return Bundle.open(root)


CONSOLE = (
    b'2026-01-01 00:00:05.250\tWARN\t[delivery]\tapp/online.go:59\tincomplete\t{"event": '
    b'"internal.app.delivery.plan_incomplete", "phase": "owner_push", "ownerNodeID": 2}\n'
)
JSON = (
    b'{"time":"2026-01-01 00:00:06.500","level":"ERROR","module":"x","msg":"failed",'
    b'"event":"internal.access.gateway.send_failed","errorClass":"timeout"}\n'
)


def test_both_log_formats_become_templates(tmp_path: Path) -> None:
    bundle = bundle_with(
        tmp_path,
        **{
            "logs/warn/wk-node1.log": CONSOLE + b"stack line\n" + CONSOLE,
            "logs/error/wk-node1.log": JSON,
            "logs/compose/wk-node1.log": b"2026-01-01T00:00:07.123456789Z panic: boom\n"
            b"2026-01-01T00:00:05.250999999Z " + CONSOLE,
        },
    )
    start = parse_time("2026-01-01T00:00:05.000Z") or 0
    found = logs.scan(bundle, "wk-node1", (start, start + 10))
    incomplete = found.matching("plan_incomplete")[0]
    assert (incomplete.count, incomplete.in_window, incomplete.line) == (2, 2, 1)
    assert incomplete.first_in_window == start + 0.25
    assert found.targets["2"].in_window == 2
    failed = found.matching("send_failed")[0]
    assert failed.key.endswith("errorClass=timeout")
    assert failed.file == "logs/error/wk-node1.log"
    assert found.templates["panic"].count == 1
    assert found.templates["panic"].first_in_window == pytest.approx(start + 2.123)


def test_log_times_are_local_and_corrected(tmp_path: Path) -> None:
    bundle = bundle_with(tmp_path, **{"logs/warn/n.log": CONSOLE})
    start = parse_time("2026-01-01T00:00:05.000Z") or 0
    assert logs.scan(bundle, "n", (start, start + 1)).matching("plan")[0].in_window == 1
    moved = logs.scan(bundle, "n", (start - 7200, start - 7199), utc_offset=7200.0)
    assert moved.matching("plan")[0].in_window == 1


def test_hostile_logs_cost_no_memory_and_raise_nothing(tmp_path: Path) -> None:
    huge = b"2026-01-01 00:00:05.250\tWARN\t[x]\ta.go:1\t" + b"\x1b[31m{{ 7*7 }}" * 500_000 + b"\n"
    bundle = bundle_with(tmp_path, **{"logs/warn/n.log": huge + b"\xff\xfe\tERROR\t\n" + CONSOLE})
    found = logs.scan(bundle, "n", None)
    assert sum(t.count for t in found.templates.values()) >= 2
    assert all(len(t.key) < 400 and len(t.excerpt) <= 200 for t in found.templates.values())
    assert found.matching("plan_incomplete")[0].line == 3


def test_grep_counts_lines_over_block_borders(tmp_path: Path) -> None:
    path = tmp_path / "big.log"
    filler = b"x" * 999 + b"\n"
    path.write_bytes(filler * 2500 + b"mark one\n" + filler * 300 + b"y" * 3_000_000 + b"\nmark")
    found = list(grep(path, AnyOf(b"mark", b"absent")))
    assert found == [(2501, b"mark one"), (2803, b"mark")]
    assert all(len(line) <= LINE_CAP for _, line in found)


def test_profile_is_decoded_as_go_tool_pprof_does() -> None:
    path = PAUSED / "pprof" / "node1-cpu.pb.gz"
    profile = pprof.decode(gzip.decompress(path.read_bytes()))
    assert profile is not None
    # What `go tool pprof -top` says of this file.
    assert profile.total == 1_150_000_000
    assert profile.flat["internal/runtime/syscall/linux.Syscall6"] == 300_000_000
    assert profile.flat["runtime.futex"] == 110_000_000
    assert profile.flat["runtime.gopark"] == 40_000_000
    assert sum(profile.flat.values()) == sum(profile.groups.values()) == profile.total
    assert profile.duration == pytest.approx(10.02, abs=0.01)


@pytest.mark.skipif(shutil.which("go") is None, reason="no Go toolchain here")
def test_profile_totals_agree_with_the_real_tool() -> None:
    path = PAUSED / "pprof" / "node1-cpu.pb.gz"
    listing = subprocess.run(
        ["go", "tool", "pprof", "-top", "-nodecount=5", "-unit=ms", str(path)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    profile = pprof.decode(gzip.decompress(path.read_bytes()))
    assert profile is not None
    for line in listing.splitlines()[-5:]:
        flat, name = line.split()[0], line.split()[-1]
        assert profile.flat[name] / 1e6 == float(flat.removesuffix("ms"))


@pytest.mark.parametrize("data", [b"", b"\0", b"\xff" * 99, b"\x0a\x05\x08\x01", b"\x1a\xff\x01"])
def test_what_is_no_profile_is_none(data: bytes) -> None:
    assert pprof.decode(data) is None


def test_truncated_profile_is_none() -> None:
    data = gzip.decompress((PAUSED / "pprof" / "node1-cpu.pb.gz").read_bytes())
    assert pprof.decode(data[: len(data) // 2]) is None


def test_goroutines_are_grouped_by_where_they_wait(tmp_path: Path) -> None:
    dump = (
        b"goroutine 1 [select, 3 minutes]:\nruntime.gopark()\n"
        b"github.com/WuKongIM/WuKongIM/pkg/a.(*T).Call(0x1, {0x2, 0x3})\n\t/src/a.go:1 +0x1\n\n"
        b"goroutine 2 [select]:\ngithub.com/WuKongIM/WuKongIM/pkg/a.(*T).Call(0x9)\n\n"
        b"goroutine 3 [running]:\nmain.main()\n"
        b"created by github.com/WuKongIM/WuKongIM/pkg/a.New in goroutine 1\n\n"
        b"7 @ 0x1 0x2\n#\t0x1\tgithub.com/WuKongIM/WuKongIM/pkg/b.(*Q).Wait+0x5\t/src/b.go:2\n"
    )
    bundle = bundle_with(tmp_path, **{"pprof/node1-goroutine.txt": dump})
    found = goroutines.groups(bundle, "pprof/node1-goroutine.txt")
    assert [(g.where, g.state, g.count, g.line) for g in found] == [
        ("pkg/b.(*Q).Wait", "unknown", 7, 13),
        ("pkg/a.(*T).Call", "select", 2, 1),
    ]


def test_usage_of_either_layout(tmp_path: Path) -> None:
    rows = [
        {
            "sample_time": f"2026-01-01T00:00:0{i}.000Z",
            "name": "wk-node1",
            "state": "running",
            "cpu_seconds": cpu,
            "memory_bytes": 10,
        }
        for i, cpu in enumerate([1.0, 1.5, 0.1, 0.4])
    ]
    text = "\n".join(json.dumps(r) for r in rows).encode()
    log = {"logs/app/wk-node1.log": b""}
    bundle = bundle_with(tmp_path, **{"resources.jsonl": text, **log})
    cores = [s.cpu_cores for s in usage.read(bundle, bundle.nodes)["wk-node1"].samples]
    # The counter that went backwards is a new process: no rate across it.
    assert cores == [None, 0.5, None, pytest.approx(0.3)]
    opened = Bundle.open(PAUSED)
    paused = usage.read(opened, opened.nodes)
    assert set(paused) == {"wk-node1", "wk-node2", "wk-node3", "wk-sim"}
    assert paused["wk-node2"].samples[-1].cpu_cores == 0.0
    assert paused["wk-node1"].samples[-1].memory_limit == pytest.approx(23.54 * 2**30)


@pytest.mark.parametrize(
    ("text", "size"), [("6.605MiB", 6925844.48), ("1kB", 1000.0), ("0B", 0.0), ("x", None)]
)
def test_docker_sizes(text: str, size: float | None) -> None:
    assert usage.parse_size(text) == (None if size is None else pytest.approx(size))


def test_container_names_belong_to_the_longest_match() -> None:
    nodes = ("wk-node1", "wk-node10")
    assert usage.owner("wk-wk-node10-1", nodes) == "wk-node10"
    assert usage.owner("/wktriage-wk-node1-1", nodes) == "wk-node1"
    assert usage.owner("wk-node11", nodes) is None
    assert usage.owner(None, nodes) is None


def test_health_that_a_replay_has_no_recording_of_is_no_probe(tmp_path: Path) -> None:
    rows = (
        b'{"sample_time":"2026-01-01T00:00:01Z","node":"n","probe":"healthz","ok":false,'
        b'"http_status":501,"took_ms":1,"error":"HTTP 501","body":"not recorded"}\n'
        b'{"sample_time":"2026-01-01T00:00:02Z","node":"n","probe":"healthz","ok":false,'
        b'"http_status":503,"took_ms":1,"error":"HTTP 503","body":""}\n'
    )
    found = health.read(bundle_with(tmp_path, **{"health.jsonl": rows}))["n"]
    assert [probe.line for probe in found] == [2]


def test_probes_without_verdict_are_left_out(tmp_path: Path) -> None:
    rows = (
        b'{"sample_time":"2026-01-01T00:00:01Z","node":"n","probe":"healthz","ok":true,'
        b'"took_ms":250}\nnot json\n'
        b'{"sample_time":"2026-01-01T00:00:02Z","node":"n","probe":"healthz","ok":"yes"}\n'
    )
    found = health.read(bundle_with(tmp_path, **{"health.jsonl": rows}))["n"]
    assert [(p.ok, p.took) for p in found] == [(True, 0.25)]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10.0),
        ("1m30s", 90.0),
        ("250us", 0.00025),
        ("0", 0.0),
        (2, 2.0),
        ("soon", None),
        ("10", None),
        ("10s later", None),
        ("9" * 400 + "s", None),
        (10**400, None),
        (float("nan"), None),
        (True, None),
        (None, None),
    ],
)
def test_go_durations(text: object, seconds: float | None) -> None:
    assert parse_duration(text) == seconds


def test_rates_need_their_unit() -> None:
    assert parse_rate("0.25/s") == 0.25
    assert parse_rate("0.25") is None
    assert parse_rate("inf/s") is None
    assert parse_rate("9" * 400 + "/s") is None
    assert parse_rate(3) is None


def test_times_survive_the_round_trip_and_reject_the_rest() -> None:
    assert iso(parse_time("2026-11-24T06:06:24.355Z")) == "2026-11-24T06:06:24.355Z"
    assert parse_time("2026-11-24T06:06:24.342160343Z") == pytest.approx(1795500384.34216)
    assert parse_time("9999999999999999") is None
    assert parse_time(5) is None
    assert iso(float("nan")) is None
    assert iso(None) is None

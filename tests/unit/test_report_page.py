"""report.html: self-contained, deterministic, hostile text stays text, the same axis for all."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from wktriage.bundle.bundle import Bundle
from wktriage.incidents import library
from wktriage.judging.ledger import STAGES
from wktriage.judging.verdict import judge
from wktriage.report import figures, lanes, page, panels, sections, timeline, words
from wktriage.run.baseline import reference

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def p01(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = library.find_incident(ROOT / "incidents", "p01")
    return library.unpack(found, tmp_path_factory.mktemp("bundles") / "p01")


def rendered(bundle: Path) -> str:
    opened = Bundle.open(bundle)
    return page.render(opened, judge(opened))


class Elements(HTMLParser):
    """Collects element names and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_page_asks_for_nothing_and_names_class_node_and_time(p01: Path) -> None:
    text = rendered(p01)
    elements = Elements(text).found
    assert not [
        a for tag, a in elements if tag in {"link", "img", "iframe"} and a.get("href") != "data:,"
    ]
    assert not [a for tag, a in elements if tag == "script" and "src" in a]
    assert not [a for _, a in elements if str(a.get("href", "")).startswith(("http", "//", "/"))]
    head = text[: text.index('id="timeline"')]
    for word in ("send path", "wk-node2", "06:06:27", "<code>wktriage triage"):
        assert word in head


def test_same_bytes_wherever_the_bundle_lies(p01: Path, tmp_path: Path) -> None:
    copy = tmp_path / "renamed"
    shutil.copytree(p01, copy)
    assert rendered(copy) == rendered(p01)


def test_policy_names_the_script_that_is_there(p01: Path) -> None:
    text = rendered(p01)
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(script) == 1
    assert f"script-src 'sha256-{page.digest(script[0])}'" in text


def test_hostile_evidence_stays_text(p01: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "hostile"
    shutil.copytree(p01, bundle)
    attack = "</script><script>alert(1)</script>{{ 7*7 }}\x1b[31m<img src=x onerror=alert(2)>"
    rows = [json.loads(x) for x in (bundle / "status.jsonl").read_text().splitlines()]
    for row in rows:
        row.get("status", {})["last_error"] = attack
    (bundle / "status.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    with (bundle / "logs/warn/wk-node1.log").open("ab") as log:
        line = f"2026-11-24 06:06:28.000\tERROR\t[x]\tf.go:1\t{attack}" + "z" * 10_000_000
        log.write(line.encode() + b"\xff\xfe\n")
    text = rendered(bundle)
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "\x1b" not in text
    assert len(text) < 3_000_000
    tags = [a for tag, a in Elements(text).found if tag == "script"]
    assert len(tags) == 2


def test_all_plots_share_one_axis(p01: Path) -> None:
    text = rendered(p01)
    found = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data = json.loads(found.group(1))
    assert {p["key"] for p in data["plots"]} >= {"traffic", "errors", "cpu"}
    low, high = data["range"]
    for plot in data["plots"]:
        for line in plot["lines"]:
            assert all(low <= x <= high for x in line["x"])
            assert line["x"] == sorted(set(line["x"]))
            assert len(line["x"]) == len(line["y"]) <= panels.POINTS
    assert data["marks"][0]["kind"] == "since"


def test_lane_shows_from_when_on_a_node_stood_still(p01: Path) -> None:
    run = timeline.build(Bundle.open(p01), None)
    assert {s.state for n in ("wk-node1", "wk-node3") for s in run.lanes[n]} == {"up"}
    up, still = run.lanes["wk-node2"]
    assert (up.state, still.state) == ("up", "still")
    assert still.start - run.zero == pytest.approx(3, abs=2)
    assert still.end == pytest.approx(run.end, abs=1)


def full(
    where: Path, health: list[dict[str, object]], resources: list[dict[str, object]]
) -> Bundle:
    """Return a bundle of one node with these samples; each "at" is seconds of 06:00."""
    where.mkdir()
    window = {"start": "2026-11-24T06:00:10.000Z", "end": "2026-11-24T06:00:40.000Z"}
    (where / "window.json").write_text(json.dumps({"schema_version": 1, "valid": True, **window}))
    (where / "manifest.json").write_text(json.dumps({"schema_version": 1, "files": []}))
    (where / "topology.json").write_text(json.dumps({"nodes": [{"name": "wk-node1", "id": 1}]}))
    for name, rows in (("health.jsonl", health), ("resources.jsonl", resources)):
        lines = [
            json.dumps({**r, "sample_time": f"2026-11-24T06:00:{r['at']:02}.100Z"}) for r in rows
        ]
        (where / name).write_text("\n".join(lines) + "\n")
    return Bundle.open(where)


def probe(at: int, ok: bool) -> dict[str, object]:
    return {"at": at, "node": "wk-node1", "probe": "healthz", "ok": ok, "took_ms": 2.0}


def container(at: int, state: str, started: str) -> dict[str, object]:
    return {"at": at, "name": "wk-node1", "state": state, "started_at": started, "cpu_seconds": at}


@pytest.mark.parametrize(
    ("health", "resources", "states"),
    [
        ([probe(t, t < 20) for t in range(1, 40)], [], ["up", "silent"]),
        (
            [probe(t, not 15 <= t < 20) for t in range(1, 40)],
            [container(t, "paused" if 15 <= t < 20 else "running", "a") for t in range(1, 40)],
            ["up", "paused", "up"],
        ),
        (
            [probe(t, not 15 <= t < 18) for t in range(1, 40)],
            [
                container(t, "exited" if 15 <= t < 18 else "running", "a" if t < 18 else "b")
                for t in range(1, 40)
            ],
            ["up", "down", "started", "up"],
        ),
        (
            # Each lost probe takes two seconds; that its container runs is no answer.
            [probe(t, t < 20) for t in [*range(1, 20), *range(20, 40, 2)]],
            [container(t, "running", "a") for t in range(1, 40)],
            ["up", "silent"],
        ),
        ([], [], []),
    ],
)
def test_lane_tells_silent_paused_and_restarted_apart(
    health: list[dict[str, object]],
    resources: list[dict[str, object]],
    states: list[str],
    tmp_path: Path,
) -> None:
    run = timeline.build(full(tmp_path / "b", health, resources), None)
    assert [s.state for s in run.lanes["wk-node1"]] == states


def test_rules_tell_what_decided_before_the_rest(p01: Path) -> None:
    verdict = judge(Bundle.open(p01))
    shown = sections.rules(verdict)
    assert len(shown) == len(verdict["rules"])
    assert shown[0]["own"]
    down = next(r for r in shown if r["id"] == "send_path.node_freeze")
    assert down["result"] == "fired"
    assert down["leaves"][0]["result"] == "yes"
    assert {leaf["node"] for leaf in down["leaves"] if leaf["result"] == "yes"} == {"wk-node2"}


def test_marks_begin_with_the_first_sign_and_say_what_the_rules_saw_first(p01: Path) -> None:
    bundle = Bundle.open(p01)
    verdict = judge(bundle)
    found = figures.marks(timeline.build(bundle, None), verdict)
    assert [m["kind"] for m in found][:2] == ["since", "sign"]
    assert found[0]["time"] == verdict["since"][11:19]
    assert "the first failed send" in "; ".join(m["text"] for m in found)
    ids = {r["id"] for r in verdict["rules"]} | set(verdict["signals"])
    assert not [i for i in ids for m in found if i in m["text"]]
    assert all(m["at"] >= found[0]["at"] for m in found)
    late = {**verdict, "since": f"{verdict['since'][:11]}23:59:59.000Z"}
    found = figures.marks(timeline.build(bundle, None), late)
    assert [m["kind"] for m in found][-1] == "since"
    assert found[-1]["text"] == "send path since here"


def test_figures_of_a_plot_are_there_as_text() -> None:
    panel = {"lines": [{"name": "sent", "x": [0, 4, 10, 14], "y": [1.0, 3.0, None, 5.0]}]}
    rows = dict(figures.table(panel, [-10, 35])["rows"])
    assert rows["lowest"] == ["1"]
    assert rows["highest"] == ["5"]
    assert rows["0 to 2 s"] == ["1"]
    assert rows["14 to 16 s"] == ["5"]
    assert "10 to 12 s" not in rows


def test_baseline_figures_become_a_band_and_hostile_ones_none(p01: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "banded"
    shutil.copytree(p01, bundle)
    (bundle / "references").mkdir()
    file = bundle / "references" / "baseline.json"

    def bands(figures: object) -> dict[str, tuple[float, float] | None]:
        file.write_text(json.dumps({"category": "healthy", "figures": figures}))
        return {p.key: p.band for p in timeline.build(Bundle.open(bundle), None).panels}

    real = reference(p01, judge(Bundle.open(p01)))["figures"]
    low, high = bands(real)["cpu"] or (0, 0)
    assert low < high
    good = {
        "node_cpu_cores": {"nodes": {"wk-node1": 0.3, "wk-node2": 0.2, "wk-node3": None}},
        "node_cpu_max_cores": {"nodes": {"wk-node1": 0.5}},
    }
    assert bands(good)["cpu"] == (0.2, 0.5)
    for name in ("send_server_latency_p99", "sendack_p99"):
        # The second is what bundles recorded earlier call it.
        bands({name: {"nodes": {"wk-node1": 0.25}}})
        assert panels.bands(Bundle.open(bundle))["latency"] == (0.0, 250.0)
    for bad in (None, [], "x", {"node_cpu_cores": 1}, {"node_cpu_cores": {"nodes": {"n": "<b>"}}}):
        assert set(bands(bad).values()) == {None}


def test_unknown_is_never_shown_as_well(tmp_path: Path) -> None:
    (tmp_path / "env.txt").write_text("SCENARIO=x\n")
    text = rendered(tmp_path)
    assert "nothing went wrong" not in text
    assert "nowhere" not in text
    assert "No WARN or ERROR line" not in text
    for said in ("Logs: not recorded", "Collectors: not recorded", "Fingerprint: not recorded"):
        assert said in text
    assert 'data-show="unknown" aria-pressed="true"' in text


def test_replay_is_said_before_everything_else(p01: Path) -> None:
    bundle = Bundle.open(p01)
    verdict = judge(bundle)
    assert "<strong>REPLAY</strong>" not in page.render(bundle, verdict)
    text = page.render(bundle, {**verdict, "replay_of": "<b>paused-node"})
    assert text.index("<strong>REPLAY</strong>") < text.index("<h1>")
    assert "&lt;b&gt;paused-node" in text


def test_every_reason_can_be_read_on_paper(p01: Path) -> None:
    bundle = Bundle.open(p01)
    verdict = judge(bundle)
    reasons = [{"rule": "r", "text": f"reason {n}", "citations": []} for n in range(5)]
    text = page.render(bundle, {**verdict, "reasons": reasons})
    collapsed = re.search(r'<details class="paper">(.*?)</details>', text, re.DOTALL)
    assert collapsed is not None
    assert "2 more reasons" in collapsed.group(1)
    assert "reason 4" in collapsed.group(1)
    # With scripts and without.
    assert 'document.querySelectorAll("details.paper")' in text
    assert "details.paper::details-content" in text


def test_a_healthy_run_is_not_given_a_command(tmp_path: Path) -> None:
    incident = library.find_incident(ROOT / "incidents", "h02")
    bundle = Bundle.open(library.unpack(incident, tmp_path / "h02"))
    verdict = judge(bundle)
    assert verdict["category"] == "healthy"
    text = page.render(bundle, verdict)
    assert "None needed" in text
    assert "wktriage triage" not in text
    assert "Command of the next step" not in text


def test_the_next_step_says_what_its_placeholder_is(p01: Path) -> None:
    bundle = Bundle.open(p01)
    verdict = judge(bundle)
    assert words.CHECKOUT in verdict["next_experiment"]["command"]
    assert words.CHECKOUT_NOTE in page.render(bundle, verdict)


def test_ids_of_rules_and_signals_stand_in_the_engineers_part_only(
    p01: Path, tmp_path: Path
) -> None:
    incident = library.find_incident(ROOT / "incidents", "paused-node")
    for directory in (p01, library.unpack(incident, tmp_path / "paused")):
        bundle = Bundle.open(directory)
        verdict = judge(bundle)
        before, _, after = page.render(bundle, verdict).partition('<section id="rules"')
        body, _, _ = before[before.index("<body") :].partition('<section id="evidence"')
        body = re.sub(r'title="[^"]*"', "", body)  # a citation quotes its evidence
        ids = {r["id"] for r in verdict["rules"]} | {s for s in verdict["signals"] if "_" in s}
        assert not [i for i in ids if re.search(rf"\b{re.escape(i)}\b", body)]
        assert after.index("<details><summary>For engineers") < after.index("<table")


def test_first_signs_are_signals(p01: Path) -> None:
    assert set(words.FIRST_SIGNS) <= set(judge(Bundle.open(p01))["signals"])


def test_policy_allows_no_inline_style(p01: Path) -> None:
    text = rendered(p01)
    assert "unsafe-inline" not in text
    assert not [a for _, a in Elements(text).found if "style" in a]


def test_unanswered_probe_is_kept_as_unknown(tmp_path: Path) -> None:
    run = timeline.build(full(tmp_path / "b", [probe(t, t != 20) for t in range(1, 40)], []), None)
    (plot,) = [p for p in figures.plots(run) if p["key"] == "health"]
    (line,) = plot["lines"]
    at = [x for x, y in zip(line["x"], line["y"], strict=True) if y is None]
    assert at == [pytest.approx(10.1)]


def test_long_runs_keep_peaks_and_gaps_in_few_points() -> None:
    points: list[panels.Point] = [(float(t), 1.0) for t in range(40_000)]
    points[12_345], points[30_000] = (12_345.0, 99.0), (30_000.0, None)
    kept = panels.thin(points)
    assert len(kept) <= panels.POINTS
    assert points[12_345] in kept
    assert points[30_000] in kept
    assert kept == sorted(kept)


def test_flapping_lane_is_bounded_and_keeps_the_worst() -> None:
    spans = [lanes.Span(t, t + 1, "down" if t % 2 else "up", "") for t in range(5000)]
    kept = lanes.coarse(spans, 0, 5000)
    assert [(s.state, s.start, s.end) for s in kept] == [("down", 0, pytest.approx(5000))]
    spans = [lanes.Span(t, t + 0.5, "up", "") for t in range(5000)]
    spans[2500] = lanes.Span(2500, 2500.5, "paused", "")
    kept = lanes.coarse(spans, 0, 5000)
    assert [s.state for s in kept] == ["up", "paused", "up"]
    assert kept[1].start <= 2500 < kept[1].end


def test_files_say_whether_they_are_what_the_manifest_lists(tmp_path: Path) -> None:
    bundle = full(tmp_path / "b", [], [])
    good = bundle.sha256("window.json")
    entries = [
        {"path": "window.json", "sha256": good},
        {"path": "topology.json", "sha256": "0" * 64},
        {"path": "gone.json", "sha256": good},
        {"path": "metrics/node1.prom.err", "sha256": hashlib.sha256(b"timed out\n").hexdigest()},
        "not an entry",
    ]
    where = tmp_path / "b"
    (where / "manifest.json").write_text(json.dumps({"files": entries, "collectors": ["x", {}]}))
    (where / "metrics").mkdir()
    (where / "metrics" / "node1.prom.err").write_text("timed out\n")
    found = {f["path"]: (f["met"], f["status"]) for f in sections.files(Bundle.open(where))}
    assert found["window.json"] == ("yes", "as listed")
    assert found["topology.json"] == ("no", "differs from the manifest")
    assert found["gone.json"] == ("no", "missing")
    assert found["metrics/node1.prom.err"] == ("unknown", "not fetched: timed out")
    assert found["health.jsonl"] == ("no", "not in the manifest, not used")
    assert "differs from the manifest" in rendered(where)


def test_address_of_a_file_is_relative_whatever_its_name() -> None:
    assert sections.href("logs/\udcff é.log") == "logs/%FF%20%C3%A9.log"
    assert sections.href("javascript:alert(1)") == "javascript%3Aalert%281%29"


def test_every_stage_of_the_ledger_has_a_colour_of_its_own() -> None:
    style = page.asset("report.css")
    colours = [re.search(rf"\.stage-{stage} {{ fill: (#\w+)", style) for stage in STAGES]
    assert len({found.group(1) for found in colours if found}) == len(STAGES)

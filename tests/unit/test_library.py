"""Incidents: finding them, what they can answer for, packing and verifying."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wkreplay.__main__ import main
from wkreplay.recording import Recording
from wktriage.bundle import manifest
from wktriage.bundle.bundle import Bundle
from wktriage.bundle.readers import status
from wktriage.core.errors import UsageError
from wktriage.incidents import library, packing
from wktriage.stack.replay import stack

FIXTURES = Path(__file__).parents[1] / "fixtures" / "replay"


def incident(root: Path, name: str = "made-up") -> library.Incident:
    return library.Incident(
        bundle=name,
        label="send_path",
        fault="wk-node2 paused, wk-node3 killed",
        scenario="sampled-correctness",
        title="Two nodes gone",
        archive=root / f"{name}.tar.xz",
        nodes=("wk-node2", "wk-node3"),
        fault_at_s=26.0,
        baseline=name,
        recorded_on="2026-11-01",
        checks=("docker inspect said paused",),
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project directory with one packed incident."""
    packing.pack(FIXTURES / "full", incident(tmp_path / "incidents"))
    return tmp_path


def test_packed_incident_comes_back_whole_but_for_the_heap(project: Path) -> None:
    found = library.find_incident(project / "incidents", "made-up")
    assert found == incident(project / "incidents")
    bundle = library.unpack(found, project / "out")
    before = {p.relative_to(FIXTURES / "full") for p in (FIXTURES / "full").rglob("*")}
    after = {p.relative_to(bundle) for p in bundle.rglob("*")}
    assert {str(p) for p in before - after} == {
        "pprof/node1-heap.pb.gz",
        "pprof/node2-heap.pb.gz.err",
        "pprof/node3-heap.pb.gz.err",
    }
    assert after <= before
    scrape = next(bundle.glob("metrics/series/node1/*26000.prom.gz"))
    original = FIXTURES / "full" / scrape.relative_to(bundle)
    assert gzip.decompress(scrape.read_bytes()) == gzip.decompress(original.read_bytes())
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["bundle_id"] == "20261101T100000Z-sampled-correctness-0001"
    assert manifest["collectors"][0]["status"] == "skipped"
    assert packing.verify(project / "incidents") == []


def test_the_label_is_not_in_the_archive(project: Path) -> None:
    bundle = library.unpack(
        library.find_incident(project / "incidents", "made-up"), project / "out"
    )
    everything = b"".join(p.read_bytes() for p in bundle.rglob("*") if p.is_file())
    assert b"send_path" not in everything
    assert b"made-up" not in everything


def test_packing_twice_gives_the_same_bytes_and_one_label(project: Path) -> None:
    root = project / "incidents"
    first = (root / "made-up.tar.xz").read_bytes()
    packing.pack(FIXTURES / "full", incident(root))
    assert (root / "made-up.tar.xz").read_bytes() == first
    assert [i.bundle for i in library.list_incidents(root)] == ["made-up"]


def test_packing_leaves_links_and_derived_files_out(tmp_path: Path) -> None:
    source = shutil.copytree(FIXTURES / "full", tmp_path / "bundle")
    (source / "verdict.json").write_text("{}")
    (source / "logs" / "link.log").symlink_to("/etc/hostname")
    packing.pack(source, incident(tmp_path / "incidents"))
    bundle = library.unpack(incident(tmp_path / "incidents"), tmp_path / "out")
    assert not (bundle / "verdict.json").exists()
    assert not (bundle / "logs" / "link.log").exists()
    assert (source / "verdict.json").exists()


def test_the_clean_twin_survives_packing_and_reaches_the_replayed_run(tmp_path: Path) -> None:
    source = shutil.copytree(FIXTURES / "full", tmp_path / "bundle")
    (source / "references").mkdir(exist_ok=True)
    (source / "references" / "clean-twin.json").write_text('{"passed": true}')
    manifest.reseal(source)
    packing.pack(source, incident(tmp_path / "incidents"))
    told = stack.identity(
        stack.plan(tmp_path, "made-up", ["localhost"], "127.0.0.1"), project_name="p"
    )
    assert Path(told["references"]["clean-twin"]).read_text() == '{"passed": true}'


def test_nothing_to_replay_is_not_packed(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    with pytest.raises(UsageError, match="nothing to replay"):
        packing.pack(tmp_path / "bundle", incident(tmp_path / "incidents"))
    assert not (tmp_path / "incidents").exists()


def test_unknown_incident_gets_a_suggestion(project: Path) -> None:
    with pytest.raises(UsageError, match=r"no incident 'madeup'.*; did you mean 'made-up'\?"):
        library.find_incident(project / "incidents", "madeup")


@pytest.mark.parametrize("damage", ["truncate", "missing", "unlabelled", "baseline"])
def test_verify_finds(project: Path, damage: str) -> None:
    root = project / "incidents"
    archive = root / "made-up.tar.xz"
    if damage == "truncate":
        archive.write_bytes(archive.read_bytes()[:-400])
    elif damage == "missing":
        archive.unlink()
    elif damage == "unlabelled":
        shutil.copy(archive, root / "other.tar.xz")
    else:
        packing.pack(FIXTURES / "full", replace(incident(root), baseline="gone"))
    assert len(packing.verify(root)) == 1


def test_shared_incidents_get_title_and_baseline_from_beside(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    row = {"bundle": "p01", "label": "send_path", "fault": "paused", "scenario": "smoke-small"}
    (shared / "labels.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "shared.yml").write_text("baseline: h02\ntitles: {p01: One node paused}\n")
    (found,) = library.list_incidents(tmp_path)
    assert (found.title, found.baseline, found.shared) == ("One node paused", "h02", True)


def test_odd_label_row_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "labels.jsonl").write_text('{"bundle": "../x"}\n')
    with pytest.raises(UsageError, match=r"labels\.jsonl:1: at /bundle: '\.\./x' is not"):
        library.list_incidents(tmp_path)


def test_full_recording_says_what_it_holds() -> None:
    held = library.recorded(FIXTURES / "full")
    assert (held.scenario, held.mode, held.duration_s) == ("sampled-correctness", "clean", 8)
    assert held.workload["users"] == 20
    assert "uid_prefix" not in held.workload
    assert held.node_env == {"WK_LOG_LEVEL": "info"}
    assert held.connect_rate == 10
    assert held.stack["git_revision"] == "b249d3a61"
    assert not held.plain


def test_plain_recording_reads_the_workload_from_status() -> None:
    held = library.recorded(FIXTURES / "plain")
    assert (held.scenario, held.duration_s, held.plain) == ("smoke-small", 8, True)
    assert held.workload["rate"] == "1/s"
    assert held.workload["users"] == 20
    assert held.node_env == {}
    assert held.stack["git_revision"] == "b249d3a6169f1b532c57a72314ad30c7c97f8438"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"scenario": "person-hotpath"}, "holds scenario=sampled-correctness"),
        ({"mode": "accumulated"}, "holds mode=clean"),
        ({"users": 30}, "holds users=20"),
        ({"rate": "2/s"}, "holds rate=1/s"),
        ({"connect_rate": "50"}, "holds connect_rate=10"),
        ({"duration": 9}, "holds a window of 8 s"),
        ({"node_env": {}}, "holds WK_LOG_LEVEL=info"),
        ({"node_env": {"WK_X": "1"}}, "node_env WK_X=1"),
    ],
)
def test_what_was_not_recorded_is_refused(tmp_path: Path, asked: dict[str, Any], says: str) -> None:
    held = library.recorded(FIXTURES / "full")
    with pytest.raises(UsageError, match="not recorded") as refused:
        library.check_request(incident(tmp_path), held, asked)
    assert says in str(refused.value)


def test_what_was_recorded_may_be_asked_for(tmp_path: Path) -> None:
    held = library.recorded(FIXTURES / "full")
    asked = {"scenario": "sampled-correctness", "duration": "6", "users": "20"}
    request = library.check_request(incident(tmp_path), held, asked)
    assert request["duration"] == 6
    assert library.check_request(incident(tmp_path), held, {})["duration"] == 8


def test_plain_recording_needs_its_whole_window(tmp_path: Path) -> None:
    held = library.recorded(FIXTURES / "plain")
    with pytest.raises(UsageError, match="only of the start and the end of its 8 s window"):
        library.check_request(incident(tmp_path), held, {"duration": 5})


def test_request_names_the_recorded_baseline(project: Path) -> None:
    request = library.replay_request(project, {"incident": "made-up"})
    assert request["baseline_dir"] == request["bundle_dir"]
    assert (Path(request["bundle_dir"]) / "status.jsonl").is_file()
    assert library.replay_request(project, {"incident": "made-up"}) == request


def test_plan_spreads_nodes_over_hosts_and_exports_them(project: Path) -> None:
    planned = stack.plan(project, "made-up", ["a", "b"], "127.0.0.1")
    assert [a.split("=")[1] for a in planned["hosts"]["a"][:-1]] == [
        "wk-node1",
        "wk-node3",
        "wk-sim",
    ]
    assert planned["hosts"]["b"] == [
        "--listen=wk-node2=127.0.0.1:26002",
        "--control=127.0.0.1:26101",
    ]
    ports = {
        "a": {"wk-node1": 1, "wk-node3": 2, "wk-sim": 3, "control": 4},
        "b": {"wk-node2": 5, "control": 6},
    }
    stack.topology(planned, ports, project_name="x").write(project / "topology.json")
    topology = json.loads((project / "topology.json").read_text())
    assert (topology["driver"], topology["replay_of"]) == ("replay", "made-up")
    node = topology["nodes"][1]
    assert (node["name"], node["host"], node["api_url"]) == ("wk-node2", "b", "http://127.0.0.1:5")
    assert node["handle"]["logs_url"] == "http://127.0.0.1:6/_replay/wk-node2/logs"
    assert topology["sim"]["status_url"] == "http://127.0.0.1:3/status"
    assert stack.identity(planned, project_name="x")["mode_measured"] == "clean"


def test_more_hosts_than_processes_is_fine(project: Path) -> None:
    planned = stack.plan(project, "made-up", ["a", "b", "c", "d"], "127.0.0.1")
    assert sorted(planned["hosts"]) == ["a", "b", "c"]
    with pytest.raises(UsageError, match="wk_stack is empty"):
        stack.plan(project, "made-up", [], "127.0.0.1")


def test_host_program_and_controller_agree_on_the_archive(project: Path) -> None:
    archive = project / "incidents" / "made-up.tar.xz"
    assert main(["unpack", str(archive), str(project / "b")]) == 0
    assert (project / "b" / "status.jsonl").is_file()
    assert main(["unpack", str(archive), str(project / "b")]) == 2


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize(
    ("asked", "usable"),
    [("3", True), ("60", True), ("nan", False), ("inf", False), ("-1", False), ("x", False)],
)
def test_host_program_and_controller_agree_on_the_window(
    tmp_path: Path, counted: bool, asked: str, usable: bool
) -> None:
    rows = [
        {
            "sample_time": f"2026-11-01T10:00:0{s}Z",
            "status": {
                "state": "running",
                "messages_sent": s if counted else 0,
                "send_errors": 0,
                "recv_errors": 0,
            },
        }
        for s in range(10)
    ]
    (tmp_path / "status.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "env.txt").write_text(f"DURATION={asked}\n")
    bundle = Bundle.open(tmp_path)
    start, end = library.replayed_window(bundle, status.samples(bundle))
    assert Recording(tmp_path).window == (int(start * 1e9), int(end * 1e9))
    # Counted from the first second on; a window that was not asked for ends with the samples.
    without = 8 if counted else 0
    longest = 8 if counted else 9
    assert end - start == (min(int(asked), longest) if usable else without)

"""Opening bundles of either layout, bounded reading, citations and their verification."""

from __future__ import annotations

import dataclasses
import gzip
import json
from pathlib import Path

import pytest

from wktriage.bundle.bundle import Bundle
from wktriage.bundle.citations import resolve, verify_citation
from wktriage.core.errors import UsageError

PAUSED = Path(__file__).parents[1] / "fixtures" / "signals" / "paused"


def write(root: Path, rel: str, content: str | bytes) -> Path:
    path = root / rel
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def status(second: int, **fields: object) -> str:
    body = {
        "state": "running",
        "run_id": "r1",
        "messages_sent": 0,
        "send_errors": 0,
        "recv_errors": 0,
        "active_users": 5,
        "last_error": "",
        **fields,
    }
    return json.dumps({"sample_time": f"2026-01-01T00:00:{second:02d}.000Z", "status": body})


def test_plain_layout_is_inferred_and_says_so() -> None:
    bundle = Bundle.open(PAUSED)
    assert bundle.manifest is None
    assert bundle.nodes == ("wk-node1", "wk-node2", "wk-node3")
    assert bundle.scenario == "smoke-small"
    assert bundle.workload["users"] == 200
    assert bundle.workload["rate"] == "0.25/s"
    assert bundle.window is not None
    # The first counters that moved: 500 messages at 06:06:24.355; the last sample ends it.
    assert bundle.window[1] - bundle.window[0] == pytest.approx(110.0, abs=0.1)
    text = " ".join(bundle.inferred)
    assert bundle.driver == "unknown"
    for word in ("nodes", "workload", "window"):
        assert word in text


def test_id_of_a_plain_bundle_depends_on_content_alone(tmp_path: Path) -> None:
    for name in ("a", "elsewhere"):
        write(tmp_path / name, "status.jsonl", status(1) + "\n")
        write(tmp_path / name, "env.txt", "MODE=clean\n")
    first, second = (Bundle.open(tmp_path / n) for n in ("a", "elsewhere"))
    assert first.bundle_id == second.bundle_id
    assert first.bundle_id.startswith("plain-")
    write(tmp_path / "a", "verdict.json", "{}")
    assert Bundle.open(tmp_path / "a").bundle_id == first.bundle_id
    write(tmp_path / "a", "env.txt", "MODE=accumulated\n")
    assert Bundle.open(tmp_path / "a").bundle_id != first.bundle_id


def test_full_layout_takes_what_it_states(tmp_path: Path) -> None:
    write(tmp_path, "status.jsonl", status(1) + "\n")
    write(
        tmp_path,
        "manifest.json",
        json.dumps(
            {
                "bundle_id": "20260101t000000Z-custom-abcd",
                "driver": "replay",
                "replay_of": "p01",
                "scenario": "custom",
                "files": [
                    {"path": "status.jsonl", "bytes": 1, "sha256": "0" * 64},
                    {"path": "gone.txt", "bytes": 1, "sha256": "0" * 64},
                    {"path": "topology.json", "bytes": 1, "sha256": "0" * 64},
                    {"path": "window.json", "bytes": 1, "sha256": "0" * 64},
                    {"path": "config/workload.json", "bytes": 1, "sha256": "0" * 64},
                ],
            }
        ),
    )
    write(tmp_path, "metrics/node3.prom", "added 1\n")
    write(
        tmp_path,
        "topology.json",
        json.dumps({"nodes": [{"name": "east", "id": 7}, {"name": "west", "id": 9}]}),
    )
    write(
        tmp_path,
        "window.json",
        json.dumps({"start": "2026-01-01T00:00:10.000Z", "end": "2026-01-01T00:00:50.000Z"}),
    )
    write(tmp_path, "config/workload.json", json.dumps({"users": 3}))
    bundle = Bundle.open(tmp_path)
    assert bundle.bundle_id == "20260101t000000Z-custom-abcd"
    assert (bundle.driver, bundle.replay_of, bundle.scenario) == ("replay", "p01", "custom")
    assert bundle.nodes == ("east", "west")
    assert bundle.metrics_key("west") == "node9"
    assert bundle.node_by_id(7) == "east"
    assert bundle.node_by_id(1) is None
    assert bundle.window is not None
    assert bundle.window[1] - bundle.window[0] == 40
    assert bundle.inferred == []
    assert not bundle.exists("metrics/node3.prom")
    assert "metrics/node3.prom is not in the manifest, and is not used" in bundle.mismatches
    assert "gone.txt is in the manifest but not there" in bundle.mismatches
    assert "status.jsonl is not the file that the manifest lists" in bundle.mismatches


@pytest.mark.parametrize("missing", ["nothing", "file"])
def test_what_is_no_bundle_is_one_clear_error(tmp_path: Path, missing: str) -> None:
    target = tmp_path / "here"
    if missing == "file":
        target.write_text("x")
    else:
        target.mkdir()
        (target / "letter.txt").write_text("hello")
    with pytest.raises(UsageError, match="bundle"):
        Bundle.open(target)


def test_links_and_outside_paths_are_refused(tmp_path: Path) -> None:
    secret = write(tmp_path, "secret.txt", "password")
    root = tmp_path / "bundle"
    write(root, "status.jsonl", status(1) + "\n")
    (root / "env.txt").symlink_to(secret)
    (root / "logs").symlink_to(tmp_path)
    bundle = Bundle.open(root)
    assert bundle.read_text("env.txt") is None
    assert bundle.read_text("../secret.txt") is None
    assert bundle.read_text("logs/secret.txt") is None
    assert "env.txt" not in bundle.files


def test_reading_is_bounded(tmp_path: Path) -> None:
    write(tmp_path, "status.jsonl", b"x" * 300_000 + b"\n" + b'{"a": 1}\n\xff\xfe\n')
    bomb = gzip.compress(b"\0" * 50_000_000)
    write(tmp_path, "metrics/series/node1/1000000000000.prom.gz", bomb)
    bundle = Bundle.open(tmp_path)
    lines = list(bundle.lines("status.jsonl"))
    assert [n for n, _ in lines] == [1, 2, 3]
    assert len(lines[0][1]) == 64 * 1024
    assert lines[1][1] == b'{"a": 1}'
    data = bundle.read_bytes("metrics/series/node1/1000000000000.prom.gz", cap=1000)
    assert data == b"\0" * 1000
    write(tmp_path, "metrics/series/node1/1000000000000.prom.gz", bomb[:200])
    assert bundle.read_bytes("metrics/series/node1/1000000000000.prom.gz") is not None
    write(tmp_path, "metrics/series/node1/1000000000000.prom.gz", b"not gzip")
    assert bundle.read_bytes("metrics/series/node1/1000000000000.prom.gz") is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"null", b"\xff" * 50, b"[" * 100_000, b'{"start": 5}']
)
def test_damaged_json_is_absent_not_an_error(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, "status.jsonl", status(1) + "\n")
    for rel in ("manifest.json", "topology.json", "window.json", "config/workload.json"):
        write(tmp_path, rel, content)
    bundle = Bundle.open(tmp_path)
    assert bundle.window is None or bundle.window[1] > bundle.window[0]


def test_citations_hold_and_stop_holding(tmp_path: Path) -> None:
    row = status(1, messages_sent=500)
    write(tmp_path, "status.jsonl", row + "\n")
    write(tmp_path, "metrics/node1.prom", 'a{x="1"} 2\nb 3e2\n')
    write(tmp_path, "window.json", json.dumps({"valid": True}))
    bundle = Bundle.open(tmp_path)
    good = [
        bundle.cite("status.jsonl", line=1, pointer="/status/messages_sent", value=500),
        bundle.cite("status.jsonl", line=1, excerpt='"state": "running"'),
        bundle.cite("metrics/node1.prom", series="b", value=300.0),
        bundle.cite("metrics/node1.prom", series='a{x="1"}', value=2.0),
        bundle.cite("window.json", pointer="/valid", value=True),
        bundle.cite("metrics/node1.prom"),
    ]
    assert [verify_citation(bundle, c) for c in good] == [None] * len(good)
    bad = [
        dataclasses.replace(good[0], value=501),
        dataclasses.replace(good[0], line=2),
        dataclasses.replace(good[0], pointer="/status/nothing"),
        dataclasses.replace(good[1], excerpt="somewhere else"),
        dataclasses.replace(good[2], series="c"),
        dataclasses.replace(good[2], value=301.0),
        dataclasses.replace(good[4], value=1),
        dataclasses.replace(good[5], file="other.prom"),
        dataclasses.replace(good[5], file="../secret"),
        dataclasses.replace(good[5], sha256="0" * 64),
    ]
    for citation in bad:
        assert verify_citation(bundle, citation), citation
    write(tmp_path, "metrics/node1.prom", "b 3e2\nchanged 1\n")
    assert "sha256" in str(verify_citation(Bundle.open(tmp_path), good[2]))


def test_nothing_is_cited_that_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, "status.jsonl", status(1) + "\n")
    with pytest.raises(ValueError, match="does not hold"):
        Bundle.open(tmp_path).cite("metrics/node1.prom")


def test_json_pointer_follows_rfc_6901() -> None:
    document = {"a/b": {"~": [1, {"": 2}]}}
    assert resolve(document, "/a~1b/~0/1/") == 2
    assert resolve(document, "") == document
    with pytest.raises(ValueError, match="x"):
        resolve(document, "x")

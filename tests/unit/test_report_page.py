"""report.html: self-contained, deterministic, hostile text stays text, the same axis for all."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from wktriage import incidents, judge
from wktriage.bundle import Bundle
from wktriage.report import page

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def p01(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = incidents.find_incident(ROOT / "incidents", "p01")
    return incidents.unpack(found, tmp_path_factory.mktemp("bundles") / "p01")


def rendered(bundle: Path) -> str:
    opened = Bundle.open(bundle)
    return page.render(opened, judge.judge(opened))


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
    for word in ("send path", "wk-node2", "06:06:27", "ansible-playbook triage.yml"):
        assert word in head


def test_same_bytes_wherever_the_bundle_lies(p01: Path, tmp_path: Path) -> None:
    copy = tmp_path / "renamed"
    shutil.copytree(p01, copy)
    assert rendered(copy) == rendered(p01)


def test_policy_names_the_script_that_is_there(p01: Path) -> None:
    text = rendered(p01)
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(script) == 1
    assert f"script-src 'sha256-{page._hash(script[0])}'" in text


def test_hostile_evidence_stays_text(p01: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "hostile"
    shutil.copytree(p01, bundle)
    attack = "</script><script>alert(1)</script>{{ 7*7 }}\x1b[31m<img src=x onerror=alert(2)>"
    rows = [json.loads(x) for x in (bundle / "status.jsonl").read_text().splitlines()]
    for row in rows:
        row.get("status", {})["last_error"] = attack
    (bundle / "status.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    with (bundle / "logs/warn/wk-node1.log").open("ab") as log:
        line = f"2026-11-24 06:06:28.000\tERROR\t[x]\tf.go:1\t{attack}" + "z" * 3_000_000
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
        assert all(low <= x <= high for x in plot["data"][0])
        assert all(len(column) == len(plot["data"][0]) for column in plot["data"][1:])
    assert data["marks"][0]["kind"] == "since"

"""Small files that would take hours, or all of the memory: reading them is bounded, and said."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests import hostileplants
from tests.hostileplants import field

from wktriage.bundle.bundle import Bundle
from wktriage.bundle.files import DEPTH_CAP
from wktriage.bundle.readers import pprof, prom, status
from wktriage.bundle.readers.jsonl import rows
from wktriage.core.budget import Budget
from wktriage.core.yaml_files import parse_evidence
from wktriage.judging.verdict import judge
from wktriage.report import figures, write_all

SECONDS = 5.0
"""CPU seconds within which each of these is to be judged here: alone they take one or two."""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return hostileplants.make(tmp_path / "bundle")


def judged(root: Path, out: Path) -> dict[str, Any]:
    """Judge a bundle and write its page, all within SECONDS."""
    limit = Budget(SECONDS)
    opened = Bundle.open(root)
    verdict = judge(opened)
    write_all(opened, verdict, out)
    assert not limit.late("the test")
    return verdict


@pytest.mark.parametrize(
    "plant",
    [hostileplants.stacks_of_lists, hostileplants.empty_fields, hostileplants.merges,
     hostileplants.deep_yaml, hostileplants.large_compose, hostileplants.far_future,
     hostileplants.many_labels, hostileplants.long_label, hostileplants.long_name,
     hostileplants.hole, hostileplants.hole_in_a_log, hostileplants.one_line,
     hostileplants.deep_json, hostileplants.many_files, hostileplants.deep_directories,
     hostileplants.cycle_of_links],
    ids=lambda plant: plant.__name__,
)  # fmt: skip
def test_it_is_judged_in_seconds(
    plant: Callable[[Path], None], bundle: Path, tmp_path: Path
) -> None:
    plant(bundle)
    verdict = judged(bundle, tmp_path / "out")
    assert verdict["category"] == "insufficient_evidence"


def test_a_file_that_is_too_large_is_named(bundle: Path) -> None:
    hostileplants.hole(bundle)
    opened = Bundle.open(bundle)
    assert "core.bin is larger than 2 GiB, and is not read" in opened.problems
    assert not opened.exists("core.bin")


def test_a_profile_that_names_endless_stacks_still_counts(bundle: Path) -> None:
    hostileplants.stacks_of_lists(bundle)
    data = Bundle.open(bundle).read_bytes("pprof/node1-cpu.pb.gz")
    assert data is not None
    decoded = pprof.decode(data)
    assert decoded is not None
    assert decoded.total == 5000
    assert pprof.decode(hostileplants.profile(field(2, field(1, b"\x01" * 4_000_000)))) is None


def test_merging_goes_as_far_as_real_files_do() -> None:
    assert parse_evidence("a: &a {k: 1}\nb: {<<: *a, l: 2}") == {
        "a": {"k": 1},
        "b": {"k": 1, "l": 2},
    }
    with pytest.raises(ValueError, match="too deep"):
        parse_evidence("[" * 100_000)


def test_the_figures_of_any_length_of_time_are_few() -> None:
    panel = {"lines": [{"name": "a", "x": [0.0, 2.5e11], "y": [1.0, 2.0]}]}
    assert len(figures.table(panel, [0.0, 2.5e11])["rows"]) <= figures.FIGURE_ROWS + 4


LABELS = ",".join(f'l{n}="v"' for n in range(65))


@pytest.mark.parametrize(
    "line", [f"a{{{LABELS}}} 1", 'a{l="' + "v" * 5000 + '"} 1', 'a{l="' + "\\\\" * 70 + '"} 1']
)
def test_a_series_that_no_server_exports_makes_its_family_unknown(line: str) -> None:
    scrape = prom.parse(f"# TYPE a gauge\n{line}\n# TYPE b gauge\nb 1\n".encode(), ["a", "b"])
    assert not scrape.known("a")
    assert scrape.known("b")


def test_series_that_are_known_are_read_as_the_library_does() -> None:
    text = '# TYPE a gauge\na{l="x"} 1e3\na{l="y"} 2\n# TYPE b counter\nb_total 7\n'
    known: dict[str, prom.Point] = {}
    first = prom.parse(text.encode(), ["a", "b"], known=known)
    again = prom.parse(text.encode(), ["a", "b"], known=known)
    assert again.families == first.families
    assert again.families == prom.parse(text.encode(), ["a", "b"]).families
    for value in ("x", "NaN", "1_0", "", "1e999"):
        spoilt = prom.parse(text.replace(" 2", f" {value}").encode(), ["a"], known=known)
        assert not spoilt.known("a")


def test_time_that_is_used_up_is_said_and_the_rest_is_judged(bundle: Path, tmp_path: Path) -> None:
    now = [0.0]
    budget = Budget(10, 500, lambda: now[0])
    opened = Bundle.open(bundle, budget)
    assert len(status.samples(opened)) == 60
    now[0] = 11.0
    verdict = judge(opened)
    statements = [text for text in verdict["inferred"] if "10 s for reading this bundle" in text]
    assert len(statements) == 1
    assert "is unknown" in statements[0]
    assert verdict["category"] == "insufficient_evidence"
    write_all(opened, verdict, tmp_path / "out")
    assert "10 s for reading this bundle" in (tmp_path / "out/report.html").read_text()


def test_memory_that_is_used_up_is_said(bundle: Path) -> None:
    (bundle / "status.jsonl").write_text("".join(map(hostileplants.row, range(20_000))))
    tracemalloc.start()
    opened = Bundle.open(bundle, Budget(60, 20))
    read = len(status.samples(opened))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 1000 < read < 20_000
    assert most < 20_000_000
    assert any("20 MB for reading" in text for text in judge(opened)["inferred"])


def test_what_is_read_twice_is_counted_once(bundle: Path) -> None:
    opened = Bundle.open(bundle, Budget(60, 1))
    for _ in range(100):
        assert len(list(rows(opened, "status.jsonl"))) == 60


def test_a_normal_bundle_leaves_nothing_unread(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    judge(opened)
    assert opened.budget.statements() == []


def test_directories_are_followed_so_deep_and_files_counted_so_far(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = bundle.joinpath(*["d"] * (DEPTH_CAP + 4))
    deep.mkdir(parents=True)
    (deep / "x").write_text("x")
    assert not any(name.endswith("/x") for name in Bundle.open(bundle).files)
    monkeypatch.setattr("wktriage.bundle.files.FILES_CAP", 10)
    hostileplants.many_files(bundle)
    opened = Bundle.open(bundle)
    assert len(opened.files) == 10
    assert opened.exists("status.jsonl")
    assert any("the others are not looked at" in text for text in opened.problems)

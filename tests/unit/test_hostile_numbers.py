"""A number is finite or it is not evidence: it is unknown then, neither zero nor a traceback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wktriage.bundle import archive
from wktriage.bundle.bundle import Bundle
from wktriage.bundle.citations import verify_citation
from wktriage.bundle.readers import prom, status, usage
from wktriage.cli.commands.verify import citations
from wktriage.core import json_files, paths
from wktriage.judging.verdict import judge
from wktriage.judging.verdict_files import dump

NO_NUMBERS = ["1e999", "-1e999", "NaN", "Infinity", "-Infinity", "1" * 400, '"5"', "[5]", "true",
              "null", "{}", '"1e999"']  # fmt: skip
COUNTERS = (*status.COUNTERS, "active_users", "reconnected_users")


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("numbers") / "bundle"
    return archive.unpack_bundle(paths.PROJECT / "incidents" / "baseline.tar.xz", root)


def copied(healthy: Path, where: Path) -> Path:
    shutil.rmtree(where, ignore_errors=True)
    return Path(shutil.copytree(healthy, where))


def with_status(root: Path, field: str, text: str, *, rows: slice = slice(None)) -> None:
    """Write ``text`` as it is in place of a counter of some rows."""
    file = root / "status.jsonl"
    parsed = [json.loads(line) for line in file.read_text().splitlines()]
    for row in parsed[rows]:
        if isinstance(row.get("status"), dict):
            row["status"][field] = "@"
    file.write_text("".join(json.dumps(r).replace('"@"', text) + "\n" for r in parsed))


def judged(root: Path) -> dict[str, Any]:
    """Return a verdict that was computed, dumped and whose citations hold."""
    opened = Bundle.open(root)
    verdict = json.loads(dump(judge(opened)))
    assert [w for c in citations(verdict) if (w := verify_citation(opened, c))] == []
    return dict(verdict)


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_finite_number_is_unknown(text: str) -> None:
    parsed = json_files.parse_object(f'{{"a": {text}, "b": 1}}')
    assert parsed is not None
    assert parsed["b"] == 1
    assert status.number(parsed["a"]) is None


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                    lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.text(max_size=4), inner, max_size=3)))  # fmt: skip
def test_only_finite_numbers_come_out_of_json(value: Any) -> None:
    parsed = json_files.parse(json.dumps(value))
    json.dumps(parsed, allow_nan=False)
    if "NaN" not in json.dumps(value) and "Infinity" not in json.dumps(value):
        assert parsed == value


@pytest.mark.parametrize(("field", "text"), [
    (COUNTERS[n % len(COUNTERS)], text) for n, text in enumerate(NO_NUMBERS)
])  # fmt: skip
def test_a_counter_that_is_none_is_never_healthy(
    field: str, text: str, healthy: Path, tmp_path: Path
) -> None:
    root = copied(healthy, tmp_path / "bundle")
    with_status(root, field, text)
    verdict = judged(root)
    signal = {"reconnected_users": "reconnected_users", "active_users": "active_users"}
    name = signal.get(field, "send_errors")
    assert verdict["signals"][name]["value"] is None
    if field in status.COUNTERS:
        assert verdict["category"] == "insufficient_evidence"


def test_one_bad_row_costs_itself_only(healthy: Path, tmp_path: Path) -> None:
    root = copied(healthy, tmp_path / "bundle")
    with_status(root, "send_errors", "1e999", rows=slice(10, 11))
    verdict = judged(root)
    assert verdict["category"] == "healthy"
    assert verdict["signals"]["status_unreadable_rows"]["value"] == 1


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "1e999", "9" * 400])
def test_a_family_with_a_value_that_is_not_finite_is_unknown(value: str) -> None:
    series = f'a_total{{k="1"}} 1\na_total{{k="2"}} {value}\n'
    text = f"# TYPE a_total counter\n{series}# TYPE b gauge\nb 1\n"
    scrape = prom.parse(text.encode(), ["a_total", "b"])
    assert not scrape.known("a_total")
    assert scrape.points("b")[0].value == 1


@pytest.mark.parametrize("value", ["NaN", "9" * 400])
def test_metrics_that_are_not_finite_are_judged(value: str, healthy: Path, tmp_path: Path) -> None:
    root = copied(healthy, tmp_path / "bundle")
    for file in (root / "metrics").glob("*.prom"):
        lines = file.read_text().splitlines()
        file.write_text("".join(
            (line if line.startswith("#") else f"{line.rsplit(' ', 1)[0]} {value}") + "\n"
            for line in lines
        ))  # fmt: skip
    judged(root)


@pytest.mark.parametrize(("file", "text"), [
    ("resources.jsonl", "1e999"), ("host.jsonl", "9" * 400), ("health.jsonl", "[1]"),
    ("cluster.jsonl", "NaN"), ("resources.jsonl", '"x"'), ("host.jsonl", "true"),
])  # fmt: skip
def test_rows_without_a_finite_number_are_judged(
    file: str, text: str, healthy: Path, tmp_path: Path
) -> None:
    root = copied(healthy, tmp_path / "bundle")

    def spoilt(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: spoilt(v) for k, v in value.items()}
        if isinstance(value, list):
            return [spoilt(v) for v in value]
        return "@" if isinstance(value, int | float) and not isinstance(value, bool) else value

    path = root / file
    rows = [spoilt(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(r).replace('"@"', text) + "\n" for r in rows))
    judged(root)


@pytest.mark.parametrize("text", ["nan%", "inf%", "1e999%", "9" * 400 + "%", "%", "", "x"])
def test_a_percentage_that_is_not_finite_is_unknown(text: str) -> None:
    assert usage.parse_percent(text) is None
    assert usage.parse_size("9" * 400 + "GiB") is None
    assert usage.parse_percent("12.5%") == 0.125


@settings(max_examples=8, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(field=st.sampled_from(COUNTERS), number=st.floats() | st.integers(),
       at=st.integers(0, 60))  # fmt: skip
def test_any_number_in_any_counter_is_judged(
    field: str, number: float, at: int, healthy: Path, tmp_path: Path
) -> None:
    root = copied(healthy, tmp_path / "bundle")
    with_status(root, field, json.dumps(number), rows=slice(at, at + 3))
    judged(root)

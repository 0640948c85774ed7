"""summary.md: the skill's exact shape, nothing empty, nothing pending, hostile text stays text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from wktriage.incidents import library
from wktriage.judging.verdict import verdict_of
from wktriage.report import summary

ROOT = Path(__file__).resolve().parents[2]
SHAPE = {
    "Scenario": ["workload", "clean or accumulated", "duration", "success criteria"],
    "Evidence": [
        "status",
        "compose logs",
        "app logs",
        "error logs",
        "warn logs",
        "metrics",
        "pprof",
        "docker stats",
    ],
    "Classification": ["category", "confidence", "reason"],
    "Hypothesis": ["hypothesis", "falsification test"],
    "Next Experiment": ["one variable to change", "expected result", "stop condition"],
    "Fix Eligibility": ["code change needed", "reason", "required regression test"],
}


def shape(text: str) -> dict[str, list[str]]:
    """Return the fields of every section; fails on an empty or pending one."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            found[line.removeprefix("## ")] = fields = []
        elif line.startswith("- "):
            name, value = re.fullmatch(r"- ([a-z ]+): (.+)", line).groups()  # type: ignore[union-attr]
            assert value.lower() not in {"", "pending", "none"}
            fields.append(name)
    return found


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    where = tmp_path_factory.mktemp("bundles")
    known = ("p01", "h02", "b01", "r01")
    return {
        name: verdict_of(
            library.unpack(library.find_incident(ROOT / "incidents", name), where / name)
        )
        for name in known
    }


@pytest.mark.parametrize("name", ["p01", "h02", "b01", "r01"])
def test_headings_and_fields_are_the_skills_own(
    name: str, verdicts: dict[str, dict[str, Any]]
) -> None:
    text = summary.render(verdicts[name])
    assert shape(text) == SHAPE
    assert f"- category: {verdicts[name]['category']}\n" in text


def test_a_replay_says_so_first(verdicts: dict[str, dict[str, Any]]) -> None:
    text = summary.render({**verdicts["p01"], "replay_of": "p01"})
    assert text.startswith("> **REPLAY** of the recorded incident p01")


def test_hostile_text_stays_text_on_its_line(verdicts: dict[str, dict[str, Any]]) -> None:
    hostile = (
        "a\n## Injected\n<script>x</script> [l](http://h) `c` {{ 7*7 }} \x1b[31m " + "z" * 9999
    )
    reason = {"rule": "r", "text": hostile, "citations": []}
    text = summary.render({**verdicts["p01"], "reasons": [reason]})
    assert shape(text) == SHAPE
    assert "{{ 7*7 }}".replace("*", "\\*") in text
    assert "\\<script\\>" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) < 2000


def test_since_and_whole_citations_survive_many_long_reasons(
    verdicts: dict[str, dict[str, Any]],
) -> None:
    cite = {"file": "metrics/node1.prom", "line": None, "series": 'm{class="timeout"}'}
    reasons = [{"rule": "r", "text": f"{n} " + "x" * 200, "citations": [cite]} for n in range(9)]
    verdict = {**verdicts["p01"], "reasons": reasons}
    line = summary.reason_line(verdict)
    assert line.endswith(f"since {verdict['since']}, not before {verdict['since_not_before']}")
    assert line.count('m{class="timeout"}') == line.count("x" * 200)
    assert "more in verdict.json; since" in line
    assert len(line) <= summary.CAP
